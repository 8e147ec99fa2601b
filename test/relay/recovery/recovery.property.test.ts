// Recovered + live = published, once and in order: for clients that reconnect again and again, under any interleaving,
// against a model. test/support/relay/model-client.ts states the rules that the clients follow.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { EngineOptions } from "../../../src/engines/options";
import { json } from "../../../src/protocols/json";
import type { Engine } from "../../../src/relay/contracts/engine";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { AsyncEngine } from "../../support/engines/async-engine";
import { type DeliveryLog, HISTORY_RULE, ModelClient } from "../../support/relay/model-client";
import { LIMITS, Simulation } from "../../support/relay/simulation";

const TOPICS = ["a", "b"] as const;
const USERS = ["1", "1", "2"] as const;
const RULES = new TopicRules(HISTORY_RULE, { b: { waveMs: 40 } });
const SETTLING_ROUNDS = 60;

/** As many connections as it takes to make publications wait for each other. */
const SPECTATORS = 64;

interface WorldOptions {
  readonly connectionAnswerBytes: number;
  readonly makeEngine: (options: EngineOptions) => Engine;
  /** Whether nothing is evicted for lack of room, and reads of history are answered at once. */
  readonly historyIsReliable: boolean;
}

/** A relay and three clients, two of them of one user, with the log of what the relay has delivered. */
class World {
  readonly simulation: Simulation;
  readonly historyIsReliable: boolean;
  readonly clients: readonly ModelClient[];
  readonly #log: DeliveryLog = new Map(TOPICS.map((topic) => [topic, []]));
  #published = 0;

  constructor({ connectionAnswerBytes, makeEngine, historyIsReliable }: WorldOptions) {
    const limits = { pongMs: 1e9, connectionAnswerBytes };
    this.simulation = new Simulation(limits, ["a"], makeEngine, RULES);
    this.historyIsReliable = historyIsReliable;
    this.clients = USERS.map((user) => new ModelClient(this.simulation, this.#log, user));
    for (let i = 0; i < SPECTATORS; i++) {
      const { connection } = this.simulation.connect(this.simulation.register("spectator"));
      this.simulation.relay.receive(connection, JSON.stringify({ topics: TOPICS }));
    }
    this.simulation.onDeliver = (publication) =>
      this.#log.get(publication.topic)?.push({ ...publication, at: this.simulation.now });
  }

  client(index: number): ModelClient {
    return this.clients[index] as ModelClient;
  }

  async publish(topic: string, user: string | undefined): Promise<void> {
    const message = `m${++this.#published}`;
    const to = user === undefined ? {} : { user_id: user };
    await this.simulation.relay.publisher.publish({ topic, message, ...to });
  }

  /** Each client has received the beginning of what was delivered for it in each of its runs. */
  expectNoGaps(): void {
    for (const { received, due } of this.#runs()) {
      expect(received).toEqual(due.slice(0, received.length));
    }
  }

  /** Each client has received everything that was delivered for it in the topics that it has chosen. */
  expectEverything(): void {
    this.expectNoGaps();
    for (const { received, due, isChosen } of this.#runs()) {
      if (isChosen) expect(received).toEqual(due);
    }
  }

  /**
   * Lets every client reconnect and receive all that waits for it. `answer` has the engine answer what it was asked.
   */
  async settle(answer: () => Promise<unknown> = async () => {}): Promise<void> {
    for (const client of this.clients) {
      client.reconnectIfClosed();
      client.choose(client.chosen);
      client.widen();
    }
    for (let round = 0; round < SETTLING_ROUNDS; round++) {
      await answer();
      for (const client of this.clients) {
        if (client.reconnectIfClosed()) client.choose(client.chosen);
        client.pong();
        client.drain();
      }
      this.simulation.pass(300);
      await nextTurn();
    }
  }

  expectNothingLeftBehind(): void {
    for (const client of this.clients) client.drop();
    const { connections } = this.simulation.relay;
    for (const connection of [...connections.all()]) connections.end(connection, "shutdown");
    this.simulation.pass(LIMITS.registrationTtlMs);
    const { counts } = this.simulation.relay;
    expect(counts).toEqual({ connections: 0, registrations: 0, topics: 0 });
  }

  /** What each client has received in each run, and what was due. */
  #runs(): { received: string[]; due: string[]; isChosen: boolean }[] {
    return this.clients.flatMap((client) =>
      [...client.runs].map(([topic, { start, received }]) => {
        const due = (this.#log.get(topic) ?? [])
          .slice(start)
          .filter(({ user }) => user === undefined || user === client.user)
          .map(({ data }) => data);
        return { received, due, isChosen: client.chosen.includes(topic) };
      }),
    );
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

type Step = (world: World) => void | Promise<void>;

/** A step that is shown by its name when a run fails. */
const named = (name: string, step: Step): Step => Object.assign(step, { toString: () => name });

const aClient = fc.nat(USERS.length - 1);
const aTopic = fc.constantFrom(...TOPICS);
const someTopics = fc.subarray([...TOPICS], { minLength: 0 });
const aUser = fc.option(fc.constantFrom("1", "2"), { nil: undefined });

/** A step of one client that is named after what it does. */
const clientStep = (name: string, act: (client: ModelClient) => void): fc.Arbitrary<Step> =>
  aClient.map((i) => named(`${name}(${i})`, (world) => act(world.client(i))));

const publishStep = fc
  .tuple(aTopic, aUser)
  .map(([topic, user]) =>
    named(`publish(${topic}, ${user})`, (world) => world.publish(topic, user)),
  );

const resumeStep = fc.tuple(aClient, someTopics).map(([i, topics]) =>
  named(`resume(${i}, ${topics})`, (world) => {
    const expected = world.historyIsReliable ? "what is kept" : "perhaps nothing";
    world.client(i).resume(topics, expected);
  }),
);

const chooseStep = fc
  .tuple(aClient, someTopics)
  .map(([i, topics]) =>
    named(`choose(${i}, ${topics})`, (world) => world.client(i).choose(topics)),
  );

const passStep = fc.integer({ min: 1, max: 3_000 }).map((ms) =>
  named(`pass(${ms})`, ({ simulation, clients }) => {
    for (const client of clients) client.pong();
    simulation.pass(ms);
    for (const client of clients) client.pong();
    simulation.ring();
  }),
);

const publishToAllStep = aTopic.map((topic) =>
  named(`publish(${topic})`, (world) => world.publish(topic, undefined)),
);

/** The turn of the event loop ends, and sending what left in it takes so long. */
const endTurnStep = fc.integer({ min: 0, max: 40 }).map((ms) =>
  named(`endTurn(${ms})`, async ({ simulation }) => {
    simulation.now += ms;
    await nextTurn();
  }),
);

const aStep = fc.oneof(
  publishStep,
  publishStep,
  publishToAllStep,
  publishToAllStep,
  publishToAllStep,
  endTurnStep,
  endTurnStep,
  clientStep("connect", (client) => client.connect()),
  resumeStep,
  chooseStep,
  clientStep("reconnect", (client) => client.reconnect()),
  clientStep("drop", (client) => client.drop()),
  clientStep("narrow", (client) => client.narrow()),
  clientStep("drain", (client) => client.drain()),
  clientStep("pong", (client) => client.pong()),
  passStep,
);

/** What one client may make the relay send in a second: practically everything, or about two publications. */
const answerBytes = fc.constantFrom(33_554_432, 1_200);

describe("what clients recover and what they receive live is what was published, once and in order", () => {
  test("with an engine that answers at once, with room for all histories or for a few", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(aStep, { maxLength: 60, size: "max" }),
        fc.constantFrom(1_000_000, 1_500),
        answerBytes,
        async (steps, historyBytes, connectionAnswerBytes) => {
          const world = new World({
            connectionAnswerBytes,
            makeEngine: (options) => new MemoryEngine({ ...options, rules: RULES, historyBytes }),
            historyIsReliable: historyBytes > 1_500,
          });
          for (const step of steps) {
            await step(world);
            world.expectNoGaps();
          }
          await world.settle();
          world.expectEverything();
          world.expectNothingLeftBehind();
        },
      ),
      { numRuns: 400 },
    );
  }, 120_000);

  test("with an engine that answers later, in any order, or fails", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(aStep, { maxLength: 40, size: "max" }),
        fc.array(fc.nat(60), { maxLength: 4 }),
        fc.infiniteStream(fc.nat(3)),
        answerBytes,
        async (scheduler, steps, failures, pauses, connectionAnswerBytes) => {
          const engines: AsyncEngine[] = [];
          const world = new World({
            connectionAnswerBytes,
            makeEngine: (options) => {
              const wait = (what: string) => scheduler.schedule(Promise.resolve(), what);
              engines.push(new AsyncEngine({ ...options, rules: RULES }, wait));
              return engines[0] as AsyncEngine;
            },
            historyIsReliable: false,
          });
          const engine = engines[0] as AsyncEngine;
          const running: (void | Promise<void>)[] = [];
          for (const [i, step] of steps.entries()) {
            if (failures.includes(i)) engine.failures++;
            running.push(step(world));
            for (let n = pauses.next().value; n > 0 && scheduler.count() > 0; n--) {
              await scheduler.waitOne();
              await nextTurn();
            }
          }
          engine.failures = 0;
          const answerAll = async () => {
            while (scheduler.count() > 0) await scheduler.waitAll();
          };
          await answerAll();
          await Promise.all(running);
          world.expectNoGaps();
          await world.settle(answerAll);
          await world.settle(answerAll);
          world.expectEverything();
          world.expectNothingLeftBehind();
        },
      ),
      { numRuns: 400 },
    );
  }, 120_000);
});

test("the reply for a topic that the connection already has gives its top, however old the page of history is", async () => {
  const waiting: (() => void)[] = [];
  const simulation = new Simulation({}, [], (options) => {
    return new AsyncEngine(options, () => new Promise((resolve) => waiting.push(resolve)));
  });
  const letTheEngineGoOn = async (steps: number) => {
    for (let i = 0; i < steps; i++) {
      waiting.shift()?.();
      await nextTurn();
    }
  };
  const { connection, socket } = simulation.connect(simulation.register(), json);
  simulation.relay.receive(connection, '{"topics":["a"]}');
  await letTheEngineGoOn(2);
  simulation.relay.receive(connection, '{"topics":["a"]}');
  await letTheEngineGoOn(1);
  // The page has been read, and is still on its way.
  const published = simulation.relay.publisher.publish({ topic: "a", message: "m" });
  waiting.pop()?.();
  await published;
  await letTheEngineGoOn(1);
  expect(socket.frames).toEqual([
    '{"topics":{"a":{"offset":0,"epoch":"e1"}}}',
    '{"topic":"a","data":"m","offset":1,"epoch":"e1"}',
    '{"topics":{"a":{"offset":1,"epoch":"e1"}}}',
  ]);
});

test("commands that come while a history is being read are carried out in their order, whatever is read first", async () => {
  const waiting: (() => void)[] = [];
  const simulation = new Simulation({}, [], (options) => {
    return new AsyncEngine(options, () => new Promise((resolve) => waiting.push(resolve)));
  });
  const { connection, socket } = simulation.connect(simulation.register(), json);
  for (const topic of ["a", "b", "c"]) {
    simulation.relay.receive(connection, JSON.stringify({ topics: [topic] }));
  }
  while (waiting.length > 0) {
    waiting.pop()?.();
    await nextTurn();
  }
  expect(socket.frames.map((frame) => Object.keys(JSON.parse(frame).topics))).toEqual([
    ["a"],
    ["b"],
    ["c"],
  ]);
  expect(connection.topics.map(({ name }) => name)).toEqual(["c"]);
});
