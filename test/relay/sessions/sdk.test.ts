// The official JavaScript SDK of Centrifugo, as it comes from npm, against a real relay.
import { afterEach, describe, expect, test } from "bun:test";
import type { Centrifuge } from "centrifuge";
import type { Env } from "../../../src/settings/kinds";
import {
  connect,
  inSeconds,
  recordEvents,
  SECRET,
  sdk,
  subscribe,
  type Transport,
  token,
} from "../../support/centrifuge/sdk";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { startRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const open: Centrifuge[] = [];

/** A client of the SDK that is over with the test. */
const client = (...options: Parameters<typeof sdk>): Centrifuge => {
  const made = sdk(...options);
  open.push(made);
  return made;
};

afterEach(() => {
  for (const one of open.splice(0)) one.disconnect();
});

const ALL = ["client", "anonymous"];
const RULES = {
  "news:": {
    presence: true,
    join_leave: true,
    allow_subscribe: ALL,
    allow_publish: ALL,
    allow_presence: ALL,
    allow_history: ALL,
  },
  "read:": { allow_subscribe: ["client"] },
  "quiet:": { history_size: 0, allow_subscribe: ["client"], allow_history: ["client"] },
};

/** A relay with these rules, at which clients need a token. */
function relayWithTokens(env: Env = {}) {
  return startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_API_KEYS: "key",
    BATON_TOPICS_FILE: topicsFile(RULES),
    ...env,
  });
}

type Relay = Awaited<ReturnType<typeof relayWithTokens>>;

const api = async (relay: Relay, method: string, body: object) =>
  (await relay.post(`/api/${method}`, body, { "x-api-key": "key" })).json;

const as = async (user: string, claims: object = {}) => ({
  token: await token({ sub: user, ...claims }),
});

describe.each<Transport>(["websocket", "http_stream", "sse"])("over %s", (transport) => {
  test("a client connects, subscribes, publishes and gets what others publish", async () => {
    await using relay = await relayWithTokens();
    const ann = client(relay.url, transport, await as("ann"));
    const bob = client(relay.url, transport, await as("bob"));
    const event = await connect(ann);
    expect(event.client).toBeString();
    expect(event.transport).toBe(transport);
    await connect(bob);
    const { publications, entered } = await subscribe(bob, "news:a");
    expect(entered).toMatchObject({ channel: "news:a", recoverable: true, positioned: true });
    await ann.publish("news:a", { text: "hi" });
    const [first] = await publications.take(1);
    expect(first).toMatchObject({
      channel: "news:a",
      data: { text: "hi" },
      offset: 1,
      info: { user: "ann", client: event.client },
    });
    await api(relay, "publish", { channel: "news:a", data: [1, null], tags: { a: "b" } });
    const [second] = await publications.take(1);
    expect(second).toMatchObject({ data: [1, null], offset: 2, tags: { a: "b" } });
    expect(second?.info).toBeUndefined();
    await relay.post("/publish", { topic: "news:a", message: "text" }, { "x-api-key": "key" });
    expect((await publications.next()).data).toBe("text");
    expect(publications.rest).toEqual([]);
  });

  test("presence, and who joins and leaves", async () => {
    await using relay = await relayWithTokens();
    const ann = client(relay.url, transport, await as("ann", { info: { name: "Ann" } }));
    const bob = client(relay.url, transport, await as("bob"));
    const { client: annsId } = await connect(ann);
    const { client: bobsId } = await connect(bob);
    const mine = ann.newSubscription("news:a", { joinLeave: true });
    const joins = recordEvents(mine, "join");
    const leaves = recordEvents(mine, "leave");
    mine.subscribe();
    const annsInfo = { user: "ann", client: annsId, connInfo: { name: "Ann" } };
    expect((await joins.next()).info).toMatchObject(annsInfo);
    const { subscription } = await subscribe(bob, "news:a");
    expect((await joins.next()).info).toMatchObject({ user: "bob", client: bobsId });
    const { clients } = await ann.presence("news:a");
    expect(Object.keys(clients).toSorted()).toEqual([annsId, bobsId].toSorted());
    expect(clients[annsId]).toMatchObject(annsInfo);
    expect(await mine.presenceStats()).toEqual({ numClients: 2, numUsers: 2 });
    subscription.unsubscribe();
    expect((await leaves.next()).info).toMatchObject({ user: "bob", client: bobsId });
    subscription.subscribe();
    await joins.next();
    bob.disconnect();
    expect((await leaves.next()).info).toMatchObject({ user: "bob", client: bobsId });
    expect(await mine.presenceStats()).toEqual({ numClients: 1, numUsers: 1 });
  });

  test("history in pages, from both ends", async () => {
    await using relay = await relayWithTokens();
    const ann = client(relay.url, transport, await as("ann"));
    await connect(ann);
    for (const n of [1, 2, 3]) await ann.publish("news:a", n);
    const all = await ann.history("news:a", { limit: 10 });
    expect(all.publications.map(({ data }) => data)).toEqual([1, 2, 3]);
    const { offset, epoch } = all;
    expect(offset).toBe(3);
    const since = { offset: 1, epoch };
    const later = await ann.history("news:a", { since, limit: 1 });
    expect(later.publications.map(({ data }) => data)).toEqual([2]);
    const newest = await ann.history("news:a", { limit: 2, reverse: true });
    expect(newest.publications.map(({ data }) => data)).toEqual([3, 2]);
    expect((await ann.history("news:a", { limit: 0 })).publications).toEqual([]);
    const foreign = ann.history("news:a", { since: { offset: 1, epoch: "other" }, limit: 1 });
    await expect(foreign).rejects.toMatchObject({ code: 112 });
  });

  test("what the relay refuses has the codes of the protocol", async () => {
    await using relay = await relayWithTokens();
    const ann = client(relay.url, transport, await as("ann"));
    await connect(ann);
    await expect(ann.rpc("any", {})).rejects.toMatchObject({ code: 108 });
    await expect(ann.publish("read:a", 1)).rejects.toMatchObject({ code: 103 });
    await expect(ann.presence("read:a")).rejects.toMatchObject({ code: 108 });
    await expect(ann.history("quiet:a", { limit: 1 })).rejects.toMatchObject({ code: 108 });
    const denied = ann.newSubscription("other");
    const unsubscribed = recordEvents(denied, "unsubscribed");
    denied.subscribe();
    expect(await unsubscribed.next()).toMatchObject({ code: 103 });
  });

  test("a topic with a token of its own, and one that its token gives and takes", async () => {
    await using relay = await relayWithTokens();
    const ann = client(relay.url, transport, await as("ann"));
    await connect(ann);
    const getToken = ({ channel }: { channel: string }) =>
      token({ sub: "ann", channel, info: { role: "owner" } });
    const { publications } = await subscribe(ann, "$mine", { getToken });
    await api(relay, "publish", { channel: "$mine", data: 1 });
    expect((await publications.next()).data).toBe(1);
    const shut = ann.newSubscription("$shut");
    const unsubscribed = recordEvents(shut, "unsubscribed");
    shut.subscribe();
    expect(await unsubscribed.next()).toMatchObject({ code: 103 });
  });

  test("the topics that its token names, its personal one, and those that the backend gives it", async () => {
    await using relay = await relayWithTokens({ BATON_PERSONAL_TOPICS: "1" });
    const subs = { "any:b": { data: { welcome: true } } };
    const ann = client(relay.url, transport, await as("ann", { subs }));
    const entered = recordEvents(ann, "subscribed");
    const publications = recordEvents(ann, "publication");
    const unsubscribed = recordEvents(ann, "unsubscribed");
    await connect(ann);
    const both = (await entered.take(2)).toSorted((a, b) => a.channel.localeCompare(b.channel));
    expect(both).toMatchObject([
      { channel: "#ann", recoverable: true },
      { channel: "any:b", data: { welcome: true } },
    ]);
    await api(relay, "publish", { channel: "#ann", data: "to ann" });
    await api(relay, "publish", { channel: "any:b", data: "to b" });
    expect((await publications.take(2)).map(({ data }) => data)).toEqual(["to ann", "to b"]);
    await api(relay, "subscribe", { user: "ann", channel: "given" });
    expect(await entered.next()).toMatchObject({ channel: "given" });
    await api(relay, "publish", { channel: "given", data: "given" });
    expect(await publications.next()).toMatchObject({ channel: "given", data: "given" });
    await api(relay, "unsubscribe", { user: "ann", channel: "given" });
    expect(await unsubscribed.next()).toMatchObject({ channel: "given" });
    const bob = client(relay.url, transport, await as("bob", { channels: ["any:c"] }));
    const bobs = recordEvents(bob, "subscribed");
    await connect(bob);
    const names = (await bobs.take(2)).map(({ channel }) => channel);
    expect(names.toSorted()).toEqual(["#bob", "any:c"]);
  });

  test("after its connection was cut it gets what it missed, once and in order", async () => {
    await using relay = await relayWithTokens();
    await using network = await TcpProxy.start(relay.url);
    const url = network.through(relay.url);
    const options = await as("ann", { channels: ["server-side"] });
    const ann = client(url, transport, options);
    const serverSide = recordEvents(ann, "publication");
    const connecting = recordEvents(ann, "connecting");
    await connect(ann);
    await connecting.next();
    const { subscription, publications } = await subscribe(ann, "news:a");
    const entered = recordEvents(subscription, "subscribed");
    const enteredServerSide = recordEvents(ann, "subscribed");
    const publish = async (text: string) => {
      await api(relay, "broadcast", { channels: ["news:a", "server-side"], data: text });
    };
    await publish("live");
    expect((await publications.next()).data).toBe("live");
    expect((await serverSide.next()).data).toBe("live");
    network.stall();
    for (const text of ["missed 1", "missed 2"]) await publish(text);
    network.heal();
    network.cutAll();
    await connecting.next();
    expect(await entered.next()).toMatchObject({ wasRecovering: true, recovered: true });
    expect(await enteredServerSide.next()).toMatchObject({ recovered: true });
    await publish("live again");
    const expected = ["missed 1", "missed 2", "live again"];
    expect((await publications.take(3)).map(({ data }) => data)).toEqual(expected);
    expect((await serverSide.take(3)).map(({ data }) => data)).toEqual(expected);
    expect([publications.rest, serverSide.rest]).toEqual([[], []]);
  });

  test("what is not kept any more is told, and the subscription goes on live", async () => {
    await using relay = await relayWithTokens({ BATON_HISTORY_SIZE: "2" });
    await using network = await TcpProxy.start(relay.url);
    const ann = client(network.through(relay.url), transport, await as("ann"));
    await connect(ann);
    const { subscription, publications } = await subscribe(ann, "news:a");
    const entered = recordEvents(subscription, "subscribed");
    network.stall();
    for (const n of [1, 2, 3]) await api(relay, "publish", { channel: "news:a", data: n });
    network.heal();
    network.cutAll();
    expect(await entered.next()).toMatchObject({ wasRecovering: true, recovered: false });
    await api(relay, "publish", { channel: "news:a", data: "live" });
    expect(await publications.next()).toMatchObject({ data: "live", offset: 4 });
  });

  test("disconnected and unsubscribed by the backend", async () => {
    await using relay = await relayWithTokens();
    const ann = client(relay.url, transport, await as("ann"));
    const disconnected = recordEvents(ann, "disconnected");
    const { client: id } = await connect(ann);
    const { subscription } = await subscribe(ann, "news:a");
    const unsubscribed = recordEvents(subscription, "unsubscribed");
    await api(relay, "unsubscribe", { client: id, user: "ann", channel: "news:a" });
    expect(await unsubscribed.next()).toMatchObject({ code: 2000 });
    expect(await api(relay, "disconnect", { user: "ann" })).toEqual({ result: {} });
    expect(await disconnected.next()).toEqual({ code: 3503, reason: "force disconnect" });
    await connect(ann);
    const disconnect = { code: 4500, reason: "enough" };
    await api(relay, "disconnect", { user: "ann", disconnect });
    expect(await disconnected.next()).toEqual(disconnect);
    const connecting = recordEvents(ann, "connecting");
    await connect(ann);
    await connecting.next();
    for (const again of [
      { code: 4000, reason: "come back" },
      // The one by which streams of other protocols are told never to.
      { code: 3011, reason: "force reconnect" },
    ]) {
      await api(relay, "disconnect", { user: "ann", disconnect: again });
      expect(await connecting.next()).toEqual(again);
      await until("it to be back", () => ann.state === "connected");
    }
    expect(relay.counts).toMatchObject({ connections: 1 });
  });

  test("a token that is over is replaced by one that the client asks for", async () => {
    await using relay = await relayWithTokens();
    let asked = 0;
    const getToken = () => {
      asked++;
      return token({ sub: "ann" });
    };
    const old = await as("ann", { exp: inSeconds(-60) });
    const ann = client(relay.url, transport, { ...old, getToken });
    await connect(ann);
    expect(asked).toBe(1);
  });

  test("a token that is not the relay's own ends in 3500, none at all in 3501", async () => {
    await using relay = await relayWithTokens();
    const foreign = await token({ sub: "ann" }, "another secret with more than 32 characters");
    for (const [options, code] of [
      [{ token: foreign }, 3500],
      [{}, 3501],
    ] as const) {
      const ann = client(relay.url, transport, options);
      const disconnected = recordEvents(ann, "disconnected");
      ann.connect();
      expect(await disconnected.next()).toMatchObject({ code });
    }
  });
});

test("tokens of a connection and of a topic are refreshed before they are over", async () => {
  await using relay = await relayWithTokens();
  const asked = { connection: 0, topic: 0 };
  const ann = client(relay.url, "websocket", {
    getToken: () => token({ sub: "ann", exp: inSeconds(++asked.connection === 1 ? 1 : 60) }),
  });
  const connecting = recordEvents(ann, "connecting");
  const disconnected = recordEvents(ann, "disconnected");
  await connect(ann);
  await connecting.next();
  const { subscription, publications } = await subscribe(ann, "$mine", {
    getToken: ({ channel }) =>
      token({ sub: "ann", channel, exp: inSeconds(++asked.topic === 1 ? 1 : 60) }),
  });
  const subscribing = recordEvents(subscription, "subscribing");
  await until("both to be asked for again", () => asked.connection === 2 && asked.topic === 2);
  // A command after them is answered after them.
  await expect(ann.rpc("any", {})).rejects.toMatchObject({ code: 108 });
  await api(relay, "publish", { channel: "$mine", data: 1 });
  expect((await publications.next()).data).toBe(1);
  expect([connecting.rest, disconnected.rest, subscribing.rest]).toEqual([[], [], []]);
  expect(asked).toEqual({ connection: 2, topic: 2 });
});

test("a client whose backend is told to refresh it, with an end in the past, asks for a new token", async () => {
  await using relay = await relayWithTokens();
  let asked = 0;
  const ann = client(relay.url, "websocket", {
    getToken: () => token({ sub: "ann", jti: String(++asked), exp: inSeconds(600) }),
  });
  const connecting = recordEvents(ann, "connecting");
  await connect(ann);
  await connecting.next();
  await api(relay, "refresh", { user: "ann", expired: true });
  expect(await connecting.next()).toMatchObject({ code: 3005 });
  await until("it to be back", () => ann.state === "connected");
});

test("without tokens and keys a client is the anonymous user, and may do anything", async () => {
  await using relay = await startRelay();
  const some = client(relay.url);
  await connect(some);
  const { publications } = await subscribe(some, "any");
  await some.publish("any", 1);
  expect(await publications.next()).toMatchObject({ data: 1, info: { user: "" } });
  expect((await some.history("any", { limit: 1 })).publications).toHaveLength(1);
});

test("BATON_ANONYMOUS lets a client without a token in, where its rules name anonymous clients", async () => {
  await using relay = await relayWithTokens({ BATON_ANONYMOUS: "1" });
  const some = client(relay.url);
  await connect(some);
  const { publications } = await subscribe(some, "news:a");
  await some.publish("news:a", 1);
  expect(await publications.next()).toMatchObject({ data: 1, info: { user: "" } });
  const read = some.newSubscription("read:a");
  const unsubscribed = recordEvents(read, "unsubscribed");
  read.subscribe();
  expect(await unsubscribed.next()).toMatchObject({ code: 103 });
});
