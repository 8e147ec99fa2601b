// GET /metrics of one process: who may read it, and that each series counts what it says.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { seriesTable } from "../../docs/reference";
import { SERIES } from "../../src/metrics/series";
import { Refusal } from "../../src/relay/contracts/errors";
import { Client } from "../support/clients/client";
import { RawSocket } from "../support/clients/raw-socket";
import { RedisServer } from "../support/engines/redis-server";
import { ProxyBackend } from "../support/hooks/proxy-backend";
import { withTls } from "../support/machine/authority";
import { Scrape } from "../support/metrics/scrape";
import { PUSH_ENV } from "../support/push/push-relay";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { sourcesFile } from "../support/sources/sources-file";
import { until } from "../support/wait";

const scrape = (relay: TestRelay): Promise<Scrape> => Scrape.of(`${relay.url}/metrics`);

test("GET /metrics needs a key when there are keys, and answers in the Prometheus text format", async () => {
  await using relay = await startRelay({ BATON_API_KEYS: "a-key-of-the-backend" });
  expect(await relay.request("GET", "/metrics")).toMatchObject({ status: 401 });
  const headers = { "x-api-key": "a-key-of-the-backend", accept: "application/openmetrics-text" };
  const answer = await relay.request("GET", "/metrics", { headers });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(answer.text).toContain("\n# TYPE baton_publications_total counter\n");
  expect(new Scrape(answer.text).value('baton_refusals_total{code="unauthorized"}')).toBe(1);
});

test("all who ask for the metrics in one turn of the event loop get what was read once, after the last of them has asked", async () => {
  await using relay = await startRelay();
  const { metrics, relay: core } = relay.running;
  const first = metrics.text();
  for (let i = 0; i < 20; i++) await null;
  core.tally.refused(new Refusal("not_found", "Nothing is there."));
  const last = metrics.text();
  expect(await first).toContain('baton_refusals_total{code="not_found"} 1');
  expect(await last).toBe(await first);
});

test("BATON_METRICS_LISTEN opens the metrics to everybody at an address of their own, and nothing else", async () => {
  await using relay = await startRelay({
    BATON_API_KEYS: "a-key-of-the-backend",
    BATON_METRICS_LISTEN: "127.0.0.1:0",
  });
  const [url = ""] = /http:\/\/127\.0\.0\.1:\d+\/metrics/.exec(relay.log.join("")) ?? [];
  expect((await Scrape.of(url)).value("baton_processes")).toBe(1);
  expect((await fetch(url.replace("metrics", "publish"), { method: "POST" })).status).toBe(404);
  expect((await fetch(url, { method: "POST" })).status).toBe(405);
  expect((await relay.request("GET", "/metrics")).status).toBe(401);
});

test("a relay whose BATON_METRICS_LISTEN is in use does not start, and says so", async () => {
  const taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const start = startRelay({ BATON_METRICS_LISTEN: `127.0.0.1:${taken.port}` });
  await expect(start).rejects.toThrow(`BATON_METRICS_LISTEN=127.0.0.1:${taken.port} cannot be`);
  await taken.stop(true);
});

test("publications are counted once, and deliveries and their bytes for each connection, by protocol", async () => {
  await using relay = await startRelay();
  const plain = [await relay.connect(1, ["t"]), await relay.connect(2, ["t"])];
  const json = await relay.open(`${await relay.register(3)}?format=json`, ["t"]);
  await json.next();
  await relay.publish("t", "größer");
  await relay.publish("t", "to one user", 1);
  await relay.publish("nobody", "is in this topic");
  for (const client of plain) expect(await client.next()).toBe("größer");
  const frame = await json.next();
  const { value } = await scrape(relay).then((found) => ({ value: found.value.bind(found) }));
  expect(value("baton_publications_total")).toBe(3);
  expect(value('baton_deliveries_total{protocol="plain"}')).toBe(3);
  expect(value('baton_delivered_bytes_total{protocol="plain"}')).toBe(2 * 8 + 11);
  expect(value('baton_deliveries_total{protocol="json"}')).toBe(1);
  expect(value('baton_delivered_bytes_total{protocol="json"}')).toBe(Buffer.byteLength(frame));
  expect(value("baton_publication_departure_seconds_count")).toBe(2);
  expect(value('baton_engine_call_duration_seconds_count{call="publish"}')).toBe(3);
  expect(value("baton_history_bytes")).toBeGreaterThan(0);
  expect(value("baton_store_bytes")).toBe(0);
  expect(value("baton_store_limit_bytes")).toBe(134_217_728);
  expect(value("baton_topics")).toBe(1);
});

test("a client that may not take large frames counts to the protocol without a size", async () => {
  await using relay = await startRelay();
  await relay.open(`${await relay.register(1)}?format=json&max_bytes=65536`, ["t"]);
  expect((await scrape(relay)).value('baton_connections{protocol="json"}')).toBe(1);
});

test("connections are counted while they are open, when they open, and by the code with which they close", async () => {
  await using relay = await startRelay();
  const url = await relay.register(1);
  const left = await relay.open(url);
  const staying = await relay.connect(2);
  const deleted = await relay.connect(3);
  left.close();
  await left.closed;
  await relay.request("DELETE", "/users/3/connections?code=4321");
  await deleted.closed;
  await until("both closes", () => relay.counts.connections === 1);
  const found = await scrape(relay);
  expect(found.value('baton_connections{protocol="plain"}')).toBe(1);
  expect(found.value('baton_connections_opened_total{protocol="plain"}')).toBe(3);
  expect(found.value('baton_connections_closed_total{code="1000"}')).toBe(1);
  expect(found.value('baton_connections_closed_total{code="other"}')).toBe(1);
  expect(found.value("baton_slow_consumers_total")).toBe(0);
  expect(found.value("baton_connections_limit")).toBeGreaterThan(1);
  staying.close();
});

test("a client that does not read is counted as a slow consumer when it is closed", async () => {
  await using relay = await startRelay({ BATON_BACKPRESSURE_BYTES: "65536" });
  const raw = await RawSocket.upgrade(await relay.register("slow"));
  raw.pause();
  while ((await relay.publish("tech", "x".repeat(16_384), "slow")) === 1);
  expect((await scrape(relay)).value("baton_slow_consumers_total")).toBe(1);
  raw.drop();
});

test("refusals are counted by error code over HTTP, within an array, on a socket and at the handshake", async () => {
  await using relay = await startRelay();
  await relay.post("/publish", [
    { topic: "", message: "m" },
    { topic: "t", message: "m" },
  ]);
  await relay.post("/publish", { topic: "", message: "m" });
  await relay.request("GET", "/nowhere");
  const client = await relay.connect();
  client.send("no JSON");
  await client.next();
  const unknown = `${relay.url.replace("http", "ws")}/ws/${"0".repeat(32)}`;
  await expect(Client.open(unknown)).rejects.toThrow("refused");
  const found = await scrape(relay);
  expect(found.value('baton_refusals_total{code="invalid_topic"}')).toBe(2);
  expect(found.value('baton_refusals_total{code="not_found"}')).toBe(1);
  expect(found.value('baton_refusals_total{code="malformed_json"}')).toBe(1);
  expect(found.value('baton_refusals_total{code="unknown_connection"}')).toBe(1);
});

test("recoveries are counted by what became of them", async () => {
  await using relay = await startRelay();
  const { epoch, offset } = await relay.publishMany("t", 3);
  for (const since of [
    { epoch, offset },
    { epoch: "another", offset: 1 },
  ]) {
    const client = await relay.open(`${await relay.register()}?format=json`);
    client.send({ topics: ["t"], since: { t: since } });
    await client.next();
  }
  const found = await scrape(relay);
  expect(found.value('baton_recoveries_total{outcome="recovered"}')).toBe(1);
  expect(found.value('baton_recoveries_total{outcome="lost"}')).toBe(1);
});

test("publications that leave together are counted as a wave, and the time that each waited", async () => {
  await using relay = await startRelay();
  const clients = await Promise.all(Array.from({ length: 64 }, (_, i) => relay.connect(i, ["t"])));
  await relay.post("/publish", [
    { topic: "t", message: "a" },
    { topic: "t", message: "b" },
    { topic: "t", message: "c" },
  ]);
  for (const client of clients) expect(await client.take(3)).toEqual(["a", "b", "c"]);
  await until("the end of the wave", async () => {
    return (await scrape(relay)).value("baton_wave_publications_sum") === 3;
  });
  const found = await scrape(relay);
  expect(found.value("baton_publication_departure_seconds_count")).toBe(3);
  expect(found.value('baton_deliveries_total{protocol="plain"}')).toBe(3 * 64);
});

test("every series has a name by Prometheus' conventions, and a value once its event has happened", async () => {
  for (const [name, { type, help }] of Object.entries(SERIES)) {
    expect(name).toMatch(/^(baton|process)_[a-z_]+$/);
    expect(name.endsWith("_total"), name).toBe(type === "counter");
    if (type === "histogram") expect(name).toMatch(/_(seconds|publications)$/);
    expect(help, name).toMatch(/^[A-Z].*\.$/);
  }
  const { url } = await RedisServer.shared();
  const orders = { kind: "redis", url, stream: crypto.randomUUID() };
  await using backend = new ProxyBackend();
  await using relay = await startRelay({
    ...withTls(),
    ...PUSH_ENV,
    BATON_SOURCES_FILE: sourcesFile({ orders }),
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    ...PUSH_ENV,
  });
  await until("the source", async () =>
    (await scrape(relay)).names.includes("baton_source_lag_records"),
  );
  backend.answer("/connect", () => new Response("", { status: 500 }));
  await expect(relay.connect()).rejects.toThrow("refused");
  backend.answer("/connect", ({ body }) => ({ result: { user: body.user } }));
  const client = await relay.connect();
  client.close();
  await client.closed;
  await until("the close", () => relay.counts.connections === 0);
  await relay.connect();
  const names = (await scrape(relay)).names.map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  expect(new Set(names)).toEqual(new Set(Object.keys(SERIES)));
});

test("E7: a turn of the event loop that takes long is seen in baton_event_loop_delay_seconds", async () => {
  await using relay = await startRelay();
  const isSeen = async () => {
    const found = await scrape(relay);
    const count = found.value("baton_event_loop_delay_seconds_count");
    return count > found.value('baton_event_loop_delay_seconds_bucket{le="0.25"}');
  };
  // Between two looks 250 ms apart, this makes one of them 350 ms late or more.
  const begin = performance.now();
  while (performance.now() - begin < 600);
  await until("the delay to be counted", isSeen);
});

test("docs/metrics.md has the table that `bun run reference` makes of the series", async () => {
  const page = await Bun.file(join(import.meta.dir, "../../docs/metrics.md")).text();
  expect(page).toContain(`\n${seriesTable()}\n`);
});
