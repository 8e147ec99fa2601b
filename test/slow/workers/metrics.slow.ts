// The metrics of a relay with workers: one scrape is the sum of all of them, whichever worker answers, and never goes down.
import { expect, test } from "bun:test";
import { Scrape } from "../../support/metrics/scrape";
import { RelayWithWorkers } from "../../support/relay/relay-with-workers";
import { until } from "../../support/wait";

test("with workers, each scrape is the sum of all of them, and keeps what a worker had counted that has died", async () => {
  await using relay = await RelayWithWorkers.start({ BATON_METRICS_LISTEN: "127.0.0.1:0" });
  await using caller = relay.caller;
  const clients = [];
  for (let user = 0; user < 12; user++) clients.push(await caller.connect(user, ["t"]));
  await caller.post("/publish", { topic: "t", message: "to all" });
  for (const client of clients) expect(await client.next()).toBe("to all");
  // Each call is a connection of its own, so the kernel gives them to different workers.
  const urls = Array.from({ length: 6 }, () => `${relay.process.url}/metrics`);
  const open = /open at (\S+)\./.exec(relay.logged.join("\n"))?.[1] ?? "";
  for (const url of [...urls, open]) {
    const found = await Scrape.of(url);
    expect(found.value("baton_processes")).toBe(4);
    expect(found.value('baton_connections{protocol="plain"}')).toBe(12);
    expect(found.value('baton_deliveries_total{protocol="plain"}')).toBe(12);
    expect(found.value("baton_publications_total")).toBe(1);
    expect(found.value("baton_history_bytes")).toBeGreaterThan(0);
  }
  const before = await relay.workers();
  process.kill(before[0] as number, "SIGKILL");
  await relay.untilReplaced(before.slice(0, 1));
  await until("the new worker to report", async () => {
    return (await Scrape.of(open)).value("baton_processes") === 4;
  });
  const found = await Scrape.of(open);
  expect(found.value('baton_deliveries_total{protocol="plain"}')).toBe(12);
  expect(found.value('baton_connections_opened_total{protocol="plain"}')).toBeGreaterThanOrEqual(
    12,
  );
});

test("a replacement of all workers loses no count", async () => {
  await using relay = await RelayWithWorkers.start({ BATON_METRICS_LISTEN: "127.0.0.1:0" });
  const open = /open at (\S+)\./.exec(relay.logged.join("\n"))?.[1] ?? "";
  await using caller = relay.caller;
  // Nobody asks for the metrics before: the old workers report as they end.
  for (let i = 0; i < 20; i++) await caller.post("/publish", { topic: "t", message: "m" });
  const before = await relay.workers();
  relay.process.signal("SIGHUP");
  await relay.untilReplaced(before);
  // The supervisor may hear of the end of a worker before it has read its last words.
  let counted = 0;
  await until("all to be counted", async () => {
    counted = (await Scrape.of(open)).value("baton_publications_total");
    return counted >= 20;
  });
  expect(counted).toBe(20);
});
