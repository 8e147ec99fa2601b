// Deltas with the official JavaScript SDK, over each transport and in both forms of the protocol.
import { afterEach, expect, test } from "bun:test";
import { Centrifuge as BinaryCentrifuge } from "centrifuge/build/protobuf";
import { connect, recordEvents, subscribe } from "../../support/centrifuge/sdk";
import { SdkClients } from "../../support/centrifuge/sdk-relay";
import { SessionClient } from "../../support/centrifuge/session-client";
import { startRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const clients = new SdkClients();
afterEach(clients.disconnect);

const DELTAS = {
  BATON_MESSAGE_BYTES: "200000",
  BATON_TOPICS_FILE: topicsFile({ "delta:": { delta: true } }),
};

/** A document of about 100 KB, of which some entries are of this version. */
function document(version: number): object {
  const entries = Array.from({ length: 1_800 }, (_, i) => {
    const changed = i % 200 === 7 ? version : 0;
    return { id: i, name: `Größe ${i} 😀`, changed, price: i * 7 };
  });
  return { entries, version };
}

test.each(["websocket", "http_stream", "sse"] as const)(
  "over %s, a document of 100 KB of which 200 bytes change takes less than 2% of its bytes, also around a lost connection",
  async (transport) => {
    await using relay = await startRelay(DELTAS);
    const some = clients.make(relay.url, transport);
    const errors = recordEvents(some, "error");
    await connect(some);
    const { subscription, publications } = await subscribe(some, "delta:a", { delta: "fossil" });
    const publish = (version: number) =>
      relay.post("/publish", { topic: "delta:a", data: document(version) });
    for (let version = 1; version <= 20; version++) {
      await publish(version);
      expect((await publications.next()).data).toEqual(document(version));
    }
    const before = subscription.deltaStats();
    expect(before).toMatchObject({ numFullPayloads: 1, numDeltaPayloads: 19 });
    const whole = JSON.stringify(document(1)).length;
    expect(before.bytesReceived - before.bytesDecoded / 20).toBeLessThan(0.02 * 19 * whole);
    const { connections } = relay.running.relay;
    for (const one of [...connections.all()]) connections.end(one, "position_lost");
    for (let version = 21; version <= 30; version++) {
      await publish(version);
      expect((await publications.next()).data).toEqual(document(version));
    }
    expect(subscription.deltaStats().numDeltaPayloads).toBeGreaterThan(before.numDeltaPayloads);
    expect(errors.rest).toEqual([]);
  },
);

test("a client of the SDK's build for protobuf puts the same documents together", async () => {
  await using relay = await startRelay(DELTAS);
  const some = new BinaryCentrifuge(`${relay.url.replace("http", "ws")}/connection/websocket`, {
    websocket: WebSocket,
  });
  const subscription = some.newSubscription("delta:a", { delta: "fossil" });
  const received: unknown[] = [];
  subscription.on("publication", ({ data }) =>
    received.push(JSON.parse(new TextDecoder().decode(data))),
  );
  subscription.subscribe();
  some.connect();
  await until("the client to be subscribed", () => subscription.state === "subscribed");
  for (const version of [1, 2, 3]) {
    await relay.post("/publish", { topic: "delta:a", data: document(version) });
  }
  await until("three documents", () => received.length === 3);
  expect(received).toEqual([1, 2, 3].map(document));
  expect(subscription.deltaStats()).toMatchObject({ numFullPayloads: 1, numDeltaPayloads: 2 });
  some.disconnect();
});

test("without a rule that allows deltas, a client that asks for them gets whole publications", async () => {
  await using relay = await startRelay(DELTAS);
  const some = clients.make(relay.url);
  await connect(some);
  const { subscription, publications } = await subscribe(some, "plain:a", { delta: "fossil" });
  for (const n of [1, 2]) {
    await relay.post("/publish", { topic: "plain:a", data: { n } });
    expect((await publications.next()).data).toEqual({ n });
  }
  expect(subscription.deltaStats().numPublications).toBe(0);
});

test("a subscribe that asks for another kind of delta closes the connection with 3501", async () => {
  await using relay = await startRelay(DELTAS);
  const session = await SessionClient.connect(relay);
  session.send("subscribe", { channel: "delta:a", delta: "xdelta" });
  expect((await session.closed).code).toBe(3501);
});

test("the patch in docs/centrifuge-protocol.md is the one that is sent", async () => {
  await using relay = await startRelay({
    BATON_TOPICS_FILE: topicsFile({ board: { delta: true } }),
  });
  const session = await SessionClient.connect(relay);
  await session.ask("subscribe", { channel: "board", delta: "fossil" });
  const page = await Bun.file(`${import.meta.dir}/../../../docs/centrifuge-protocol.md`).text();
  const long = { text: "a text that is long enough", n: 1 };
  await relay.post("/publish", { topic: "board", data: long });
  await relay.post("/publish", { topic: "board", data: { ...long, n: 2 } });
  const { pub } = await session.next();
  expect(page).toContain(`"data":${JSON.stringify(pub.data)}`);
  const patch = (await session.next()).pub;
  expect(patch.delta).toBe(true);
  expect(page).toContain(`"data":${JSON.stringify(patch.data)},"delta":true`);
});
