// The commands of docs/operations.md start what it says.
import { expect, test } from "bun:test";
import { Client } from "../support/clients/client";
import { example } from "../support/docs/pages";
import { Shell } from "../support/docs/shell";
import { RedisServer } from "../support/engines/redis-server";
import { withTls } from "../support/machine/authority";
import { freePort } from "../support/machine/free-port";
import { childrenOf } from "../support/machine/processes";
import { until } from "../support/wait";

const PAGE = "docs/operations.md";

test("the production start is the relay itself: SIGTERM reaches it, and it exits with 0", async () => {
  await using shell = new Shell();
  const { process, url } = await shell.startRelay(example(PAGE, "production.sh"), { PORT: "0" });
  expect((await fetch(`${url}/health`)).status).toBe(200);
  process.kill("SIGTERM");
  expect(await process.exited).toBe(0);
}, 120_000);

test("the production start is the supervisor of its workers: SIGHUP reaches it, and it replaces them", async () => {
  await using shell = new Shell();
  const env = { PORT: `${freePort()}`, BATON_WORKERS: "2", BATON_SHUTDOWN_MS: "200" };
  const { process } = await shell.startRelay(example(PAGE, "production.sh"), env);
  const before = await childrenOf(process.pid);
  expect(before).toHaveLength(2);
  process.kill("SIGHUP");
  const areReplaced = async () => {
    const now = await childrenOf(process.pid);
    return now.length === 2 && now.every((pid) => !before.includes(pid));
  };
  await until("new workers", areReplaced);
  process.kill("SIGTERM");
  expect(await process.exited).toBe(0);
}, 120_000);

test("the relay speaks TLS with the files of the page", async () => {
  await using shell = new Shell();
  const { BATON_TLS_CERT, BATON_TLS_KEY } = withTls();
  const script = example(PAGE, "tls.sh")
    .replace("/etc/baton/fullchain.pem", BATON_TLS_CERT)
    .replace("/etc/baton/privkey.pem", BATON_TLS_KEY);
  const { url } = await shell.startRelay(script, { PORT: "0" });
  expect(url).toStartWith("https://");
  expect((await fetch(`${url}/health`)).status).toBe(200);
}, 120_000);

test("the metrics are open at the address of docs/metrics.md", async () => {
  await using shell = new Shell();
  const port = String(freePort());
  const script = example("docs/metrics.md", "metrics.sh").replace("9400", port);
  await shell.startRelay(script, { PORT: "0", BATON_API_KEYS: "a-key-of-the-backend" });
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(text).toContain("\nbaton_processes 1\n");
}, 120_000);

test("the two nodes over Redis are one relay", async () => {
  await using shell = new Shell();
  const redis = await RedisServer.shared();
  const script = example(PAGE, "two-nodes.sh")
    .replaceAll("redis://127.0.0.1:6379", redis.url)
    .replaceAll(/PORT=\d+/g, () => `PORT=${freePort()}`);
  const env = { BATON_REDIS_PREFIX: "docs" };
  // Each command by itself, so that a signal ends it.
  const starts = script
    .trim()
    .split("\n")
    .map((line) => shell.startRelay(line.replace(/ &$/, ""), env));
  const [one, two] = await Promise.all(starts);
  if (one === undefined || two === undefined) throw new Error("there are two nodes");
  const post = async (url: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    return (await answer.json()) as { url: string };
  };
  const registered = await post(`${one.url}/register`, { user_id: 1 });
  const client = await Client.open(registered.url.replace(/:\d+\//, `:${new URL(two.url).port}/`));
  await client.settled();
  await post(`${one.url}/publish`, { topic: "tech", message: "hi" });
  expect(await client.next()).toBe("hi");
  client.drop();
}, 120_000);
