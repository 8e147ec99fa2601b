// The Centrifuge client protocol on the wire (docs/centrifuge-protocol.md), as far as the SDKs do not show it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { inSeconds, SECRET, token } from "../../support/centrifuge/sdk";
import { SessionClient } from "../../support/centrifuge/session-client";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const RULES = { "brief:": { history_size: 0 }, "large:": { history_size: 1_000 } };

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_TOPICS_FILE: topicsFile(RULES),
    BATON_BACKPRESSURE_BYTES: "65536",
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

let topics = 0;
const newTopic = (prefix = "") => `${prefix}topic${++topics}`;

const socketUrl = () => `${relay.url.replace("http", "ws")}/connection/websocket`;

const publish = async (topic: string, data: unknown, more: object = {}) => {
  const { status, json } = await relay.post("/publish", { topic, data, ...more });
  expect(status).toBe(200);
  return json as { offset: number; epoch: string };
};

describe("an SDK comes back", () => {
  test("after another command than connect came first, as when it is in a hurry, but not after a second connect", async () => {
    const early = await Client.open(socketUrl());
    early.send('{"id":1,"subscribe":{"channel":"a"}}\n{"id":2,"connect":{}}');
    expect(await early.closed).toEqual({ code: 3011, reason: "force reconnect" });
    const twice = await Client.open(socketUrl());
    twice.send('{"id":1,"connect":{}}\n{"id":2,"connect":{}}');
    expect((await twice.closed).code).toBe(3501);
  });
});

describe("a client that resumes", () => {
  test("finds what it missed since its offset in the reply, and then receives what is live", async () => {
    const channel = newTopic();
    const { epoch } = await publish(channel, 1);
    for (const n of [2, 3, 4]) await publish(channel, n);
    const session = await SessionClient.connect(relay);
    const since = { recover: true, offset: 1, epoch };
    const { subscribe } = await session.ask("subscribe", { channel, ...since });
    expect(subscribe).toEqual({
      recoverable: true,
      positioned: true,
      epoch,
      offset: 1,
      was_recovering: true,
      recovered: true,
      publications: [2, 3, 4].map((data) => ({ data, offset: data })),
    });
    await publish(channel, 5);
    expect(await session.next()).toEqual({ channel, pub: { data: 5, offset: 5 } });
    session.close();
  });

  test("finds it in the reply to connect for the topics that the server subscribes it to", async () => {
    const channels = [newTopic(), newTopic()];
    const positions: Record<string, { epoch: string }> = {};
    for (const channel of channels) {
      positions[channel] = await publish(channel, 1);
      await publish(channel, 2);
    }
    const subs = Object.fromEntries(
      channels.map((channel) => [
        channel,
        { recover: true, offset: 1, epoch: positions[channel]?.epoch },
      ]),
    );
    const client = await Client.open(socketUrl());
    client.send({ id: 1, connect: { subs } });
    const { connect } = JSON.parse(await client.next());
    for (const channel of channels) {
      expect(connect.subs[channel]).toMatchObject({
        offset: 1,
        recovered: true,
        publications: [{ data: 2, offset: 2 }],
      });
    }
    client.close();
  });

  test("finds no publications if it missed nothing", async () => {
    const channel = newTopic();
    const { epoch } = await publish(channel, 1);
    const session = await SessionClient.connect(relay);
    const since = { recover: true, offset: 1, epoch };
    const { subscribe } = await session.ask("subscribe", { channel, ...since });
    expect(subscribe).toMatchObject({ recovered: true, offset: 1 });
    expect(subscribe).not.toHaveProperty("publications");
    session.close();
  });

  test("does not find what was published for another user", async () => {
    const channel = newTopic();
    const { epoch } = await publish(channel, 1);
    await publish(channel, 2, { user_id: "ann" });
    await publish(channel, 3);
    await publish(channel, 4, { user_id: "ann" });
    const session = await SessionClient.connect(relay);
    const since = { recover: true, offset: 1, epoch };
    const { subscribe } = await session.ask("subscribe", { channel, ...since });
    expect(subscribe.publications).toEqual([{ data: 3, offset: 3 }]);
    await publish(channel, 5);
    expect(await session.next()).toEqual({ channel, pub: { data: 5, offset: 5 } });
    session.close();
  });

  test("receives what does not fit into the reply after it, once and in order", async () => {
    const channel = newTopic("large:");
    const padding = "x".repeat(500);
    const { epoch } = await publish(channel, 0);
    const batch = Array.from({ length: 600 }, (_, i) => ({
      topic: channel,
      data: { n: i + 1, padding },
    }));
    await relay.post("/publish", batch);
    const session = await SessionClient.connect(relay);
    const since = { recover: true, offset: 1, epoch };
    const { subscribe } = await session.ask("subscribe", { channel, ...since });
    expect(subscribe).toMatchObject({ recovered: true, offset: 1 });
    const got: number[] = subscribe.publications.map(({ data }: { data: { n: number } }) => data.n);
    expect(got.length).toBeGreaterThan(0);
    expect(JSON.stringify(subscribe).length).toBeLessThan(65_536 / 4);
    await publish(channel, { n: 601 });
    while (got.at(-1) !== 601) got.push((await session.next()).pub.data.n);
    expect(got).toEqual(Array.from({ length: 601 }, (_, i) => i + 1));
    session.close();
  });

  test("is refused a subscription with a gap if it forbids one, but not in a topic without history", async () => {
    const session = await SessionClient.connect(relay);
    const since = { recover: true, offset: 9, epoch: "_", flag: 3 };
    const kept = await session.ask("subscribe", { channel: newTopic(), ...since });
    expect(kept.error).toEqual({ code: 112, message: "unrecoverable position" });
    const brief = await session.ask("subscribe", { channel: newTopic("brief:"), ...since });
    expect(brief.subscribe).toEqual({ was_recovering: true });
    session.close();
  });
});

test("a field that is null counts as missing", async () => {
  const client = await Client.open(socketUrl());
  const channel = newTopic();
  client.send(
    [
      { id: 1, connect: { token: null, data: null, subs: null }, subscribe: null },
      { id: 2, connect: null, subscribe: { channel, token: null, recover: null, epoch: null } },
      { id: 3, history: { channel, limit: null, since: null, reverse: null } },
      { id: 4, publish: { channel, data: null } },
    ]
      .map((command) => JSON.stringify(command))
      .join("\n"),
  );
  const replies = (await client.take(5)).map((line) => JSON.parse(line));
  expect(replies[1].subscribe).toMatchObject({ offset: 0 });
  expect(replies[2].history).toMatchObject({ publications: [], offset: 0 });
  expect(replies[3].push.pub).toMatchObject({ data: null, offset: 1 });
  expect(replies[4]).toEqual({ id: 4, publish: {} });
  client.close();
});

test("subscriptions of other kinds (maps, polls, filters) are refused", async () => {
  const session = await SessionClient.connect(relay);
  const channel = newTopic();
  for (const type of [1, 2, 3, 4]) {
    const { error } = await session.ask("subscribe", { channel, type });
    expect(error).toEqual({ code: 108, message: "not available" });
  }
  const tf = { key: "a", cmp: "eq", val: "b" };
  const { error } = await session.ask("subscribe", { channel, tf });
  expect(error).toEqual({ code: 107, message: "bad request" });
  expect((await session.ask("subscribe", { channel, type: 0 })).subscribe.offset).toBe(0);
  session.close();
});

test("refreshing a subscription with a token that has expired closes the connection with 3006", async () => {
  await using own = await startRelay({ BATON_TOKEN_SECRET: SECRET });
  const session = await SessionClient.connect(own, { token: await token({ sub: "ann" }) });
  const claims = { sub: "ann", channel: "$a" };
  await session.ask("subscribe", { channel: "$a", token: await token(claims) });
  const over = await token({ ...claims, exp: inSeconds(-60) });
  session.send("sub_refresh", { channel: "$a", token: over });
  expect(await session.closed).toEqual({ code: 3006, reason: "subscription expired" });
});

test("with BATON_KNOWN_PREFIXES_ONLY a prefix that no rule names is an unknown channel, for clients and for /api", async () => {
  await using own = await startRelay({
    BATON_KNOWN_PREFIXES_ONLY: "1",
    BATON_TOKEN_SECRET: SECRET,
    BATON_ANONYMOUS: "1",
    BATON_TOPICS_FILE: topicsFile({ "": { presence: true }, "news:": {} }),
  });
  const unknown = { code: 102, message: "unknown channel" };
  const channel = "nws:a";
  const session = await SessionClient.connect(own);
  const asked: [string, object][] = [
    ["subscribe", { channel }],
    ["publish", { channel, data: 1 }],
    ["presence", { channel }],
    ["presence_stats", { channel }],
    ["history", { channel }],
  ];
  for (const [method, body] of asked) {
    expect([method, (await session.ask(method, body)).error]).toEqual([method, unknown]);
  }
  expect((await session.ask("unsubscribe", { channel })).unsubscribe).toEqual({});
  // A topic whose prefix is known is still subject to its rule.
  expect((await session.ask("subscribe", { channel: "news:a" })).error.code).toBe(103);

  const client = await Client.open(`${own.url.replace("http", "ws")}/connection/websocket`);
  client.send({ id: 1, connect: { token: await token({ sub: "ann", channels: [channel] }) } });
  expect(JSON.parse(await client.next())).toEqual({ id: 1, error: unknown });
  client.drop();

  const api = async (method: string, body: object) => (await own.post(`/api/${method}`, body)).json;
  for (const method of ["publish", "history", "presence", "history_remove"]) {
    expect((await api(method, { channel, data: 1 })).error.code).toBe(unknown.code);
  }
  const { responses } = (await api("broadcast", { channels: ["news:a", channel], data: 1 })).result;
  expect(responses).toMatchObject([{ result: { offset: 1 } }, { error: { code: unknown.code } }]);
  expect(await own.publish(channel, "the base API knows no prefixes")).toBe(0);
});

test.each([
  ["/connection/http_stream", '{"push":{"disconnect":{"code":4500,"reason":"enough"}}}\n'],
  ["/connection/sse", 'data: {"push":{"disconnect":{"code":4500,"reason":"enough"}}}\n\n'],
])("the end of %s comes in a later packet than the push with the reason", async (path, last) => {
  const raw = await RawSocket.open(relay.port);
  const body = '{"id":1,"connect":{}}';
  raw.write(`POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n`);
  raw.write(body);
  const client = (await raw.until('"version"')).match(/"client":"(\w+)"/)?.[1];
  await raw.until("\n");
  const begun = performance.now();
  await relay.post("/api/disconnect", { client, disconnect: { code: 4500, reason: "enough" } });
  await raw.until(last);
  expect(relay.counts.connections).toBe(0);
  await raw.until("0\r\n\r\n");
  expect(performance.now() - begun).toBeGreaterThan(50);
  raw.drop();
});
