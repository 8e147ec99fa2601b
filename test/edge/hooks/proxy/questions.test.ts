// The backend is asked, in the requests and answers that Centrifugo's documentation of its proxy shows. What is expected here of
// replies is what Centrifugo 6.9 answers with the same backend.
import { expect, test } from "bun:test";
import { inSeconds, SECRET, token } from "../../../support/centrifuge/sdk";
import { SessionClient } from "../../../support/centrifuge/session-client";
import { Client } from "../../../support/clients/client";
import { ProxyBackend } from "../../../support/hooks/proxy-backend";
import { PUSHER_ENV } from "../../../support/pusher/app";
import { authOf, PusherClient } from "../../../support/pusher/socket-client";
import { startRelay } from "../../../support/relay/test-relay";
import { topicsFile } from "../../../support/relay/topics-file";
import { until } from "../../../support/wait";

const INTERNAL = { code: 100, message: "internal server error", temporary: true };

test("a client that shows no token is who the backend says, with its data, info and topics", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => ({
    result: {
      user: "56",
      info: { name: "Ada" },
      data: { hello: 1 },
      channels: ["one"],
      subs: { two: { info: { role: "host" }, data: { seat: 7 } } },
    },
  }));
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.open(relay);
  const { connect } = await client.ask("connect", { name: "js", version: "1.2", data: { a: 1 } });
  expect(connect.data).toEqual({ hello: 1 });
  expect(Object.keys(connect.subs)).toEqual(["one", "two"]);
  expect(connect.subs.two.data).toEqual({ seat: 7 });
  const [question] = await backend.questions("/connect");
  expect(question?.body).toEqual({
    client: connect.client,
    transport: "websocket",
    protocol: "json",
    encoding: "json",
    name: "js",
    version: "1.2",
    data: { a: 1 },
  });
  expect(question?.headers.get("content-type")).toBe("application/json");
  await client.ask("publish", { channel: "two", data: 1 });
  const { pub } = (await client.next()) as { pub: { info: unknown } };
  expect(pub.info).toEqual({
    user: "56",
    client: connect.client,
    conn_info: { name: "Ada" },
    chan_info: { role: "host" },
  });
  client.drop();
});

test("a client with a token is not asked about when it connects, and the meta of its token is told with later questions", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({
    ...backend.settings,
    BATON_TOKEN_SECRET: SECRET,
    BATON_PROXY_META: "1",
  });
  const signed = await token({ sub: "7", meta: { plan: "pro" } });
  const client = await SessionClient.connect(relay, { token: signed });
  expect(backend.asked).toEqual([]);
  await client.ask("rpc", { method: "m" });
  const [question] = await backend.questions("/rpc");
  expect(question?.body).toMatchObject({ user: "7", meta: { plan: "pro" } });
  client.drop();
});

test.each([
  ["an error", { error: { code: 1001, message: "nope" } }, { code: 1001, message: "nope" }],
  [
    "a temporary error",
    { error: { code: 1002, temporary: true } },
    { code: 1002, message: "", temporary: true },
  ],
  [
    "an end in the past",
    { result: { user: "1", expire_at: inSeconds(-10) } },
    { code: 110, message: "expired" },
  ],
  ["a user that is a number", { result: { user: 5 } }, INTERNAL],
  ["status 500", new Response("oops", { status: 500 }), INTERNAL],
  ["a redirect", new Response("", { status: 302, headers: { location: "/elsewhere" } }), INTERNAL],
  ["no JSON", new Response("oops"), INTERNAL],
  ["no UTF-8", new Response(new Uint8Array([0x22, 0xff, 0x22])), INTERNAL],
  ["something compressed", gzipped('{"result":{"user":"1"}}'), INTERNAL],
  ["more than may be read", new Response(" ".repeat(2_000_000)), INTERNAL],
  ["what does not end", new Response(endless()), INTERNAL],
])("a connect that is answered with %s is refused", async (_, answer, error) => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => answer);
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.open(relay);
  expect((await client.ask("connect", {})).error).toEqual(error);
  expect(backend.asked.map(({ path }) => path)).toEqual(["/connect"]);
  client.drop();
});

test.each([
  ["a disconnect", { disconnect: { code: 4501, reason: "unauthorized" } }, 4501, "unauthorized"],
  [
    "a reason that is too long",
    { disconnect: { code: 4500, reason: "é".repeat(100) } },
    4500,
    "é".repeat(61),
  ],
  ["nothing about the user", {}, 3501, "bad request"],
])("a connect that is answered with %s is closed", async (_, answer, code, reason) => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => answer);
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.open(relay);
  client.send("connect", {});
  expect(await client.closed).toMatchObject({ code, reason });
});

test("who the backend says nothing about is anonymous where such clients may connect", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => ({}));
  await using relay = await startRelay({ ...backend.settings, BATON_ANONYMOUS: "1" });
  const client = await SessionClient.open(relay);
  expect((await client.ask("connect", {})).connect.client).toBeString();
  client.drop();
});

test("with a connect proxy, clients of sessions may do only what rules or the backend allow", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({ BATON_PROXY_CONNECT: `${backend.url}/connect` });
  const client = await SessionClient.connect(relay);
  expect((await client.ask("subscribe", { channel: "news" })).error.code).toBe(103);
  expect((await client.ask("publish", { channel: "news", data: 1 })).error.code).toBe(103);
  expect((await client.ask("rpc", { method: "m" })).error.code).toBe(108);
  client.drop();
});

test("a subscribe is decided by the backend, with what others see of the client and what it is sent", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/subscribe", ({ body }) => {
    if (body.channel !== "chat:index")
      return { error: { code: 403, message: "permission denied" } };
    return { result: { info: { seat: 1 }, data: { welcome: true } } };
  });
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.connect(relay);
  const answer = await client.ask("subscribe", { channel: "chat:index", data: { q: 1.0 } });
  expect(answer.subscribe.data).toEqual({ welcome: true });
  const [question] = await backend.questions("/subscribe");
  expect(question?.body).toEqual({
    client: client.id,
    transport: "websocket",
    protocol: "json",
    encoding: "json",
    user: "56",
    channel: "chat:index",
    data: { q: 1 },
  });
  const refused = await client.ask("subscribe", { channel: "chat:other" });
  expect(refused.error).toEqual({ code: 403, message: "permission denied" });
  client.drop();
});

test("marks in a topic's name decide before the backend is asked", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.connect(relay);
  expect((await client.ask("subscribe", { channel: "$secret" })).error.code).toBe(103);
  expect((await client.ask("subscribe", { channel: "room#57" })).error.code).toBe(103);
  expect((await client.ask("subscribe", { channel: "room#56" })).subscribe).toBeDefined();
  expect((await client.ask("publish", { channel: "room#57", data: 1 })).error.code).toBe(103);
  expect(backend.asked.map(({ path }) => path)).toEqual(["/connect"]);
  client.drop();
});

test("a publication goes out as the backend says, with its bytes", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/publish", ({ body }) => {
    if (body.data === "bad") return { error: { code: 1000, message: "custom", temporary: true } };
    return new Response('{"result":{"data":{"n":1.0},"tags":{"a":"b"},"idempotency_key":"k"}}');
  });
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.connect(relay, { topics: ["news"] });
  const { url } = await relay.registration("56", ["news"]);
  const plain = await relay.open(`${url}?format=json`);
  client.send("publish", { channel: "news", data: { input: "hello" } });
  client.send("publish", { channel: "news", data: { input: "again" } });
  expect(await plain.next()).toContain('"data":{"n":1.0}');
  const refused = await client.ask("publish", { channel: "news", data: "bad" });
  expect(refused.error).toEqual({ code: 1000, message: "custom", temporary: true });
  const { pub } = (await client.next()) as { pub: { data: unknown; tags: unknown } };
  expect([pub.data, pub.tags]).toEqual([{ n: 1 }, { a: "b" }]);
  const [question] = await backend.questions("/publish");
  expect(question?.body).toMatchObject({ user: "56", channel: "news", data: { input: "hello" } });
  client.drop();
});

test("a call is answered by the backend", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/rpc", ({ body: { method } }) => {
    if (method === "price") return { result: { data: { answer: "2019" } } };
    if (method === "base64") return { result: { b64data: btoa('{"x": 1}') } };
    if (method === "binary") return { result: { b64data: btoa("\u0000\u0001") } };
    if (method === "error") return { error: { code: 404, message: "no" } };
    return method === "out" ? { disconnect: { code: 4500, reason: "out" } } : {};
  });
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.connect(relay);
  const call = async (body: object) => client.ask("rpc", body);
  expect((await call({ method: "price", data: { id: 12 } })).rpc).toEqual({
    data: { answer: "2019" },
  });
  expect((await call({ method: "base64" })).rpc).toEqual({ data: { x: 1 } });
  expect((await call({ method: "binary" })).error).toEqual(INTERNAL);
  expect((await call({ method: "error" })).error).toEqual({ code: 404, message: "no" });
  expect((await call({ data: null })).rpc).toEqual({});
  const questions = await backend.questions("/rpc", 5);
  expect(questions[0]?.body).toMatchObject({ user: "56", method: "price", data: { id: 12 } });
  expect(Object.keys(questions[4]?.body)).toEqual([
    "client",
    "transport",
    "protocol",
    "encoding",
    "user",
    "data",
  ]);
  client.send("rpc", { method: "out" });
  expect(await client.closed).toMatchObject({ code: 4500, reason: "out" });
});

test("all of it is the same in protobuf", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", () => ({ result: { user: "56", data: { hello: 1 } } }));
  backend.answer("/rpc", ({ body }) => ({ result: { b64data: body.b64data } }));
  await using relay = await startRelay({
    ...backend.settings,
    BATON_PROXY_EMULATED_HEADERS: "X-App",
    BATON_PROXY_BINARY: "1",
  });
  const client = await SessionClient.open(relay, "protobuf");
  const headers = { "X-App": "7", "X-Empty": "" };
  const { connect } = await client.ask("connect", { name: "go", data: { a: 1 }, headers });
  expect(connect.data).toEqual({ hello: 1 });
  const [first] = await backend.questions("/connect");
  expect(first?.body).toMatchObject({ protocol: "protobuf", encoding: "binary", name: "go" });
  expect(atob(first?.body.b64data)).toBe('{"a":1}');
  expect(first?.headers.get("x-app")).toBe("7");
  expect((await client.ask("rpc", { method: "echo", data: [1] })).rpc).toEqual({ data: [1] });
  client.drop();
});

test("a rule of a prefix names another address, or none", async () => {
  await using backend = new ProxyBackend();
  const file = topicsFile({
    "open:": { proxy_subscribe: "", allow_subscribe: ["client"] },
    "chat:": { proxy_subscribe: `${backend.url}/chat`, proxy_rpc: `${backend.url}/chat-rpc` },
  });
  await using relay = await startRelay({ ...backend.settings, BATON_TOPICS_FILE: file });
  const client = await SessionClient.connect(relay, { topics: ["open:1", "chat:1", "other"] });
  await client.ask("rpc", { method: "chat:send" });
  await client.ask("rpc", { method: "other" });
  expect(backend.asked.map(({ path }) => path)).toEqual([
    "/connect",
    "/chat",
    "/subscribe",
    "/chat-rpc",
    "/rpc",
  ]);
  client.drop();
});

test("a registered client connects when the backend agrees, as the user of its registration, and with the backend's topics", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/connect", ({ body }) => ({
    result: { user: body.user, channels: [`user-${body.user}`] },
  }));
  await using relay = await startRelay({ BATON_PROXY_CONNECT: `${backend.url}/connect` });
  const client = await relay.open(await relay.register(7));
  await client.settled();
  expect(await relay.publish("user-7", "hello")).toBe(1);
  expect(await client.next()).toBe("hello");
  const [question] = await backend.questions("/connect");
  expect(question?.body).toMatchObject({ transport: "uni_websocket", protocol: "json", user: "7" });
  backend.answer("/connect", () => ({ result: { user: "somebody else" } }));
  await expect(Client.open(await relay.register(8))).rejects.toThrow("refused");
  const { sse } = await relay.registration(9);
  const refused = await fetch(sse, { headers: { accept: "application/json" } });
  expect(refused.status).toBe(403);
  expect(((await refused.json()) as { error: { code: string } }).error.code).toBe(
    "backend_refused",
  );
  expect(relay.counts.registrations).toBe(2);
});

test("a registered client has a topic that the backend decides about only by its registration", async () => {
  await using backend = new ProxyBackend();
  await using relay = await startRelay({ BATON_PROXY_SUBSCRIBE: `${backend.url}/subscribe` });
  const { url } = await relay.registration(7, ["mine"]);
  const client = await relay.open(`${url}?format=json`);
  client.send({ topics: ["mine", "others"] });
  expect(JSON.parse(await client.next()).error.code).toBe("permission_denied");
  client.send({ topics: ["mine"] });
  expect(JSON.parse(await client.next()).error).toBeUndefined();
});

test("a registered client may stay for as long as the backend says", async () => {
  await using backend = new ProxyBackend();
  // In whole seconds, two at least: with one, an answer that is on its way as a second ends comes when its time is over.
  backend.answer("/connect", () => ({ result: { user: "7", expire_at: inSeconds(2) } }));
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${backend.url}/connect`,
    BATON_PING_MS: "100",
  });
  const client = await relay.connect(7);
  expect(await client.closed).toMatchObject({ code: 4005 });
});

test("what a Pusher client may have without a signature, and what it sends, is decided by the backend too", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/subscribe", ({ body }) =>
    body.channel === "news" ? {} : { error: { code: 403, message: "no" } },
  );
  await using relay = await startRelay({ ...backend.settings, ...PUSHER_ENV });
  const client = await PusherClient.open(relay.url);
  client.send("pusher:subscribe", { channel: "news" });
  expect((await client.next()).event).toBe("pusher_internal:subscription_succeeded");
  client.send("pusher:subscribe", { channel: "others" });
  expect(await client.next()).toMatchObject({
    event: "pusher:subscription_error",
    channel: "others",
  });
  const channel = "private-mine";
  const auth = authOf(`${client.socketId}:${channel}`);
  client.send("pusher:subscribe", { channel, auth });
  expect((await client.next()).event).toBe("pusher_internal:subscription_succeeded");
  backend.answer("/publish", () => ({ error: { code: 1000, message: "no" } }));
  client.send("client-hello", { a: 1 }, channel);
  expect((await client.next()).event).toBe("pusher:error");
  expect(backend.asked.map(({ path, body }) => `${path} ${body.channel}`)).toEqual([
    "/subscribe news",
    "/subscribe others",
    "/publish private-mine",
  ]);
});

test("GET /explain says when the backend has refused a topic", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/subscribe", () => ({ error: { code: 403, message: "not in this room" } }));
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.connect(relay);
  await client.ask("subscribe", { channel: "room" });
  const { json } = await relay.request("GET", "/explain?topic=room&user=56");
  expect(json.verdict).toBe("refused_by_backend");
  expect(json.findings[0].message).toContain("(subscribe): not in this room");
  client.drop();
  await until("the end", () => relay.counts.connections === 0);
});

test("what an answer asks for and the relay does not do is said in the log, once", async () => {
  await using backend = new ProxyBackend();
  backend.answer("/subscribe", ({ body }) =>
    body.channel === "filtered"
      ? { result: { server_tags_filter: { op: "eq" } } }
      : { result: { override: { force_recovery: { value: true } } } },
  );
  await using relay = await startRelay(backend.settings);
  const client = await SessionClient.connect(relay, { topics: ["a", "b"] });
  const lines = relay.log.filter((line) => line.includes('"member":"override.force_recovery"'));
  expect(lines).toHaveLength(1);
  expect((await client.ask("subscribe", { channel: "filtered" })).error).toEqual(INTERNAL);
  expect(
    relay.log.some((line) => line.includes("filters on subscriptions are not supported")),
  ).toBe(true);
  client.drop();
});

function endless(): ReadableStream {
  const chunk = new Uint8Array(65_536);
  return new ReadableStream({ pull: (controller) => controller.enqueue(chunk) });
}

function gzipped(text: string): Response {
  return new Response(Bun.gzipSync(text), { headers: { "content-encoding": "gzip" } });
}
