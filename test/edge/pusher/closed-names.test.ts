// With an app of the Pusher protocol, the names of its private and presence channels are closed to every other kind of client.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SECRET } from "../../support/centrifuge/sdk";
import { connect, outcomes, signed } from "../../support/centrifuge/signed-tokens";
import { EventStream } from "../../support/clients/event-stream";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const APPS = { BATON_PUSHER_APPS: "1:key:secret" };

const CLOSED = [
  "private-orders",
  "presence-room",
  "private-cache-orders",
  "presence-cache-room",
  "private-encrypted-orders",
  "private-encrypted-cache-orders",
  "private-",
  "private-#42",
  "presence-room#42",
];
const OPEN = ["orders", "cache-orders", "Private-orders", "a-private-orders", "privateer"];

const ALL = ["client", "anonymous"];
const EVERYTHING = {
  presence: true,
  history_size: 10,
  history_ttl_ms: 60_000,
  allow_subscribe: ALL,
  allow_publish: ALL,
  allow_history: ALL,
  allow_presence: ALL,
};
const RULES = { BATON_TOPICS_FILE: topicsFile({ "": EVERYTHING, "private-": EVERYTHING }) };

const RELAYS = {
  "a relay without keys": { ...APPS, ...RULES },
  "a relay with tokens": {
    ...APPS,
    ...RULES,
    BATON_TOKEN_SECRET: SECRET,
    BATON_ANONYMOUS: "1",
  },
};

const uses = (channel: string): object[] => [
  { subscribe: { channel } },
  { publish: { channel, data: 1 } },
  { history: { channel, limit: 1 } },
  { presence: { channel } },
  { presence_stats: { channel } },
];

describe.each(Object.entries(RELAYS))("on %s with an app", (_, env) => {
  let relay: TestRelay;
  beforeAll(async () => {
    relay = await startRelay(env);
  });
  afterAll(() => relay[Symbol.asyncDispose]());

  test.each(CLOSED)("a Centrifuge client can do nothing with %s", async (topic) => {
    const asUser = signed({ sub: "42" });
    expect(await outcomes(relay, asUser, uses(topic))).toEqual(Array(5).fill(103));
    expect(await outcomes(relay, "", uses(topic))).toEqual(Array(5).fill(103));
  });

  test("a registered WebSocket can choose none of them, and keeps the topics it has", async () => {
    const client = await relay.connect(42, ["orders"]);
    for (const topic of CLOSED) {
      client.send({ topics: ["orders", topic] });
      expect(JSON.parse(await client.next()).error.code, topic).toBe("permission_denied");
    }
    expect(await relay.publish("private-encrypted-orders", "hidden")).toBe(0);
    expect(await relay.publish("orders", "shown")).toBe(1);
    expect(await client.next()).toBe("shown");
    client.drop();
  });

  test("a stream can choose none of them", async () => {
    for (const topic of CLOSED) {
      const { sse } = await relay.registration(42);
      const answer = await fetch(`${sse}?topics=${encodeURIComponent(topic)}`);
      expect(answer.status, topic).toBe(403);
      await answer.body?.cancel();
    }
  });

  test("a registration that names one of them opens it, to sockets and streams, and no other", async () => {
    const topics = ["private-orders", "presence-room"];
    const { url } = await relay.registration(42, topics);
    const client = await relay.open(url);
    await client.settled();
    await relay.publish("private-orders", "for the socket");
    expect(await client.next()).toBe("for the socket");
    client.send({ topics: ["private-other"] });
    expect(JSON.parse(await client.next()).error.code).toBe("permission_denied");
    const { sse } = await relay.registration(42, topics);
    const stream = await EventStream.open(sse);
    await relay.publish("presence-room", "for the stream");
    expect((await stream.next()).data).toBe("for the stream");
    await stream.close();
    client.drop();
  });

  test.each(OPEN)("%s stays open", async (topic) => {
    expect(await outcomes(relay, signed({ sub: "42" }), uses(topic))).toEqual(
      Array(5).fill("done"),
    );
    const client = await relay.connect(42, [topic]);
    expect(await relay.publish(topic, "m")).toBe(1);
    client.drop();
  });
});

test("a token for one of them opens it, as the rule allows, and a token for another does not", async () => {
  await using relay = await startRelay(RELAYS["a relay with tokens"]);
  const channel = "private-orders";
  const token = signed({ sub: "42", channel });
  const [, ...rest] = uses(channel);
  const withToken = [{ subscribe: { channel, token } }, ...rest];
  expect(await outcomes(relay, signed({ sub: "42" }), withToken)).toEqual(Array(5).fill("done"));
  const byConnection = signed({ sub: "42", channels: [channel] });
  const { first, client } = await connect(relay, byConnection);
  expect(Object.keys(first.connect.subs)).toEqual([channel]);
  client.drop();
});

test("without an app, these names are like all others", async () => {
  await using relay = await startRelay(RULES);
  for (const topic of CLOSED) {
    expect(await outcomes(relay, "", uses(topic)), topic).toEqual(Array(5).fill("done"));
    const client = await relay.connect(42, [topic]);
    expect(await relay.publish(topic, "m"), topic).toBe(1);
    client.drop();
  }
});
