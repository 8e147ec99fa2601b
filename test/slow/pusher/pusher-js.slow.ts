// pusher-js and Laravel Echo as they are, against a relay and over its workers.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import Echo from "laravel-echo";
import Backend from "pusher";
import Pusher, { type Channel, type PresenceChannel } from "pusher-js";
import nacl from "tweetnacl";
import { Folder } from "../../support/machine/folder";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { authOf, PusherClient } from "../../support/pusher/socket-client";
import { WebhookReceiver } from "../../support/pusher/webhook-receiver";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

let relay: RelayProcess;
beforeAll(async () => {
  relay = await RelayProcess.start({ ...PUSHER_ENV, BATON_WORKERS: "4", BATON_SHUTDOWN_MS: "50" });
});
afterAll(() => relay[Symbol.asyncDispose]());

const clients: Pusher[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

/** A client whose backend says that it is this user. */
function connect(user: string, key = APP.key, port = relay.port): Pusher {
  const client = new Pusher(key, {
    cluster: "",
    wsHost: "127.0.0.1",
    wsPort: port,
    forceTLS: false,
    enabledTransports: ["ws"],
    channelAuthorization: {
      endpoint: "",
      transport: "ajax",
      customHandler: ({ socketId, channelName }, callback) => {
        const channel_data = JSON.stringify({ user_id: user, user_info: { name: `n${user}` } });
        const isPresence = channelName.startsWith("presence-");
        const text = `${socketId}:${channelName}${isPresence ? `:${channel_data}` : ""}`;
        callback(null, { auth: authOf(text), ...(isPresence && { channel_data }) });
      },
    },
    userAuthentication: {
      endpoint: "",
      transport: "ajax",
      customHandler: ({ socketId }, callback) => {
        const user_data = JSON.stringify({ id: user });
        callback(null, { auth: authOf(`${socketId}::user::${user_data}`), user_data });
      },
    },
  });
  clients.push(client);
  return client;
}

const subscribed = async (client: Pusher, name: string): Promise<Channel> => {
  const channel = client.subscribe(name);
  await until(`the subscription to ${name}`, () => channel.subscribed);
  return channel;
};

async function publish(topic: string, event: string, data: unknown, more = {}): Promise<void> {
  const body = JSON.stringify({ topic, event, data, ...more });
  const headers = { "content-type": "application/json" };
  const { status } = await fetch(`${relay.url}/publish`, { method: "POST", headers, body });
  expect(status).toBe(200);
}

/** What a channel has been sent under this name. */
function eventsOf(channel: Channel, name: string): unknown[] {
  const got: unknown[] = [];
  channel.bind(name, (data: unknown) => got.push(data));
  return got;
}

test("1,000 events arrive once and in order, and except leaves out one client on whichever worker it is", async () => {
  const [one, two] = [connect("1"), connect("2")];
  const got: unknown[][] = [];
  for (const client of [one, two]) got.push(eventsOf(await subscribed(client, "news"), "n"));
  expect(one.connection.socket_id).toMatch(/^\d+\.\d+$/);
  await publish("news", "n", "not for one", { except: one.connection.socket_id });
  for (let n = 0; n < 1_000; n++) await publish("news", "n", n);
  await until("all events", () => got.every((list) => list.at(-1) === 999));
  expect(got[0]).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  expect(got[1]).toEqual(["not for one", ...(got[0] ?? [])]);
});

test("members of a presence channel see each other, and a user with two connections once", async () => {
  const [a, b, again] = [connect("a"), connect("b"), connect("b")];
  const first = (await subscribed(a, "presence-room")) as PresenceChannel;
  const added = eventsOf(first, "pusher:member_added");
  const removed = eventsOf(first, "pusher:member_removed");
  const second = (await subscribed(b, "presence-room")) as PresenceChannel;
  await subscribed(again, "presence-room");
  expect([second.members.count, second.members.me]).toEqual([2, { id: "b", info: { name: "nb" } }]);
  await until("the member", () => first.members.count === 2);
  again.disconnect();
  await publish("presence-room", "marker", 1);
  expect([added, removed]).toEqual([[{ id: "b", info: { name: "nb" } }], []]);
  b.disconnect();
  await until("the member to go", () => first.members.count === 1);
  expect(removed).toHaveLength(1);
});

test("a member whose cable is cut leaves, though nothing tells its client", async () => {
  // The member who stays has to answer in time, however busy the machine is.
  const env = { ...PUSHER_ENV, BATON_PING_MS: "500", BATON_PONG_MS: "4000" };
  await using watchful = await RelayProcess.start(env);
  await using cable = await TcpProxy.start(watchful.url);
  const port = Number(new URL(cable.through(watchful.url)).port);
  const [a, b] = [connect("a", APP.key, port), connect("b", APP.key, watchful.port)];
  const room = (await subscribed(b, "presence-cable")) as PresenceChannel;
  const removed = eventsOf(room, "pusher:member_removed");
  await subscribed(a, "presence-cable");
  await until("the member", () => room.members.count === 2);
  cable.stall();
  await until("the member to go", () => room.members.count === 1);
  expect([removed, a.connection.state]).toEqual([[{ id: "a", info: { name: "na" } }], "connected"]);
});

test("the subscribers of a channel are told how many they are on all workers, and the backend once", async () => {
  await using backend = new WebhookReceiver();
  await using counting = await RelayProcess.start({
    ...PUSHER_ENV,
    ...backend.env,
    BATON_WORKERS: "2",
    BATON_PUSHER_SUBSCRIPTION_COUNTS_MS: "100",
    BATON_PUSHER_WEBHOOK_EVENTS: "subscription_count",
  });
  const channels: Channel[] = [];
  for (let i = 0; i < 6; i++) {
    channels.push(await subscribed(connect(String(i), APP.key, counting.port), "counted"));
  }
  const counts = () => channels.map(({ subscriptionCount }) => subscriptionCount);
  await until("all to be told", () => counts().every((count) => count === 6));
  const told = () => backend.events.map((event) => Number(event.subscription_count));
  await until("the backend to be told", () => told().includes(6));
  expect(told()).toEqual([...new Set(told())]);
});

describe("an event of a client", () => {
  test("reaches the others with the user of its sender, and never the sender", async () => {
    const [a, b] = [connect("a"), connect("b")];
    const [from, to] = [await subscribed(a, "presence-talk"), await subscribed(b, "presence-talk")];
    const echoed = eventsOf(from, "client-typing");
    const got: unknown[] = [];
    to.bind("client-typing", (data: unknown, metadata: unknown) => got.push(data, metadata));
    from.trigger("client-typing", { n: 1 });
    await until("the event", () => got.length > 0);
    expect(got).toEqual([{ n: 1 }, { user_id: "a" }]);
    expect(echoed).toEqual([]);
  });
});

test("a user who signs in gets the user's own events, and stays away once disconnected", async () => {
  const client = connect("u1");
  client.signin();
  await client.user.signinDonePromise;
  const got: unknown[] = [];
  client.user.bind("hello", (data: unknown) => got.push(data));
  await until("the user's channel", async () => {
    if (got.length === 0) await publish("#u1", "hello", { n: 1 });
    return got.length > 0;
  });
  expect(got[0]).toEqual({ n: 1 });
  await fetch(`${relay.url}/users/u1/connections`, { method: "DELETE" });
  await until("the client to give up", () => client.connection.state === "disconnected");
});

test("what the library for Node encrypts is read by a client that its backend has given the secret, and by nobody else", async () => {
  const key = Buffer.alloc(32, 7).toString("base64");
  const { hostname: host, port } = new URL(relay.url);
  const backend = new Backend({
    ...{ appId: APP.id, key: APP.key, secret: APP.secret, host, port, useTLS: false },
    encryptionMasterKeyBase64: key,
  });
  const name = "private-encrypted-notes";
  const client = new Pusher(APP.key, {
    ...{ cluster: "", wsHost: host, wsPort: Number(port), forceTLS: false },
    enabledTransports: ["ws"],
    nacl,
    channelAuthorization: {
      ...{ endpoint: "", transport: "ajax" },
      customHandler: ({ socketId }, callback) =>
        callback(null, backend.authorizeChannel(socketId, name)),
    },
  });
  clients.push(client);
  const got = eventsOf(await subscribed(client, name), "note");
  const other = await PusherClient.open(relay.url);
  await other.subscribed(name);
  await backend.trigger(name, "note", { secret: "tea" });
  await until("the event", () => got.length > 0);
  expect(got).toEqual([{ secret: "tea" }]);
  const { data } = await other.next();
  expect(Object.keys(JSON.parse(data)).toSorted()).toEqual(["ciphertext", "nonce"]);
  await other.close();
});

test("a cache channel begins with its last event, and a key of no app ends a client for good", async () => {
  await publish("cache-price", "price", 7);
  const channel = connect("1").subscribe("cache-price");
  const got = eventsOf(channel, "price");
  await until("the last event", () => got.length > 0);
  expect(got).toEqual([7]);
  const unknown = connect("1", "no-such-app");
  const errors: string[] = [];
  unknown.connection.bind("error", (error: unknown) => errors.push(JSON.stringify(error)));
  await until("the client to give up", () => unknown.connection.state === "disconnected");
  expect(errors.join()).toContain("4001");
});

test("a cache channel still has its last event after a kill -9 with SQLite", async () => {
  using folder = new Folder();
  const env = { ...PUSHER_ENV, BATON_ENGINE: `sqlite:${folder.path}/baton.db` };
  const killed = await RelayProcess.start(env);
  await killed.post("/publish", { topic: "cache-price", event: "price", data: { n: 7 } });
  killed.signal("SIGKILL");
  await killed.exited;
  await using next = await RelayProcess.start(env);
  const got = eventsOf(connect("1", APP.key, next.port).subscribe("cache-price"), "price");
  await until("the last event", () => got.length > 0);
  expect(got).toEqual([{ n: 7 }]);
});

test("a client that receives nothing asks after the time that the relay has told it, is answered, and stays", async () => {
  await using quiet = await RelayProcess.start({ ...PUSHER_ENV, BATON_PUSHER_ACTIVITY_MS: "1000" });
  const { connection } = connect("1", APP.key, quiet.port);
  const states: string[] = [];
  connection.bind("state_change", ({ current }: { current: string }) => states.push(current));
  let pongs = 0;
  connection.bind("message", ({ event }: { event: string }) => {
    if (event === "pusher:pong") pongs++;
  });
  await until("two answers", () => pongs >= 2);
  expect(states).toEqual(["connected"]);
});

test("Laravel Echo listens, joins, whispers and leaves", async () => {
  const [a, b] = [connect("a"), connect("b")].map(
    (client) => new Echo({ broadcaster: "pusher", client, key: APP.key }),
  );
  const got: unknown[] = [];
  a?.channel("orders").listen(".shipped", (data: unknown) => got.push(data));
  const here: unknown[] = [];
  const room = a?.join("echo").here((users: unknown[]) => here.push(...users));
  await until("the one who is here", () => here.length === 1);
  const typing: unknown[] = [];
  room?.listenForWhisper("typing", (data: unknown) => typing.push(data));
  const joined: unknown[] = [];
  room?.joining((user: unknown) => joined.push(user));
  const other = b?.join("echo");
  await until("the one who joins", () => joined.length === 1);
  await until("a whisper", () => {
    other?.whisper("typing", { n: 1 });
    return typing.length > 0;
  });
  await until("the event", async () => {
    await publish("orders", "shipped", { id: 1 });
    return got.length > 0;
  });
  expect([here, joined, typing[0], got[0]]).toEqual([
    [{ name: "na" }],
    [{ name: "nb" }],
    { n: 1 },
    { id: 1 },
  ]);
});

test("clients that come back while a process shuts down alone are at the next one soon after it has ended", async () => {
  await using ending = await RelayProcess.start({ ...PUSHER_ENV, BATON_SHUTDOWN_MS: "2000" });
  await using next = await RelayProcess.start({ ...PUSHER_ENV, BATON_SHUTDOWN_MS: "50" });
  await using proxy = await TcpProxy.start(ending.url);
  const port = Number(new URL(proxy.through(ending.url)).port);
  const moved = Array.from({ length: 20 }, (_, i) => connect(String(i), APP.key, port));
  const got: unknown[][] = [];
  for (const client of moved) got.push(eventsOf(await subscribed(client, "moved"), "n"));
  // It says so after 10 seconds; a client whose handshake is refused tries again after 15.
  const away: string[] = [];
  for (const { connection } of moved) connection.bind("unavailable", () => away.push("away"));
  const before = moved.map((client) => client.connection.socket_id);
  ending.signal("SIGTERM");
  expect(await ending.exited).toBe(0);
  proxy.port = next.port;
  const isBack = ({ connection }: Pusher, i: number) =>
    connection.state === "connected" && connection.socket_id !== before[i];
  await until("all clients to be back", () => moved.every(isBack));
  expect(away).toEqual([]);
  const publish = () => next.post("/publish", { topic: "moved", event: "n", data: 1 });
  await until("an event at each", async () => {
    await publish();
    return got.every((list) => list.length > 0);
  });
});
