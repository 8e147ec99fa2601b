// Presence: clients of all protocols are listed, and sessions receive joins and leaves.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { SessionClient } from "../../support/centrifuge/session-client";
import type { Client } from "../../support/clients/client";
import { EventStream } from "../../support/clients/event-stream";
import { Simulation } from "../../support/relay/simulation";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  const file = topicsFile({
    "seen:": { presence: true },
    "announced:": { join_leave: true },
    "both:": { presence: true, join_leave: true },
  });
  relay = await startRelay({ BATON_TOPICS_FILE: file, BATON_USER_CONNECTIONS_MAX: "1000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

interface Present {
  readonly clients: readonly { readonly client: string; readonly user: string }[];
  readonly users: number;
}

async function presence(topic: string): Promise<Present> {
  const answer = await relay.request("GET", `/topics/${encodeURIComponent(topic)}/presence`);
  expect(answer.status).toBe(200);
  return answer.json;
}

async function counts(topic: string): Promise<{ clients: number; users: number }> {
  const path = `/topics/${encodeURIComponent(topic)}/presence?counts=true`;
  return (await relay.request("GET", path)).json;
}

/** Registers and resolves with the addresses for the socket and for the stream. */
async function registered(user: string, topics: readonly string[]) {
  const { json } = await relay.post("/register", { user_id: user, topics });
  return { url: json.url as string, sse: json.sse as string };
}

const users = ({ clients }: Present) => clients.map(({ user }) => user).toSorted();

describe("the clients in a topic", () => {
  test("are listed as soon as they are subscribed, whatever their protocol, under ids that open nothing", async () => {
    const topic = "seen:all";
    const plain = await relay.register("plain");
    const enveloped = await relay.register("json");
    const streamed = await registered("sse", [topic]);
    await relay.open(plain, [topic]);
    const json = await relay.open(`${enveloped}?format=json`, [topic]);
    await json.next();
    const stream = await EventStream.open(streamed.sse);
    const session = await SessionClient.connect(relay, { topics: [topic] });
    const found = await presence(topic);
    expect(users(found)).toEqual(["", "json", "plain", "sse"]);
    expect(found.users).toBe(4);
    expect(await counts(topic)).toEqual({ clients: 4, users: 4 });
    const ids = found.clients.map(({ client }) => client);
    expect(new Set(ids).size).toBe(4);
    expect(found.clients.find(({ user }) => user === "")?.client).toBe(session.id);
    for (const url of [plain, enveloped, streamed.url]) expect(ids).not.toContain(idOf(url));
    for (const id of ids) {
      const { json: error } = await relay.request("GET", `/sse/${id}`);
      expect(error.error.code).toBe("unknown_connection");
      expect((await relay.request("DELETE", `/register/${id}`)).status).toBe(
        id === session.id ? 200 : 404,
      );
    }
    await stream.close();
  });

  test("are no longer listed after they leave, close, or just drop", async () => {
    const topic = "seen:gone";
    const leaves = await relay.connect("leaves", [topic]);
    const closes = await relay.connect("closes", [topic]);
    const drops = await relay.connect("drops", [topic]);
    const stream = await EventStream.open((await registered("stream", [topic])).sse);
    const session = await SessionClient.connect(relay, { topics: [topic] });
    expect(await counts(topic)).toEqual({ clients: 5, users: 5 });
    leaves.send({ topics: [] });
    await leaves.settled();
    expect(users(await presence(topic))).toEqual(["", "closes", "drops", "stream"]);
    await closes.close();
    drops.drop();
    await stream.close();
    await session.ask("unsubscribe", { channel: topic });
    await until("all clients to be gone", async () => (await counts(topic)).clients === 0);
    expect(await presence(topic)).toEqual({ clients: [], users: 0 });
  });

  test("count as several clients of one user if they are of the same user, and have the same id in all topics", async () => {
    const url = await relay.register("many");
    const first = await relay.open(url, ["seen:m1", "seen:m2"]);
    await relay.connect("many", ["seen:m1"]);
    expect(await counts("seen:m1")).toEqual({ clients: 2, users: 1 });
    const [other] = (await presence("seen:m2")).clients;
    expect((await presence("seen:m1")).clients).toContainEqual(other as Present["clients"][0]);
    first.send({ topics: ["seen:m2"] });
    await first.settled();
    expect(await counts("seen:m1")).toEqual({ clients: 1, users: 1 });
    // A socket that replaces another one counts once, and leaves nothing behind.
    const second = await relay.open(url, ["seen:m2"]);
    await first.closed;
    expect(await counts("seen:m2")).toEqual({ clients: 1, users: 1 });
    await second.close();
    await until("the client to be gone", async () => (await counts("seen:m2")).clients === 0);
  });
});

describe("sessions receive", () => {
  const info = (user: string) => ({ info: { user, client: expect.any(String) } });

  test("their own join after the reply, and joins and leaves of clients of all kinds", async () => {
    const channel = "announced:a";
    const session = await SessionClient.connect(relay);
    expect((await session.ask("subscribe", { channel })).subscribe).toBeDefined();
    expect(await session.next()).toEqual({
      channel,
      join: { info: { user: "", client: session.id } },
    });
    const plain = await relay.connect("plain", [channel]);
    expect(await session.next()).toEqual({ channel, join: info("plain") });
    const stream = await EventStream.open((await registered("sse", [channel])).sse);
    expect(await session.next()).toEqual({ channel, join: info("sse") });
    plain.send({ topics: [] });
    expect(await session.next()).toEqual({ channel, leave: info("plain") });
    await stream.close();
    expect(await session.next()).toEqual({ channel, leave: info("sse") });
  });

  test("a leave with the id of the join, also when a socket drops", async () => {
    const channel = "both:drop";
    const session = await SessionClient.connect(relay, { topics: [channel] });
    await session.rest();
    const url = await relay.register("dropper");
    const dropper = await relay.open(url, [channel]);
    const { join } = await session.next();
    const [, present] = (await presence(channel)).clients;
    expect(join.info).toEqual({ user: "dropper", client: present?.client });
    expect(join.info.client).not.toBe(idOf(url));
    dropper.drop();
    expect(await session.next()).toEqual({ channel, leave: join });
    expect(await counts(channel)).toEqual({ clients: 1, users: 1 });
  });

  test("the leave of a session that drops, unsubscribes, or is disconnected by the backend", async () => {
    const channel = "announced:sessions";
    const session = await SessionClient.connect(relay, { topics: [channel] });
    await session.rest();
    for (const leave of ["drop", "unsubscribe", "disconnect"]) {
      const other = await SessionClient.connect(relay, { topics: [channel] });
      const about = { info: { user: "", client: other.id } };
      expect(await session.next()).toEqual({ channel, join: about });
      if (leave === "drop") other.drop();
      else if (leave === "unsubscribe") await other.ask("unsubscribe", { channel });
      else await relay.request("DELETE", `/connections/${other.id}`);
      expect(await session.next()).toEqual({ channel, leave: about });
    }
    expect(await session.rest()).toEqual([]);
  });

  test("no joins in topics that only have presence, and other clients never receive any", async () => {
    const session = await SessionClient.connect(relay, { topics: ["seen:quiet"] });
    const plain = await relay.connect("plain", ["seen:quiet", "announced:plain"]);
    const other = await relay.connect("other", ["seen:quiet", "announced:plain"]);
    expect([await session.rest(), await plain.rest()]).toEqual([[], []]);
    await Promise.all([plain.close(), other.close()]);
  });
});

describe("a topic without presence", () => {
  test.each(["/presence", "/presence?counts=true"])("answers 404 to %s", async (path) => {
    for (const topic of ["other", "announced:a"]) {
      const { status, json } = await relay.request("GET", `/topics/${topic}${path}`);
      expect([status, json.error.code]).toEqual([404, "not_available"]);
    }
  });

  test("gives its connections no public id", async () => {
    const url = await relay.register("unseen");
    await relay.open(url, ["other"]);
    const [connection] = [...relay.running.relay.connections.all()].filter(
      ({ id }) => id === idOf(url),
    );
    expect(connection?.publicId).toBe("");
  });
});

test.each([
  ["%0a/presence", 422, "invalid_topic"],
  [`${"x".repeat(256)}/presence`, 422, "invalid_topic"],
  ["seen:a/presence?counts=yes", 422, "invalid_query"],
  ["seen:a/presence?limit=1", 422, "invalid_query"],
])("%s answers %d %s", async (path, status, code) => {
  const answer = await relay.request("GET", `/topics/${path}`);
  expect([answer.status, answer.json.error.code]).toEqual([status, code]);
});

test("after any joins, leaves and drops, presence lists exactly the clients that have joined and not left", async () => {
  const topics = ["both:x", "both:y", "other"];
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("choose" as const),
      client: fc.nat(3),
      names: fc.subarray(topics),
    }),
    fc.record({ kind: fc.constantFrom("drop" as const, "close" as const), client: fc.nat(3) }),
  );
  const watched = topics.filter((topic) => topic !== "other");
  const property = fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
    const clients = new Map<number, Client>();
    const model = new Map<number, readonly string[]>();
    const userOf = (client: number) => `user ${client % 2}`;
    for (const action of steps) {
      const { client } = action;
      if (action.kind === "choose") {
        const socket = clients.get(client) ?? (await relay.connect(userOf(client), []));
        clients.set(client, socket);
        socket.send({ topics: action.names });
        await socket.settled();
        model.set(client, action.names);
      } else {
        const socket = clients.get(client);
        clients.delete(client);
        model.delete(client);
        if (action.kind === "drop") socket?.drop();
        else await socket?.close();
      }
    }
    for (const topic of watched) {
      const expected = [...model]
        .filter(([, names]) => names.includes(topic))
        .map(([client]) => userOf(client))
        .toSorted();
      await until("the clients that dropped to be gone", async () => {
        return (await counts(topic)).clients === expected.length;
      });
      const found = await presence(topic);
      expect(users(found)).toEqual(expected);
      expect(new Set(found.clients.map(({ client }) => client)).size).toBe(expected.length);
      const numbers = { clients: expected.length, users: new Set(expected).size };
      expect(await counts(topic)).toEqual(numbers);
      expect(found.users).toBe(numbers.users);
    }
    await Promise.all([...clients.values()].map((socket) => socket.close()));
    for (const topic of watched) {
      await until("all clients to be gone", async () => (await counts(topic)).clients === 0);
    }
  });
  await fc.assert(property, { numRuns: 25 });
});

test("who left while a topic's rule asked for no presence is not listed when it asks for it again", async () => {
  const [without, seen] = [false, true].map((presence) => {
    return new TopicRules({ historySize: 0, historyTtlMs: 0, presence });
  }) as [TopicRules, TopicRules];
  const rules = new TopicRules({ historySize: 0, historyTtlMs: 0, presence: true });
  const sim = new Simulation({}, ["hall"], undefined, rules);
  const { connection } = sim.connect(sim.register("leaves"));
  sim.connect(sim.register("stays"));
  const users = async () =>
    (await sim.relay.backend.presence("hall")) as readonly { readonly user: string }[];
  expect(await users()).toHaveLength(2);
  rules.replace(without);
  sim.relay.rulesChanged();
  sim.relay.connections.closed(connection);
  rules.replace(seen);
  sim.relay.rulesChanged();
  expect(await users()).toMatchObject([{ user: "stays" }]);
});
