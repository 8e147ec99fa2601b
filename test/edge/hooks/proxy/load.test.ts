// Many clients at once, and a backend that is slow or down: what is asked, what waits, and what whoever is too many is told.
import { expect, test } from "bun:test";
import { SessionClient } from "../../../support/centrifuge/session-client";
import { ProxyBackend } from "../../../support/hooks/proxy-backend";
import { Scrape } from "../../../support/metrics/scrape";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { until } from "../../../support/wait";

const scrape = (relay: TestRelay): Promise<Scrape> => Scrape.of(`${relay.url}/metrics`);

const BUSY = { code: 111, message: "too many requests", temporary: true };
const INTERNAL = { code: 100, message: "internal server error", temporary: true };

/** Opens sockets, each with these headers. */
function sockets(
  relay: TestRelay,
  count: number,
  headersOf: (i: number) => Record<string, string>,
) {
  return Promise.all(
    Array.from({ length: count }, (_, i) => SessionClient.open(relay, "json", headersOf(i))),
  );
}

test("so many questions are asked at once, so many wait, one more is answered with a temporary error, and other addresses are asked", async () => {
  await using backend = new ProxyBackend();
  await using other = new ProxyBackend();
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    BATON_PROXY_RPC: `${other.url}/rpc`,
    BATON_PROXY_CALLS_MAX: "2",
    BATON_PROXY_WAITING_MAX: "3",
  });
  const clients = await sockets(relay, 5, () => ({}));
  const last = await SessionClient.open(relay);
  const caller = await SessionClient.connect(relay);
  backend.hold();
  const replies = clients.map((client) => client.ask("connect", {}));
  await until("the queue", async () => (await scrape(relay)).value("baton_proxy_waiting") === 3);
  expect((await scrape(relay)).value("baton_proxy_running")).toBe(2);
  expect((await last.ask("connect", {})).error).toEqual(BUSY);
  expect((await caller.ask("rpc", { method: "m" })).rpc).toEqual({});
  await backend.questions("/connect", 3);
  backend.release();
  for (const { connect } of await Promise.all(replies)) expect(connect.client).toBeString();
  expect(backend.mostAtOnce).toBe(2);
  const found = await scrape(relay);
  expect(found.value('baton_proxy_questions_total{question="connect",outcome="granted"}')).toBe(6);
  expect(found.value('baton_proxy_failures_total{question="connect",reason="busy"}')).toBe(1);
  expect(found.value('baton_proxy_duration_seconds_count{question="connect"}')).toBe(7);
  for (const client of [...clients, caller, last]) client.drop();
});

test("whoever waits for too long is told so in time, and comes back", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    BATON_PROXY_CALLS_MAX: "1",
    BATON_PROXY_WAIT_MS: "20",
  });
  const first = await SessionClient.open(relay);
  const second = await SessionClient.open(relay);
  backend.hold();
  const reply = first.ask("connect", {});
  await backend.questions("/connect");
  expect((await second.ask("connect", {})).error).toEqual(BUSY);
  backend.release();
  expect((await reply).connect.client).toBeString();
  first.drop();
  second.drop();
});

test("a client that has gone while it waited is not asked about", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    BATON_PROXY_CALLS_MAX: "1",
  });
  const first = await SessionClient.open(relay);
  const gone = await SessionClient.open(relay);
  const third = await SessionClient.open(relay);
  backend.hold();
  const replies = [first.ask("connect", {})];
  await backend.questions("/connect");
  gone.send("connect", { name: "gone" });
  await until("the queue", async () => (await scrape(relay)).value("baton_proxy_waiting") === 1);
  replies.push(third.ask("connect", { name: "third" }));
  gone.drop();
  await until("the end", () => [...relay.running.relay.connections.unidentified()].length === 2);
  backend.release();
  await Promise.all(replies);
  expect(backend.asked.map(({ body }) => body.name)).toEqual([undefined, "third"]);
  first.drop();
  third.drop();
});

test("clients that show the same credentials in the same moment are one question, and others are not", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", ({ headers }) => ({
    result: { user: headers.get("authorization") ?? "" },
  }));
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    BATON_PROXY_HEADERS: "Authorization,X-Device",
    BATON_PROXY_SHARE_MS: "60000",
  });
  const credentials = (i: number) => ({
    authorization: i < 8 ? "ada" : "bob",
    "x-device": "phone",
  });
  const clients = await sockets(relay, 10, credentials);
  backend.hold();
  const replies = clients.map((client) => client.ask("connect", {}));
  await backend.questions("/connect", 2);
  backend.release();
  const ids = new Set((await Promise.all(replies)).map(({ connect }) => connect.client));
  expect(ids.size).toBe(10);
  expect(relay.running.relay.connections.ofUser("ada")).toHaveLength(8);
  // Somebody who says something else is asked about, and so is everybody without credentials.
  const others = await sockets(relay, 3, (i) =>
    i === 0 ? credentials(0) : { "x-device": "phone" },
  );
  await others[0]?.ask("connect", { data: 1 });
  for (const other of others.slice(1)) await other.ask("connect", {});
  expect(backend.asked).toHaveLength(5);
  for (const client of [...clients, ...others]) client.drop();
});

test("a backend that takes too long is given up, and its clients try again", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({ ...backend.settings, BATON_PROXY_TIMEOUT_MS: "1000" });
  const client = await SessionClient.connect(relay);
  backend.hold();
  expect((await client.ask("rpc", { method: "slow" })).error).toEqual(INTERNAL);
  expect((await client.ask("subscribe", { channel: "slow" })).error).toEqual(INTERNAL);
  backend.release();
  expect((await client.ask("rpc", { method: "fast" })).rpc).toEqual({});
  const found = await scrape(relay);
  expect(found.value('baton_proxy_failures_total{question="rpc",reason="timeout"}')).toBe(1);
  client.drop();
});

test("while the backend is down, clients are let in where the settings say so, but no answer is overruled", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({
    ...backend.settings,
    BATON_PROXY_FAILURE: "admit",
    BATON_DEFAULT_TOPICS: "-",
  });
  for (const path of ["/connect", "/subscribe", "/publish", "/rpc"]) {
    backend.answer(path, () => new Response("", { status: 503 }));
  }
  const client = await SessionClient.connect(relay, { topics: ["news"] });
  expect((await client.ask("publish", { channel: "news", data: 1 })).publish).toEqual({});
  expect((await client.ask("rpc", { method: "m" })).error).toEqual(INTERNAL);
  await relay.connect(7);
  expect(relay.running.relay.connections.ofUser("7")).toHaveLength(1);
  // It is there, and says something else than yes.
  backend.answer("/subscribe", () => new Response("", { status: 403 }));
  expect((await client.ask("subscribe", { channel: "a" })).error).toEqual(INTERNAL);
  backend.answer("/subscribe", () => ({ error: { code: 403 } }));
  expect((await client.ask("subscribe", { channel: "b" })).error.code).toBe(403);
  backend.answer("/subscribe", () => "nonsense");
  expect((await client.ask("subscribe", { channel: "c" })).error).toEqual(INTERNAL);
  client.drop();
});

test("another status than 200 means what the settings say, except where it is asked whether something goes on", async () => {
  await using backend = new ProxyBackend();
  const transforms = [
    { status_code: 403, to_error: { code: 403, message: "permission denied" } },
    { status_code: 401, to_disconnect: { code: 4501, reason: "unauthorized" } },
  ];
  await using relay = await startRelay({
    ...backend.settings,
    BATON_PROXY_STATUS_ANSWERS: JSON.stringify(transforms),
    BATON_PROXY_FAILURE: "admit",
  });
  const client = await SessionClient.connect(relay, { topics: ["mine"] });
  for (const path of ["/subscribe", "/sub_refresh"]) {
    backend.answer(path, () => new Response("", { status: 403 }));
  }
  const refused = await client.ask("subscribe", { channel: "other" });
  expect(refused.error).toEqual({ code: 403, message: "permission denied" });
  expect((await client.ask("sub_refresh", { channel: "mine" })).sub_refresh).toEqual({});
  backend.answer("/rpc", () => new Response("", { status: 401 }));
  client.send("rpc", { method: "m" });
  expect(await client.closed).toMatchObject({ code: 4501, reason: "unauthorized" });
});

test("a registered client whose backend is down is refused with 503, and told when to come back", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => new Response("", { status: 500 }));
  await using relay = await startRelay({ BATON_PROXY_CONNECT: `${backend.url}/connect` });
  const { sse } = await relay.registration(7);
  const refused = await fetch(sse, { headers: { accept: "application/json" } });
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  backend.answer("/connect", () => ({ result: { user: "7" } }));
  const accepted = await fetch(sse);
  expect(accepted.status).toBe(200);
  await accepted.body?.cancel();
});

test("the backend is sent the headers that the settings name, and nothing of a secret address is logged", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => new Response("", { status: 500 }));
  const secret = backend.url.replace("//", "//relay:pass%20word@");
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${secret}/connect?key=hidden`,
    BATON_PROXY_HEADERS: "X-Real-Ip,X-Both",
    BATON_PROXY_EMULATED_HEADERS: "X-App,X-Both",
    BATON_PROXY_STATIC_HEADERS: '{"X-Secret":"static"}',
  });
  const given = { "x-real-ip": "192.0.2.1", "x-both": "real", cookie: "a=b", "x-secret": "forged" };
  const client = await SessionClient.open(relay, "json", given);
  const headers = { "x-APP": " 7", "X-Both": "emulated", "X-Secret": "forged", Cookie: "c=d" };
  await client.ask("connect", { headers });
  const [question] = await backend.questions("/connect");
  const sent = Object.fromEntries(question?.headers ?? []);
  expect(sent).toMatchObject({
    authorization: `Basic ${btoa("relay:pass word")}`,
    "content-type": "application/json",
    "x-real-ip": "192.0.2.1",
    "x-both": "real",
    "x-app": "7",
    "x-secret": "static",
  });
  expect(sent.cookie).toBeUndefined();
  expect(relay.log.some((line) => line.includes(`"backend":"${backend.url}"`))).toBe(true);
  const everything = relay.log.join("\n") + (await relay.request("GET", "/metrics")).text;
  expect(everything).not.toMatch(/pass|hidden|static/);
  const bad = await SessionClient.open(relay);
  await bad.ask("connect", { headers: { "X-App": "a\r\nX-Secret: forged" } });
  const [, second] = await backend.questions("/connect", 2);
  expect(second?.headers.get("x-app")).toBeNull();
  client.drop();
  bad.drop();
});

test("SIGHUP puts other addresses in force", async () => {
  await using backend = new ProxyBackend();
  const env = {
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    BATON_PROXY_RPC: `${backend.url}/old`,
  };
  await using relay = await startRelay(env);
  const client = await SessionClient.connect(relay);
  await client.ask("rpc", { method: "m" });
  const { readSettings } = await import("../../../../src/settings/read");
  const next = readSettings({
    PORT: "0",
    BATON_SHUTDOWN_MS: "50",
    ...env,
    BATON_PROXY_RPC: `${backend.url}/new`,
  });
  expect(await relay.running.reloads.take(next)).toEqual([]);
  await client.ask("rpc", { method: "m" });
  expect(backend.asked.map(({ path }) => path)).toEqual(["/connect", "/old", "/new"]);
  const without = readSettings({ PORT: "0", BATON_SHUTDOWN_MS: "50" });
  await expect(relay.running.reloads.take(without)).rejects.toThrow("BATON_PROXY_CONNECT");
  client.drop();
});
