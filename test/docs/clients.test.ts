// The clients of docs/clients.md in JavaScript work as they stand, over lost connections. Those in Python: slow/docs.slow.ts.
import { expect, test } from "bun:test";
import { Centrifuge } from "centrifuge";
import { EventSource } from "eventsource";
import { example } from "../support/docs/pages";
import { RecordingApp, runExample } from "../support/docs/recording-app";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { until, within } from "../support/wait";

const PAGE = "docs/clients.md";

function dropAll(relay: TestRelay): void {
  const { connections } = relay.running.relay;
  for (const connection of [...connections.all()]) connections.end(connection, "slow_consumer");
}

/** Publishes until one connection receives it. */
const untilSubscribed = (relay: TestRelay, topic: string, message: string): Promise<void> =>
  until("the client to subscribe", async () => (await relay.publish(topic, message)) === 1);

test("the frame of docs/clients.md replaces a socket's topics", async () => {
  await using relay = await startRelay();
  const client = await relay.connect(1);
  const socket = { send: (text: string) => client.send(text) };
  runExample(example(PAGE, "topics.js"), { socket }, "0");
  await client.settled();
  for (const topic of ["tech", "news", "orders"]) await relay.publish(topic, topic);
  expect(await client.take(2)).toEqual(["news", "orders"]);
});

test("the one line for a browser's console prints what is published", async () => {
  await using relay = await startRelay();
  const code = example(PAGE, "one-line.js").replace(/ws:[^"]+/, await relay.register());
  const printed = Promise.withResolvers<string>();
  runExample(code, { console: { log: printed.resolve } }, "0");
  await untilSubscribed(relay, "tech", "hi");
  expect(await within("the line", printed.promise)).toBe("hi");
});

test("the plain client gets messages, reconnects, and stays away when it is deleted", async () => {
  await using relay = await startRelay();
  using app = new RecordingApp();
  let asked = 0;
  const relayAddress = async () => {
    // The backend cannot be reached the first time.
    if (++asked === 1) throw new Error("not reachable");
    return relay.register(1);
  };
  const onMessage = (data: string) => app.onMessage("plain", data);
  const given = { relayAddress, onMessage, setTimeout: app.soon };
  await runExample(example(PAGE, "plain-client.js"), given, "connect")(["news", "orders"]);
  await untilSubscribed(relay, "orders", "live");
  expect(await app.take(1)).toEqual(['plain: "live"']);
  dropAll(relay);
  await untilSubscribed(relay, "orders", "live");
  expect(await app.take(1)).toEqual(['plain: "live"']);
  for (const connection of relay.running.relay.connections.all()) {
    await relay.request("DELETE", `/register/${connection.id}`);
  }
  await until("the client to be gone", () => relay.counts.connections === 0);
  expect(asked).toBe(3);
});

test("the client with JSON loses nothing over a lost connection, and is told of a gap", async () => {
  await using relay = await startRelay();
  using app = new RecordingApp();
  const { onMessage, onLost } = app;
  const given = { relayAddress: () => relay.register(1), onMessage, onLost, setTimeout: app.soon };
  await runExample(example(PAGE, "resuming-client.js"), given, "connect")(["news", "orders"]);
  await untilSubscribed(relay, "news", "first");
  expect(await app.take(1)).toEqual(['news: "first"']);
  dropAll(relay);
  await relay.publish("news", "missed");
  await relay.post("/publish", { topic: "orders", data: { id: 1 } });
  expect((await app.take(2)).toSorted()).toEqual(['news: "missed"', 'orders: {"id":1}']);
  await untilSubscribed(relay, "orders", "live");
  expect(await app.take(1)).toEqual(['orders: "live"']);
  dropAll(relay);
  await relay.post("/publish", Array(101).fill({ topic: "news", message: "too many" }));
  await app.untilLost();
  expect(app.lost).toEqual(['"news"']);
});

test("a client of any kind that joins late gets the last publication, and all after it", async () => {
  await using relay = await startRelay();
  const topic = "prices, in €";
  for (const data of [1, 2]) await relay.post("/publish", { topic, data });
  await relay.post("/publish", { topic, data: "private", user_id: "other" });
  const given = { relay: relay.url, headers: {} };
  const lastOf = runExample(example(PAGE, "join-late.js"), given, "lastOf");
  const { data, position } = await lastOf(topic);
  expect(data).toBe(2);
  await relay.post("/publish", { topic, data: 3 });

  const socket = await relay.open(`${await relay.register(1)}?format=json`);
  socket.send({ topics: [topic], since: { [topic]: position } });
  expect(JSON.parse(await socket.next()).topics[topic].recovered).toBe(true);
  expect(JSON.parse(await socket.next()).data).toBe(3);

  const { offset, epoch } = position;
  const since = encodeURIComponent(`${encodeURIComponent(topic)}=${epoch}:${offset}`);
  const { sse } = await relay.registration(1, [topic]);
  const events = new EventSource(`${sse}?since=${since}`);
  const event = Promise.withResolvers<string>();
  events.addEventListener(topic, ({ data }) => event.resolve(data));
  expect(await within("the event", event.promise)).toBe("3");
  events.close();

  const sdk = new Centrifuge(`${relay.url.replace("http", "ws")}/connection/websocket`);
  for (const [from, expected] of [
    [position, 3],
    [{ offset: 0, epoch: "" }, 1],
  ]) {
    const publication = Promise.withResolvers<unknown>();
    const subscription = sdk.newSubscription(topic, { since: from });
    subscription.once("publication", ({ data }) => publication.resolve(data));
    subscription.subscribe();
    sdk.connect();
    expect(await within("the publication", publication.promise)).toBe(expected);
    subscription.unsubscribe();
    sdk.removeSubscription(subscription);
  }
  sdk.disconnect();
});

test("the first frame of docs/clients.md gets the reply that it shows, and what was missed", async () => {
  await using relay = await startRelay();
  const publish = async (topic: string, count: number): Promise<string> => {
    const answer = await relay.post("/publish", Array(count).fill({ topic, message: topic }));
    return answer.json.at(-1).epoch;
  };
  const epoch = await publish("a", 7);
  expect(await publish("b", 2)).toBe(epoch);
  const real = (name: string): string => example(PAGE, name).replaceAll("kqzvbmwe", epoch).trim();
  const client = await relay.open(`${await relay.register(1)}?format=json`);
  client.send(real("first-frame.json"));
  expect(await client.next()).toBe(real("first-reply.json"));
  const missed = (offset: number) => ({ topic: "a", data: "a", offset, epoch });
  const frames = (await client.take(2)).map((frame) => JSON.parse(frame));
  expect(frames).toEqual([missed(6), missed(7)]);
});

test("a client with ?max_bytes= is sent what docs/clients.md shows in place of a larger message", async () => {
  await using relay = await startRelay();
  const client = await relay.open(`${await relay.register(1)}?format=json&max_bytes=32768`, ["a"]);
  const { epoch } = JSON.parse(await client.next()).topics.a;
  const large = "x".repeat(40_000);
  await relay.post("/publish", Array(8).fill({ topic: "a", message: large }));
  const frame = (await client.take(8)).at(-1);
  expect(frame).toBe(example(PAGE, "too-large.json").replace("kqzvbmwe", epoch).trim());
  const { json } = await relay.request("GET", "/topics/a/history?since=7&limit=1");
  expect(json.publications[0].data).toBe(large);
});

test("the EventSource client loses nothing over a lost connection", async () => {
  await using relay = await startRelay();
  using app = new RecordingApp();
  const { onMessage, onLost } = app;
  const streamAddress = async () => (await relay.post("/register", { user_id: 1 })).json.sse;
  const code = `return (async () => { ${example(PAGE, "event-source.js")}; return events; })()`;
  const given = { EventSource, streamAddress, onMessage, onLost };
  const events: EventSource = await runExample(code, given, "0");
  await untilSubscribed(relay, "news", "first");
  expect(await app.take(1)).toEqual(['news: "first"']);
  dropAll(relay);
  await relay.publish("news", "missed");
  await relay.publish("orders", "one more");
  expect(await app.take(2)).toEqual(['news: "missed"', 'orders: "one more"']);
  expect(app.lost).toEqual([]);
  events.close();
});

test("the SDK's client loses nothing over a lost connection, and is told of a gap", async () => {
  await using relay = await startRelay();
  using app = new RecordingApp();
  const { onMessage, onLost } = app;
  const relayUrl = `${relay.url.replace("http", "ws")}/connection/websocket`;
  const errors: unknown[] = [];
  const console = { error: (...what: unknown[]) => errors.push(what) };
  const given = { Centrifuge, relayUrl, onMessage, onLost, console };
  const client: Centrifuge = runExample(example(PAGE, "sdk-client.js"), given, "client");
  await untilSubscribed(relay, "news", "first");
  expect(await app.take(1)).toEqual(['news: "first"']);
  dropAll(relay);
  await relay.publish("news", "missed");
  expect(await app.take(1)).toEqual(['news: "missed"']);
  expect(app.lost).toEqual([]);
  dropAll(relay);
  await relay.post("/publish", Array(101).fill({ topic: "news", message: "too many" }));
  await app.untilLost();
  expect(app.lost).toEqual(['"news"']);
  expect(errors).toEqual([]);
  client.disconnect();
});

test("the SDK's client falls back to http_stream where WebSocket is blocked", async () => {
  await using relay = await startRelay();
  const code = example(PAGE, "sdk-fallbacks.js")
    .replace("wss://relay.example.com", "ws://127.0.0.1:1")
    .replaceAll("https://relay.example.com", relay.url);
  const client: Centrifuge = runExample(code, { Centrifuge }, "client");
  const connected = Promise.withResolvers<string>();
  client.on("connected", ({ transport }) => connected.resolve(transport));
  client.connect();
  expect(await within("the SDK to connect", connected.promise)).toBe("http_stream");
  client.disconnect();
});
