// The official SDKs of Centrifugo, as they come from npm and PyPI, over a network that fails; and all kinds of clients
// in one topic.
import { expect, test } from "bun:test";
import { EventSource } from "eventsource";
import { PythonClients } from "../../support/centrifuge/python-clients";
import {
  connect,
  inSeconds,
  SECRET,
  sdk,
  subscribe,
  type Transport,
  token,
} from "../../support/centrifuge/sdk";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { startRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const TRANSPORTS: readonly Transport[] = ["websocket", "http_stream", "sse"];
const TOPICS = ["a", "b"];
const MESSAGES = 1_500;
const PER_SECOND = 300;

interface Sent {
  readonly topic: string;
  readonly message: string;
}

function messages(random: () => number): Sent[] {
  return Array.from({ length: MESSAGES }, (_, i) => ({
    topic: TOPICS[Math.floor(random() * TOPICS.length)] as string,
    message: `m${i}`,
  }));
}

/** One by one, in order, so many in a second. */
async function publish(relay: RelayProcess, sent: readonly Sent[]): Promise<void> {
  const begun = performance.now();
  for (const [i, body] of sent.entries()) {
    const early = begun + (i * 1_000) / PER_SECOND - performance.now();
    if (early > 1) await Bun.sleep(early);
    const answer = await relay.post("/publish", body);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
}

const ofTopic = (sent: readonly Sent[], topic: string): string =>
  sent
    .filter((one) => one.topic === topic)
    .map(({ message }) => message)
    .join();

/** What one client got of each topic, and what must never be. */
class Journal {
  readonly got = new Map<string, string[]>(TOPICS.map((topic) => [topic, []]));
  readonly faults: string[] = [];
  entered = 0;

  get count(): number {
    return [...this.got.values()].reduce((sum, list) => sum + list.length, 0);
  }
}

/** A client of the JavaScript SDK that writes down all it is told. */
function journalOf(url: string, transport: Transport) {
  const journal = new Journal();
  const client = sdk(url, transport);
  for (const topic of TOPICS) {
    const subscription = client.newSubscription(topic);
    subscription.on("publication", ({ data }) => journal.got.get(topic)?.push(data));
    subscription.on("subscribed", ({ wasRecovering, recovered }) => {
      journal.entered++;
      if (wasRecovering && !recovered) journal.faults.push(`not recovered: ${topic}`);
    });
    subscription.on("unsubscribed", ({ code }) => journal.faults.push(`unsubscribed: ${code}`));
    subscription.subscribe();
  }
  client.on("disconnected", ({ code }) => journal.faults.push(`disconnected: ${code}`));
  client.connect();
  return { client, journal };
}

const expectNoErrors = (relay: RelayProcess): void =>
  expect(relay.lines.filter(({ level }) => level >= 50)).toEqual([]);

test("40 clients of the JavaScript SDK behind a proxy that cuts their connections at random see all of 1,500 messages", async () => {
  await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
  await using network = await TcpProxy.start(relay.url);
  const url = network.through(relay.url);
  const fleet = Array.from({ length: 40 }, (_, i) => {
    return journalOf(url, i % 4 === 3 ? "http_stream" : "websocket");
  });
  const allIn = () => fleet.every(({ journal }) => journal.entered === TOPICS.length);
  await until("all clients to be in", allIn, 20_000);
  const sent = messages(network.random);
  network.cutEach(20, 800);
  await publish(relay, sent);
  network.keepAll();
  const allHere = () => fleet.every(({ journal }) => journal.count >= MESSAGES);
  // What is missing then is shown below, client by client.
  await until("all clients to have everything", allHere, 20_000).catch(() => {});
  for (const [i, { client, journal }] of fleet.entries()) {
    const name = `client ${i}, seed ${network.seed}`;
    expect(journal.faults, name).toEqual([]);
    for (const topic of TOPICS) {
      expect(journal.got.get(topic)?.join(), name).toBe(ofTopic(sent, topic));
    }
    client.disconnect();
  }
  expect(network.cuts).toBeGreaterThan(100);
  expectNoErrors(relay);
}, 60_000);

test("40 clients of the Python SDK behind the same proxy see all of them too", async () => {
  await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
  await using network = await TcpProxy.start(relay.url);
  const clients = Array.from({ length: 40 }, () => ({}));
  await using fleet = new PythonClients({
    url: network.through(relay.url),
    topics: TOPICS,
    clients,
  });
  const allIn = () => clients.every((_, i) => fleet.of(i, "subscribed").length === TOPICS.length);
  await fleet.until("all clients to be in", allIn, 20_000);
  const sent = messages(network.random);
  network.cutEach(20, 800);
  await publish(relay, sent);
  network.keepAll();
  const allHere = () => clients.every((_, i) => fleet.of(i, "publication").length >= MESSAGES);
  await fleet.until("all clients to have everything", allHere, 20_000).catch(() => {});
  for (const i of clients.keys()) {
    const name = `client ${i}, seed ${network.seed}`;
    const publications = fleet.of(i, "publication");
    for (const topic of TOPICS) {
      const got = publications.filter((one) => one.topic === topic).map(({ data }) => data);
      expect(got.join(), name).toBe(ofTopic(sent, topic));
    }
    const lost = fleet
      .of(i, "subscribed")
      .filter(({ wasRecovering, recovered }) => wasRecovering && !recovered);
    const ended = [...fleet.of(i, "disconnected"), ...fleet.of(i, "unsubscribed")];
    expect([...lost, ...ended], name).toEqual([]);
  }
  expect(network.cuts).toBeGreaterThan(100);
  expectNoErrors(relay);
}, 60_000);

const ALL = ["client"];
const RULES = {
  room: {
    presence: true,
    join_leave: true,
    allow_subscribe: ALL,
    allow_publish: ALL,
    allow_presence: ALL,
    allow_history: ALL,
  },
};

function relayWithTokens() {
  return startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_API_KEYS: "key",
    BATON_TOPICS_FILE: topicsFile(RULES),
  });
}

const withKey = { "x-api-key": "key" };

test("a message that is published once is at each kind of client once, and presence shows all of them", async () => {
  await using relay = await relayWithTokens();
  const register = async (user: string) => {
    const body = { user_id: user, topics: ["room"] };
    return (await relay.post("/register", body, withKey)).json;
  };
  const plain = await relay.open((await register("plain")).url);
  const enveloped = await relay.open(`${(await register("enveloped")).url}?format=json`);
  enveloped.send({ topics: ["room"] });
  expect(await enveloped.next()).toContain('"topics":{"room"');
  const events = new EventSource((await register("events")).sse);
  const streamed: string[] = [];
  events.addEventListener("room", ({ data }) => streamed.push(data));
  await new Promise((resolve) => {
    events.onopen = resolve;
  });
  const javascripts = await Promise.all(
    TRANSPORTS.map(async (transport) => {
      const client = sdk(relay.url, transport, { token: await token({ sub: transport }) });
      await connect(client);
      return { client, ...(await subscribe(client, "room")) };
    }),
  );
  const { client, subscription } = javascripts[0] as (typeof javascripts)[number];
  await using pythons = new PythonClients({
    url: relay.url,
    topics: ["room"],
    clients: [{ token: await token({ sub: "python" }) }],
  });
  await pythons.next("subscribed");
  const users = ["enveloped", "events", "plain", "python", ...TRANSPORTS].toSorted();
  await until("all to be in", async () => (await subscription.presenceStats()).numClients === 7);
  const { clients } = await subscription.presence();
  expect(
    Object.values(clients)
      .map(({ user }) => user)
      .toSorted(),
  ).toEqual(users);
  const { value } = await pythons.call(0, "presence", { topic: "room" });
  expect(value.map(({ user }: { user: string }) => user).toSorted()).toEqual(users);

  const data = { text: "hi", price: 1.5 };
  const answer = await relay.post("/publish", { topic: "room", data }, withKey);
  expect(answer.json).toMatchObject({ delivered: 7, offset: 1 });
  await client.publish("room", "last");
  for (const { publications } of javascripts) {
    expect((await publications.take(2)).map((one) => one.data)).toEqual([data, "last"]);
    expect(publications.rest).toEqual([]);
  }
  await until("it to be at the stream", () => streamed.length === 2);
  const isLast = (one: { data?: unknown }) => one.data === "last";
  await pythons.next("publication", isLast);
  expect(pythons.of(0, "publication").map((one) => one.data)).toEqual([data, "last"]);
  expect(await plain.take(2)).toEqual([JSON.stringify(data), "last"]);
  const envelopes = (await enveloped.take(2)).map((frame) => JSON.parse(frame));
  expect(envelopes.map((one) => [one.topic, one.data, one.offset])).toEqual([
    ["room", data, 1],
    ["room", "last", 2],
  ]);
  expect(streamed).toEqual([JSON.stringify(data), "last"]);
  expect([await plain.rest(), await enveloped.rest()]).toEqual([[], []]);
  plain.drop();
  enveloped.drop();
  events.close();
  for (const one of javascripts) one.client.disconnect();
}, 20_000);

test("the Python SDK connects, asks and is told everything that the JavaScript one is", async () => {
  await using relay = await relayWithTokens();
  const fresh = await token({ sub: "ann", channels: ["given"], info: { name: "Ann" } });
  await using pythons = new PythonClients({
    url: relay.url,
    topics: ["room"],
    clients: [
      { token: await token({ sub: "ann", exp: inSeconds(-60) }), fresh },
      { token: await token({ sub: "bob" }) },
      { token: await token({ sub: "eve" }, "another secret with more than 32 characters") },
    ],
  });
  const ofAnn = ({ client }: { client: number }) => client === 0;
  const ofBob = ({ client }: { client: number }) => client === 1;
  await pythons.next("subscribed", (one) => ofAnn(one) && one.topic === "room");
  await pythons.next("subscribed", (one) => ofAnn(one) && one.topic === "given");
  await pythons.next("subscribed", ofBob);
  expect(pythons.of(0, "asked")).toHaveLength(1);
  const refused = await pythons.next("disconnected", ({ client }) => client === 2);
  expect(refused.code).toBe(3500);
  const bobsId = (await pythons.next("connected", ofBob)).id;
  const isBob = (one: { info?: { client: string } }) => one.info?.client === bobsId;
  expect((await pythons.call(0, "publish", { topic: "room", data: [1] })).value).toEqual({});
  const atBob = await pythons.next("publication", ofBob);
  const info = { user: "ann", info: { name: "Ann" } };
  expect(atBob).toMatchObject({ topic: "room", data: [1], offset: 1, info });
  await relay.post("/api/publish", { channel: "given", data: "x" }, withKey);
  const isGiven = (one: { topic?: string }) => one.topic === "given";
  expect(await pythons.next("publication", isGiven)).toMatchObject({ client: 0, data: "x" });
  const history = { topic: "room", limit: 10 };
  expect((await pythons.call(0, "history", history)).value).toMatchObject({
    offset: 1,
    data: [[1]],
  });
  const stats = await pythons.call(0, "presence_stats", { topic: "room" });
  expect(stats.value).toEqual({ clients: 2, users: 2 });
  expect((await pythons.call(0, "rpc", { topic: "any" })).code).toBe(108);
  expect((await pythons.call(0, "publish", { topic: "other", data: 1 })).code).toBe(103);
  await pythons.call(1, "unsubscribe", { topic: "room" });
  await pythons.next("leave", (one) => ofAnn(one) && isBob(one));
  const before = pythons.events.length;
  await pythons.call(1, "subscribe", { topic: "room" });
  await pythons.next("join", (one) => ofAnn(one) && isBob(one), before);
  await relay.post("/api/unsubscribe", { user: "ann", channel: "room" }, withKey);
  const unsubscribed = await pythons.next("unsubscribed", (one) => ofAnn(one) && !isGiven(one));
  expect(unsubscribed.code).toBe(2000);
  await relay.post("/api/disconnect", { user: "ann" }, withKey);
  expect((await pythons.next("disconnected", ofAnn)).code).toBe(3503);
}, 20_000);
