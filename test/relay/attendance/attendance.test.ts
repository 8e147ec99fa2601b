// Who comes and goes, as the witness of a relay is told: users, topics, and users in topics with presence.
import { beforeEach, describe, expect, test } from "bun:test";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { OPEN, Simulation } from "../../support/relay/simulation";

const RULES = new TopicRules(
  { historySize: 0, historyTtlMs: 0 },
  { "room:": { presence: true } },
  "all",
);

/** How long a topic may be without subscribers, and a user out of a topic, before that is told. */
const ABSENCE_MS = 3_000;

describe("the witness", () => {
  let sim: Simulation;

  const turn = () => new Promise(setImmediate);
  /** Lets time pass, and what follows from it happen. */
  const pass = async (ms: number) => {
    sim.pass(ms);
    await turn();
    sim.pass(0);
    await turn();
  };
  const told = (...kinds: string[]) =>
    sim.happened
      .filter(({ kind }) => kinds.includes(kind))
      .map((one) => {
        const topic = "topic" in one ? ` ${one.topic}` : "";
        return `${one.kind}${topic}${"user" in one ? ` ${one.user}` : ""}`;
      });

  beforeEach(async () => {
    sim = new Simulation({}, ["a"], undefined, RULES);
    await pass(0);
  });

  test("is told of the first subscriber of a topic, and a moment after the last has gone", async () => {
    const first = sim.connect(sim.register(1));
    const second = sim.connect(sim.register(2));
    sim.relay.connections.closed(first.connection);
    await pass(ABSENCE_MS);
    const topics = () => told("occupied", "vacated");
    expect(topics()).toEqual(["occupied a"]);
    sim.relay.connections.closed(second.connection);
    await pass(ABSENCE_MS - 1);
    expect(topics()).toEqual(["occupied a"]);
    await pass(1);
    expect(topics()).toEqual(["occupied a", "vacated a"]);
    sim.connect(sim.register(3));
    await turn();
    expect(topics()).toEqual(["occupied a", "vacated a", "occupied a"]);
  });

  test("is told nothing of a topic whose client reconnects within a moment", async () => {
    for (let i = 0; i < 5; i++) {
      const { connection } = sim.connect(sim.register(1));
      sim.relay.connections.closed(connection);
      await pass(ABSENCE_MS - 1);
    }
    expect(told("occupied", "vacated")).toEqual(["occupied a"]);
  });

  test("is told of other topics that a client chooses, and of the former", async () => {
    const { connection } = sim.connect(sim.register(1));
    sim.relay.receive(connection, '{"topics":["b"]}');
    await pass(ABSENCE_MS);
    expect(told("occupied", "vacated")).toEqual(["occupied a", "occupied b", "vacated a"]);
  });

  test("is told that a user is online with its first connection, and offline after the grace", async () => {
    const phone = sim.connect(sim.register("u"));
    const laptop = sim.connect(sim.register("u"));
    await turn();
    sim.relay.connections.closed(phone.connection);
    await pass(OPEN.offlineMs);
    expect(told("online", "offline")).toEqual(["online u"]);
    sim.relay.connections.closed(laptop.connection);
    await pass(OPEN.offlineMs - 1);
    expect(told("online", "offline")).toEqual(["online u"]);
    await pass(1);
    expect(told("online", "offline")).toEqual(["online u", "offline u"]);
  });

  test("is told nothing of a user that loads its page again", async () => {
    for (let i = 0; i < 3; i++) {
      const { connection } = sim.connect(sim.register("u"));
      await turn();
      sim.relay.connections.closed(connection);
      await pass(OPEN.offlineMs - 1);
    }
    expect(told("online", "offline")).toEqual(["online u"]);
  });

  test("is told which user is in a topic with presence, once for all of its connections", async () => {
    const one = sim.connect(sim.register("u"));
    const two = sim.connect(sim.register("u"));
    for (const { connection } of [one, two]) {
      sim.relay.receive(connection, '{"topics":["room:1","other"]}');
    }
    await pass(0);
    expect(told("joined", "left")).toEqual(["joined room:1 u"]);
    sim.relay.receive(one.connection, '{"topics":["other"]}');
    await pass(ABSENCE_MS);
    expect(told("joined", "left")).toEqual(["joined room:1 u"]);
    sim.relay.connections.closed(two.connection);
    await pass(ABSENCE_MS);
    expect(told("joined", "left")).toEqual(["joined room:1 u", "left room:1 u"]);
  });

  test("gets a key with each event, another one for each coming and going", async () => {
    for (let i = 0; i < 3; i++) {
      const { connection } = sim.connect(sim.register("u"));
      await turn();
      sim.relay.connections.closed(connection);
      await pass(OPEN.offlineMs);
    }
    const keys = sim.happened.map((one) => `${one.kind} ${"key" in one ? one.key : ""}`);
    expect(new Set(keys).size).toBe(keys.length);
    expect(told("online", "offline")).toHaveLength(6);
  });
});
