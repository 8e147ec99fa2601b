// What Prometheus itself says of the metrics: its own checks, the queries of the dashboard, and the alert rules.
import { expect, test } from "bun:test";
import { join } from "node:path";
import dashboard from "../../docs/grafana.json";
import { example } from "../support/docs/pages";
import { RedisServer } from "../support/engines/redis-server";
import { Folder } from "../support/machine/folder";
import { Prometheus } from "../support/metrics/prometheus";
import { Scrape } from "../support/metrics/scrape";
import { PUSH_ENV } from "../support/push/push-relay";
import { RelayProcess } from "../support/relay/relay-process";
import { RelayWithWorkers } from "../support/relay/relay-with-workers";
import { sourcesFile } from "../support/sources/sources-file";
import { until } from "../support/wait";

const ROOT = join(import.meta.dir, "../..");
const ALERTS = join(ROOT, "docs/alerts.yml");
/** All that promtool says; it says nothing of what is right. */
async function promtool(args: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn(["promtool", ...args], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return `${await child.exited} ${said.join("").trim()}`;
}

/** A relay of workers where whatever is counted has happened, and the address of its metrics. */
async function busyRelay(relay: RelayWithWorkers): Promise<string> {
  await using caller = relay.caller;
  const clients = [];
  for (let user = 0; user < 3; user++) clients.push(await caller.connect(user, ["t"]));
  await caller.post("/publish", { topic: "t", message: "m" });
  for (const client of clients) await client.next();
  await caller.post("/publish", { topic: "", message: "m" });
  const address = () => /open at (\S+)\./.exec(relay.logged.join("\n"))?.[1];
  await until("the address of the metrics", () => address() !== undefined);
  return address() as string;
}

test("promtool finds nothing wrong with the metrics of a relay", async () => {
  await using relay = await RelayWithWorkers.start({ BATON_METRICS_LISTEN: "127.0.0.1:0" });
  const { text } = await Scrape.of(await busyRelay(relay));
  expect(await promtool(["check", "metrics"], text)).toBe("0 ");
});

test("every query of the dashboard has values in a real Prometheus that scrapes a relay, and the rules are loaded", async () => {
  const { url } = await RedisServer.shared();
  const orders = { kind: "redis", url, stream: "orders of the dashboard" };
  await using relay = await RelayWithWorkers.start({
    ...PUSH_ENV,
    BATON_SOURCES_FILE: sourcesFile({ orders }),
    BATON_METRICS_LISTEN: "127.0.0.1:0",
  });
  await using prometheus = await Prometheus.start(await busyRelay(relay), ALERTS);
  await using caller = relay.caller;
  const subscribers = [];
  for (let user = 0; user < 200; user++) subscribers.push(await caller.connect(user, ["t"]));
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  expect(queries.length).toBeGreaterThan(25);
  for (const written of queries) {
    const query = written.replaceAll("$__rate_interval", "1m").replaceAll("$job", "baton");
    const hasValues = async () => {
      await caller.post("/publish", { topic: "t", message: "m" });
      await caller.post("/publish", { topic: "", message: "m" });
      const values = await prometheus.query(query);
      return values.length > 0 && values.some((value) => !Number.isNaN(value));
    };
    await until(`values of ${written}`, hasValues);
  }
  expect(await prometheus.query('count(ALERTS{alertstate="firing"})')).toEqual([]);
});

test("a real Prometheus scrapes with a key that opens nothing but the metrics, as docs/metrics.md says", async () => {
  const key = "a-key-of-prometheus";
  await using relay = await RelayProcess.start({ BATON_API_KEYS: `${key}:metrics` });
  using folder = new Folder();
  const keyFile = join(folder.path, "baton-key");
  await Bun.write(keyFile, `${key}\n`);
  const config = example("docs/metrics.md", "prometheus.yml")
    .replace("alerts.yml", ALERTS)
    .replace("baton-key", keyFile)
    .replace("10.0.0.1:8000", new URL(relay.url).host);
  await using prometheus = await Prometheus.startWith(config);
  const isUp = async () => (await prometheus.query('up{job="baton"}'))[0] === 1;
  await until("a scrape that is answered", isUp);
});

test("promtool accepts the alert rules, and they alert when something is wrong and only then", async () => {
  const rules = (await Bun.file(ALERTS).text()).match(/- alert: /g)?.length;
  const checked = await promtool(["check", "rules", ALERTS]);
  expect(checked).toStartWith("0 ");
  expect(checked).toEndWith(`SUCCESS: ${rules} rules found`);
  const tests = join(ROOT, "test/metrics/alerts.yml");
  expect(await promtool(["test", "rules", tests])).toMatch(/^0 [\s\S]*SUCCESS$/);
});
