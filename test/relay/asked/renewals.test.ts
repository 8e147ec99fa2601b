// Connections and subscriptions that expire, where the backend is asked whether they go on: with a clock that only the test moves.
import { expect, test } from "bun:test";
import { centrifuge } from "../../../src/protocols/centrifuge/json";
import type { Questions, RenewalAnswer } from "../../../src/relay/contracts/backend/questions";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import type { Connection } from "../../../src/relay/state/connection";
import { FakeSocket, Simulation } from "../../support/relay/simulation";

/** Answers as it is told, and keeps what it was asked. */
class ScriptedBackend implements Questions {
  readonly asksConnect = true;
  readonly asksRefresh = true;
  readonly asked: string[] = [];
  /** Seconds. */
  connectionTtl: number | undefined = 60;
  topicTtl: number | undefined;
  renewal: RenewalAnswer = { ttl: 60 };

  async connect() {
    return { user: "56", ttl: this.connectionTtl, meta: "1", topics: new Map() };
  }

  async subscribe(_: unknown, __: string, { topic }: { topic: string }) {
    return { user: "56", topic, ttl: this.topicTtl };
  }

  async refresh(client: { readonly session: { readonly meta: string | undefined } | undefined }) {
    this.asked.push(`refresh ${client.session?.meta}`);
    return this.renewal;
  }

  async refreshTopic(_: unknown, to: string, topic: string) {
    this.asked.push(`${to} ${topic}`);
    return this.renewal;
  }

  async publish() {
    return {};
  }

  async call() {
    return { data: undefined };
  }
}

const ASKED = { askSubscribe: "subscribe", askRefresh: "sub_refresh" };
const RULES = new TopicRules({ historySize: 0, historyTtlMs: 0, ...ASKED });

async function connected(backend: ScriptedBackend, rules = RULES) {
  const sim = new Simulation({}, [], undefined, rules, backend);
  const connection = sim.relay.admission.admitSession(centrifuge) as Connection;
  const socket = new FakeSocket();
  sim.relay.open(connection, socket);
  const ask = async (command: object): Promise<unknown> => {
    sim.relay.receive(connection, JSON.stringify(command));
    await settled();
    return JSON.parse(socket.frames.splice(0).at(-1) ?? "null");
  };
  const connect = await ask({ id: 1, connect: {} });
  /** Lets so much time pass, and what was asked then be answered. */
  const pass = async (seconds: number): Promise<void> => {
    // The client answers pings all the time.
    sim.relay.pong(connection);
    sim.now += seconds * 1_000;
    sim.relay.pong(connection);
    sim.relay.sweep();
    await settled();
  };
  return { sim, socket, ask, connect, pass };
}

/** Promises and what waits for a later turn have had theirs. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("a connection goes on for as long as the backend says, and its client is not told that it expires", async () => {
  const backend = new ScriptedBackend();
  const { connect, socket, pass } = await connected(backend);
  expect(connect).toMatchObject({ connect: { client: expect.any(String) } });
  expect(JSON.stringify(connect)).not.toContain("expires");
  await pass(59);
  expect(backend.asked).toEqual([]);
  backend.renewal = { ttl: 100, meta: "2" };
  await pass(2);
  await pass(98);
  expect(backend.asked).toEqual(["refresh 1"]);
  backend.renewal = "expired";
  await pass(3);
  expect(backend.asked).toEqual(["refresh 1", "refresh 2"]);
  expect(socket.closedWith?.code).toBe(3005);
});

test("a connection whose backend cannot be asked goes on, and is asked about again a minute later", async () => {
  const backend = new ScriptedBackend();
  const { socket, pass } = await connected(backend);
  backend.renewal = "unanswered";
  await pass(61);
  await pass(59);
  expect(backend.asked).toHaveLength(1);
  await pass(20);
  expect(backend.asked).toHaveLength(2);
  expect(socket.closedWith).toBeUndefined();
});

test("a connection that never expires is not asked about", async () => {
  const backend = new ScriptedBackend();
  backend.connectionTtl = undefined;
  const { pass } = await connected(backend);
  await pass(1_000_000);
  expect(backend.asked).toEqual([]);
});

test("a subscription goes on for as long as the backend says, and its client is told when it does not", async () => {
  const backend = new ScriptedBackend();
  backend.connectionTtl = undefined;
  backend.topicTtl = 30;
  const { ask, socket, pass } = await connected(backend);
  expect(await ask({ id: 2, subscribe: { channel: "news" } })).toEqual({ id: 2, subscribe: {} });
  await pass(31);
  expect(backend.asked).toEqual(["sub_refresh news"]);
  await pass(59);
  backend.renewal = "unanswered";
  await pass(2);
  backend.renewal = "expired";
  await pass(59);
  expect(backend.asked).toHaveLength(2);
  await pass(17);
  expect(backend.asked).toHaveLength(3);
  expect(JSON.parse(socket.frames.at(-1) ?? "")).toMatchObject({
    push: { channel: "news", unsubscribe: { code: 2501 } },
  });
  expect(socket.closedWith).toBeUndefined();
});

test("a client may ask for its subscription to be refreshed without a token, and the backend decides", async () => {
  const backend = new ScriptedBackend();
  backend.topicTtl = 30;
  const { ask } = await connected(backend);
  await ask({ id: 2, subscribe: { channel: "news" } });
  expect(await ask({ id: 3, sub_refresh: { channel: "news" } })).toEqual({
    id: 3,
    sub_refresh: {},
  });
  expect(await ask({ id: 4, sub_refresh: { channel: "other" } })).toMatchObject({
    error: { code: 107 },
  });
  expect(backend.asked).toEqual(["sub_refresh news"]);
  backend.renewal = "expired";
  expect(await ask({ id: 5, sub_refresh: { channel: "news" } })).toMatchObject({
    error: { code: 110 },
  });
});

test("a client that leaves a topic while the backend is asked about it has left it", async () => {
  const backend = new ScriptedBackend();
  backend.topicTtl = 30;
  const held = Promise.withResolvers<RenewalAnswer>();
  backend.refreshTopic = () => held.promise as never;
  const { ask, pass } = await connected(backend);
  await ask({ id: 2, subscribe: { channel: "news" } });
  await pass(31);
  backend.topicTtl = 500;
  await ask({ id: 3, unsubscribe: { channel: "news" } });
  expect(await ask({ id: 4, subscribe: { channel: "news" } })).toEqual({ id: 4, subscribe: {} });
  held.resolve("expired");
  await settled();
  expect(await ask({ id: 5, subscribe: { channel: "news" } })).toMatchObject({
    error: { code: 105 },
  });
});

test("what the backend says of a client when it renews it is what others see of it from then on", async () => {
  const backend = new ScriptedBackend();
  backend.topicTtl = 30;
  const seen = { presence: true };
  const rules = new TopicRules({ historySize: 0, historyTtlMs: 0, ...ASKED, ...seen });
  const { ask, pass } = await connected(backend, rules);
  await ask({ id: 2, subscribe: { channel: "news" } });
  const present = async () => {
    const answer = await ask({ id: 3, presence: { channel: "news" } });
    return Object.values((answer as { presence: { presence: object } }).presence.presence);
  };
  expect(await present()).toEqual([{ client: expect.any(String), user: "56" }]);
  backend.renewal = { ttl: 60, info: '"in the topic"' };
  await pass(31);
  expect(await present()).toMatchObject([{ chan_info: "in the topic" }]);
  backend.renewal = { ttl: 60, info: '"everywhere"' };
  await pass(30);
  expect(await present()).toMatchObject([{ chan_info: "in the topic", conn_info: "everywhere" }]);
});
