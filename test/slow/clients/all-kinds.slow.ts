// Clients of all kinds in one topic.
import { expect, test } from "bun:test";
import { EventSource } from "eventsource";
import { connect, sdk, subscribe, type Transport, token } from "../../support/centrifuge/sdk";
import { PythonClients } from "../../support/centrifuge/sdk-program";
import { startRelayWithTokens, WITH_KEY } from "../../support/centrifuge/sdk-relay";
import type { TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const TRANSPORTS: readonly Transport[] = ["websocket", "http_stream", "sse"];
/** The addresses of a new registration for the topic room. */
async function register(relay: TestRelay, user: string): Promise<{ url: string; sse: string }> {
  const body = { user_id: user, topics: ["room"] };
  return (await relay.post("/register", body, WITH_KEY)).json;
}

/** Opens an EventSource and records the data of its events. */
async function openEventSource(url: string) {
  const events = new EventSource(url);
  const received: string[] = [];
  events.addEventListener("room", ({ data }) => received.push(data));
  await new Promise((resolve) => {
    events.onopen = resolve;
  });
  return { received, close: () => events.close() };
}

/** Connects a client of each kind to the topic room: seven clients of seven users. */
async function connectOneOfEachKind(relay: TestRelay) {
  const plain = await relay.open((await register(relay, "plain")).url);
  const json = await relay.open(`${(await register(relay, "json")).url}?format=json`);
  json.send({ topics: ["room"] });
  expect(await json.next()).toContain('"topics":{"room"');
  const stream = await openEventSource((await register(relay, "stream")).sse);
  const sdks = await Promise.all(
    TRANSPORTS.map(async (transport) => {
      const client = sdk(relay.url, transport, { token: await token({ sub: transport }) });
      await connect(client);
      return { client, ...(await subscribe(client, "room")) };
    }),
  );
  const pythons = new PythonClients({
    url: relay.url,
    topics: ["room"],
    clients: [{ token: await token({ sub: "python" }) }],
  });
  await pythons.next("subscribed");
  const [{ subscription }] = sdks as [(typeof sdks)[number]];
  const areAllPresent = async () => (await subscription.presenceStats()).numClients === 7;
  await until("all clients to be present", areAllPresent);
  const close = async () => {
    for (const client of [plain, json]) client.drop();
    stream.close();
    for (const { client } of sdks) client.disconnect();
    await pythons[Symbol.asyncDispose]();
  };
  return { plain, json, stream, sdks, pythons, [Symbol.asyncDispose]: close };
}

test("presence shows clients of all kinds to the JavaScript SDK and to the Python SDK", async () => {
  await using relay = await startRelayWithTokens();
  await using clients = await connectOneOfEachKind(relay);
  const users = ["json", "plain", "python", "stream", ...TRANSPORTS].toSorted();
  const [{ subscription }] = clients.sdks as [(typeof clients.sdks)[number]];
  const present = Object.values((await subscription.presence()).clients);
  expect(present.map(({ user }) => user).toSorted()).toEqual(users);
  const { value } = await clients.pythons.call(0, "presence", { topic: "room" });
  expect(value.map(({ user }: { user: string }) => user).toSorted()).toEqual(users);
});

test("a publication reaches a client of each kind once", async () => {
  await using relay = await startRelayWithTokens();
  await using clients = await connectOneOfEachKind(relay);
  const { plain, json, stream, sdks, pythons } = clients;
  const data = { text: "hi", price: 1.5 };
  const answer = await relay.post("/publish", { topic: "room", data }, WITH_KEY);
  expect(answer.json).toMatchObject({ delivered: 7, offset: 1 });
  await sdks[0]?.client.publish("room", "last");
  for (const { publications } of sdks) {
    expect((await publications.take(2)).map((one) => one.data)).toEqual([data, "last"]);
    expect(publications.rest).toEqual([]);
  }
  await until("both events to reach the stream", () => stream.received.length === 2);
  expect(stream.received).toEqual([JSON.stringify(data), "last"]);
  await pythons.next("publication", (one) => one.data === "last");
  expect(pythons.of(0, "publication").map((one) => one.data)).toEqual([data, "last"]);
  expect(await plain.take(2)).toEqual([JSON.stringify(data), "last"]);
  const frames = (await json.take(2)).map((frame) => JSON.parse(frame));
  expect(frames.map((one) => [one.topic, one.data, one.offset])).toEqual([
    ["room", data, 1],
    ["room", "last", 2],
  ]);
  expect([await plain.rest(), await json.rest()]).toEqual([[], []]);
});
