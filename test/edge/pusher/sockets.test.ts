// Sockets of Pusher clients: what a real relay answers to them. test/protocols/pusher.test.ts has the bytes of single frames.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { outcomes } from "../../support/centrifuge/signed-tokens";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { authOf, PusherClient } from "../../support/pusher/socket-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ ...PUSHER_ENV, BATON_CONNECTION_TOPICS_MAX: "5" });
});
afterAll(() => relay[Symbol.asyncDispose]());

const connect = (query?: string) => PusherClient.open(relay.url, query);

/** Publishes; resolves when it is accepted. */
async function publish(topic: string, message: string, more = {}): Promise<void> {
  const { status, text } = await relay.post("/publish", { topic, message, ...more });
  expect(status, text).toBe(200);
}

describe("the handshake", () => {
  test.each([
    "?protocol=7&client=js&version=8.6.0&flash=false",
    "?client=java-client&protocol=5",
    "",
  ])("gives each client a socket_id of two random numbers (%p)", async (query) => {
    const [one, two] = [await connect(query), await connect(query)];
    expect(one.socketId).toMatch(/^\d+\.\d+$/);
    expect(one.socketId).not.toBe(two.socketId);
  });

  test.each([
    ["of no app", "/app/other?protocol=7", 4001],
    ["that only begins like one", `/app/${APP.key}x?protocol=7`, 4001],
    ["with an escape in it", "/app/app%2Dkey?protocol=7", 4001],
    ["and a version that nobody speaks", `/app/${APP.key}?protocol=8`, 4007],
  ])("with a key %s ends with an error and the same code", async (_, path, code) => {
    const client = await Client.open(relay.url.replace("http", "ws") + path);
    const { event, data } = JSON.parse(await client.next());
    expect([event, data.code]).toEqual(["pusher:error", code]);
    expect((await client.closed).code).toBe(code);
  });

  test("without an upgrade is refused, and without apps there is no such route", async () => {
    expect((await relay.request("GET", `/app/${APP.key}`)).status).toBe(426);
    await using plain = await startRelay();
    expect((await plain.request("GET", `/app/${APP.key}`)).status).toBe(404);
    await expect(PusherClient.open(plain.url)).rejects.toThrow();
  });

  test("answers a ping that was sent before anything else, after the first frame", async () => {
    const client = await Client.open(`${relay.url.replace("http", "ws")}/app/${APP.key}`);
    client.send('{"event": "pusher:ping", "data": ""}');
    const events = (await client.take(2)).map((frame) => JSON.parse(frame).event);
    expect(events).toEqual(["pusher:connection_established", "pusher:pong"]);
  });
});

describe("a public channel", () => {
  test("has what every kind of publisher publishes, in order, and with except not for the client that it names", async () => {
    const [one, two] = [await connect(), await connect()];
    for (const client of [one, two]) expect(await client.subscribed("news")).toEqual({});
    await publish("news", "a", { event: "order" });
    await publish("news", "b", { except: one.socketId });
    await publish("news", "c");
    const byCentrifuge = { publish: { channel: "news", data: { n: 1 } } };
    expect(await outcomes(relay, "", [byCentrifuge])).toEqual(["done"]);
    expect((await one.take(3)).map(({ data }) => data)).toEqual(["a", "c", '{"n":1}']);
    expect(await two.take(4)).toEqual([
      { event: "order", channel: "news", data: "a" },
      { event: "message", channel: "news", data: "b" },
      { event: "message", channel: "news", data: "c" },
      { event: "message", channel: "news", data: '{"n":1}' },
    ]);
  });

  test("is left with unsubscribe, and answers a second subscribe like the first", async () => {
    const client = await connect();
    await client.subscribed("left");
    await client.subscribed("left");
    await publish("left", "once");
    expect((await client.next()).data).toBe("once");
    client.send("pusher:unsubscribe", { channel: "left" });
    expect(await client.rest()).toEqual([]);
    await publish("left", "missed");
    expect(await client.rest()).toEqual([]);
  });

  test.each(["", "a\nb", "x".repeat(256), "\ud800"])(
    "with the bad name %p is refused",
    async (name) => {
      const client = await connect();
      client.subscribe(name);
      expect((await client.next()).event).toBe("pusher:subscription_error");
    },
  );

  test("beyond the most that a connection may have is refused, and the others stay", async () => {
    const client = await connect();
    for (let i = 0; i < 5; i++) await client.subscribed(`many-${i}`);
    client.subscribe("many-5");
    expect(await client.next()).toMatchObject({
      event: "pusher:subscription_error",
      channel: "many-5",
      data: { type: "SubscriptionError", status: 422 },
    });
    await publish("many-0", "m");
    expect((await client.next()).data).toBe("m");
  });
});

describe("a private channel", () => {
  /** What a subscribe with this signature is answered with. */
  const answerTo = async (client: PusherClient, channel: string, auth: unknown, data?: string) => {
    client.send("pusher:subscribe", { auth, channel, ...(data && { channel_data: data }) });
    return (await client.next()).event.replace(/.*subscription_/, "");
  };

  test("is for clients whose backend has signed it for their connection", async () => {
    const client = await connect();
    for (const channel of ["private-a", "private-encrypted-a", "private-cache-a"]) {
      const auth = authOf(`${client.socketId}:${channel}`);
      expect(await answerTo(client, channel, auth)).toBe("succeeded");
      if (channel.includes("cache")) expect((await client.next()).event).toBe("pusher:cache_miss");
    }
    const data = '{"a":1}';
    const withData = authOf(`${client.socketId}:private-b:${data}`);
    expect(await answerTo(client, "private-b", withData, data)).toBe("succeeded");
    const withoutData = authOf(`${client.socketId}:private-c`);
    expect(await answerTo(client, "private-c", withoutData, data)).toBe("succeeded");
  });

  test("is closed to every other signature", async () => {
    const [client, other] = [await connect(), await connect()];
    const right = authOf(`${client.socketId}:private-a`);
    const wrong = {
      none: "",
      "a number": 7,
      "another connection's": authOf(`${other.socketId}:private-a`),
      "another channel's": authOf(`${client.socketId}:private-ab`),
      "one with another secret": authOf(`${client.socketId}:private-a`, { ...APP, secret: "x" }),
      "one with another key": right.replace(APP.key, "other"),
      "one with another key of the same length": right.replace(APP.key, "xxx-key"),
      "one in upper case": right.toUpperCase(),
      "one that is cut": right.slice(0, -1),
      "that of a user": authOf(`${client.socketId}::user::private-a`),
      "that of a member": authOf(`${client.socketId}:private-a:{"user_id":"1"}`),
    };
    for (const [which, auth] of Object.entries(wrong)) {
      expect([which, await answerTo(client, "private-a", auth)]).toEqual([which, "error"]);
    }
    await publish("private-a", "secret");
    expect(await client.rest()).toEqual([]);
    expect(await answerTo(client, "private-a", right)).toBe("succeeded");
  });

  test("cannot be had with the signature of a part of another name or of its data", async () => {
    const client = await connect();
    const auth = authOf(`${client.socketId}:presence-a:{"user_id":"1"}`);
    expect(await answerTo(client, 'presence-a:{"user_id":"1"}', auth)).toBe("error");
    const short = authOf(`${client.socketId}:presence-a`);
    expect(await answerTo(client, "presence-a", short, '{"user_id":"admin"}')).toBe("error");
    expect(await answerTo(client, "presence-a", short)).toBe("error");
  });
});

describe("a presence channel", () => {
  test("tells who is there, who comes and who goes", async () => {
    const [one, two] = [await connect(), await connect()];
    const first = await one.subscribed("presence-a", { user_id: 1, user_info: { n: "é" } });
    expect(first).toEqual({ presence: { count: 1, ids: ["1"], hash: { 1: { n: "é" } } } });
    const second = await two.subscribed("presence-a", { user_id: "b" });
    expect(second.presence.ids.toSorted()).toEqual(["1", "b"]);
    expect(second.presence.hash).toEqual({ 1: { n: "é" }, b: null });
    const added = await one.next();
    expect(added).toMatchObject({ event: "pusher_internal:member_added", channel: "presence-a" });
    expect(JSON.parse(added.data)).toEqual({ user_id: "b", user_info: null });
    await two.close();
    expect(await one.next()).toEqual({
      event: "pusher_internal:member_removed",
      channel: "presence-a",
      data: '{"user_id":"b"}',
    });
  });

  test.each([
    ["no user_id", {}],
    ["a user_id that is a fraction", { user_id: 1.5 }],
    ["an empty user_id", { user_id: "" }],
    ["a user_id that is an object", { user_id: {} }],
    ["more info than BATON_MEMBER_INFO_BYTES", { user_id: "1", user_info: "x".repeat(2_048) }],
  ])("refuses a member with %s", async (_, member) => {
    const client = await connect();
    client.subscribe("presence-b", member);
    expect((await client.next()).event).toBe("pusher:subscription_error");
  });

  test("takes the signed-in user where nothing else was signed", async () => {
    const client = await connect();
    client.signIn({ id: "u1", user_info: { n: 1 } });
    await client.next();
    expect(await client.subscribed("presence-c")).toEqual({
      presence: { count: 1, ids: ["u1"], hash: { u1: { n: 1 } } },
    });
  });
});

describe("a cache channel", () => {
  test("shows a new subscriber the last event of a backend right behind the success, or that there is none", async () => {
    const client = await connect();
    await client.subscribed("cache-a");
    expect(await client.nextText()).toBe(
      '{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}',
    );
    await publish("cache-a", "old");
    await publish("cache-a", "last", { event: "price" });
    const late = await connect();
    await late.subscribed("cache-a");
    expect(await late.next()).toEqual({ event: "price", channel: "cache-a", data: "last" });
  });

  test("does not count what clients say, nor what is for one user", async () => {
    const client = await connect();
    await client.subscribed("private-cache-b");
    await publish("private-cache-b", "of the backend");
    await publish("private-cache-b", "for one", { user_id: 7 });
    client.send("client-x", {}, "private-cache-b");
    await client.settled();
    const late = await connect();
    await late.subscribed("private-cache-b");
    expect((await late.next()).data).toBe("of the backend");
  });

  test("never shows an older event behind a newer one", async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect()));
    const published = (async () => {
      for (let i = 1; i <= 300; i++) await publish("cache-c", String(i));
    })();
    for (const client of clients) await client.subscribed("cache-c");
    await published;
    for (const client of clients) {
      const got = (await client.rest()).filter(({ event }) => event === "message");
      const numbers = got.map(({ data }) => Number(data));
      const from = numbers[0] ?? 0;
      expect(numbers).toEqual(Array.from({ length: 301 - from }, (__, i) => from + i));
    }
  });
});

describe("an event of a client", () => {
  test("reaches all others of its channel as it came in, and never its sender", async () => {
    const [one, two] = [await connect(), await connect()];
    for (const client of [one, two]) await client.subscribed("private-e");
    one.sendText('{"event":"client-x","channel":"private-e","data":{"n": 1.0}}');
    expect(await two.nextText()).toBe(
      '{"event":"client-x","channel":"private-e","data":{"n": 1.0}}',
    );
    one.sendText('{"event":"client-x","channel":"private-e"}');
    expect(await two.next()).toEqual({ event: "client-x", channel: "private-e", data: "{}" });
    expect(await one.rest()).toEqual([]);
  });

  test("in a presence channel says whose it is, and no client can say otherwise", async () => {
    const [one, two] = [await connect(), await connect()];
    await one.subscribed("presence-e", { user_id: "a" });
    await two.subscribed("presence-e", { user_id: "b" });
    await one.rest();
    await two.rest();
    one.sendText('{"event":"client-x","channel":"presence-e","data":1,"user_id":"b"}');
    expect(await two.next()).toEqual({
      event: "client-x",
      channel: "presence-e",
      data: 1,
      user_id: "a",
    });
  });

  test("is refused with 4301 where it may not be sent, and the connection stays", async () => {
    const client = await connect();
    await client.subscribed("news");
    await client.subscribed("private-f");
    const refused = [
      ["client-x", "news"],
      ["client-x", "private-not-subscribed"],
      ["client-x", "private-encrypted-f"],
      [`client-${"x".repeat(194)}`, "private-f"],
      ["client-\n", "private-f"],
      ["order", "private-f"],
    ] as const;
    for (const [event, channel] of refused) {
      client.send(event, {}, channel);
      expect((await client.next()).data.code).toBe(4301);
    }
    client.send("client-x", {}, "private-not-subscribed");
    expect((await client.next()).data.message).toContain("subscribe");
    client.send("client-x", "x".repeat(10_241), "private-f");
    expect((await client.next()).data.code).toBe(4301);
    client.send("client-x", { x: "x".repeat(10_240) }, "private-f");
    expect((await client.next()).data.code).toBe(4301);
    client.send(`client-${"x".repeat(193)}`, "x".repeat(10_240), "private-f");
    expect(await client.rest()).toEqual([]);
  });

  test("beyond 10 in a second is refused, however many there are", async () => {
    const [one, two] = [await connect(), await connect()];
    for (const client of [one, two]) await client.subscribed("private-g");
    for (let i = 0; i < 1_000; i++) one.send("client-x", i, "private-g");
    one.subscribe("behind-them");
    const refused: unknown[] = [];
    for (let frame = await one.next(); frame.event === "pusher:error"; frame = await one.next()) {
      refused.push(frame.data.code);
    }
    expect(new Set(refused)).toEqual(new Set([4301]));
    // The second may have changed meanwhile.
    expect(refused.length).toBeGreaterThan(900);
    expect(await two.rest()).toHaveLength(1_000 - refused.length);
  });
});

test("whoever breaks the protocol is told so, and nested thousands deep is closed with 4009", async () => {
  const client = await connect();
  for (const frame of [
    "x",
    "[]",
    '{"event":"pusher:nope"}',
    '{"event":"pusher:subscribe"}',
    '{"event":"pusher:subscribe","data":null}',
    '{"event":"pusher:unsubscribe","data":{"channel":"#no-user"}}',
    '{"event":"client-x","data":{}}',
  ]) {
    client.sendText(frame);
    expect((await client.next()).event).toMatch(/error$/);
  }
  client.sendText(`{"event":${"[".repeat(60_000)}`);
  expect((await client.next()).data.code).toBe(4009);
  expect((await client.closed).code).toBe(4009);
});

test("clients of all protocols get the same publication", async () => {
  const pusher = await connect();
  await pusher.subscribed("all");
  const plain = await relay.connect(1, ["all"]);
  const json = await relay.open(`${await relay.register()}?format=json`, ["all"]);
  await json.next();
  const body = '{"topic":"all","data":{"n": 1.0},"event":"order"}';
  const headers = { "content-type": "application/json" };
  await relay.request("POST", "/publish", { body, headers });
  expect((await pusher.next()).data).toBe('{"n": 1.0}');
  expect(await plain.next()).toBe('{"n": 1.0}');
  expect(await json.next()).toStartWith('{"topic":"all","event":"order","data":{"n": 1.0},');
});

test("a connection that a Pusher client has lost leaves nothing behind", async () => {
  await using small = await startRelay(PUSHER_ENV);
  const client = await PusherClient.open(small.url);
  await client.subscribed("presence-z", { user_id: "1" });
  client.drop();
  await until(
    "nothing to be left",
    () => small.counts.connections === 0 && small.counts.topics === 0,
  );
  expect((await small.request("GET", "/topics/presence-z/presence")).json.clients).toEqual([]);
});

test("members that are lost while another is behind, but within its limit, are not taken for slow consumers", async () => {
  await using small = await startRelay({
    ...PUSHER_ENV,
    BATON_BACKPRESSURE_BYTES: "67108864",
    BATON_MESSAGE_BYTES: "1000000",
  });
  const raw = await RawSocket.upgrade(`${small.url}/app/${APP.key}`);
  const { data } = JSON.parse((await raw.nextFrame()).payload.toString());
  const [channel, channel_data] = ["presence-z", '{"user_id":"behind"}'];
  const auth = authOf(`${JSON.parse(data).socket_id}:${channel}:${channel_data}`);
  const subscribe = { event: "pusher:subscribe", data: { channel, channel_data, auth } };
  raw.frame(1, JSON.stringify(subscribe));
  expect((await raw.nextFrame()).payload.toString()).toContain("subscription_succeeded");
  raw.pause();
  // More than the kernel takes.
  for (let n = 0; n < 32; n++) await small.publish(channel, "x".repeat(1_000_000));
  const clients = await Promise.all(Array.from({ length: 5 }, () => PusherClient.open(small.url)));
  for (const [i, client] of clients.entries()) await client.subscribed(channel, { user_id: i });
  for (const client of clients) client.drop();
  await until("all others to be gone", () => small.counts.connections === 1);
  expect(small.slowConsumerLines).toEqual([]);
  raw.drop();
});
