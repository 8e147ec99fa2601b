// Recovered + live = published: for a client that keeps coming back, under any interleaving, against a model.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { json } from "../../../src/protocols/json";
import type { Position, Publication } from "../../../src/relay/contracts/publication";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import type { Connection } from "../../../src/relay/state/connection";
import { AsyncEngine } from "../../support/engines/async-engine";
import { FakeSocket, LIMITS, Simulation } from "../../support/relay/simulation";

const TOPICS = ["a", "b"] as const;
const RULES = { historySize: 8, historyTtlMs: 5_000 };

/** A socket that takes only so much until it is drained, and is read at once. */
class NarrowSocket extends FakeSocket {
  waiting = 0;
  narrow = false;
  onFrame: (frame: string) => void = () => {};

  override send(frame: string): number {
    if (this.narrow) this.waiting += LIMITS.backpressureBytes / 8;
    this.onFrame(frame);
    return frame.length;
  }

  override getBufferedAmount(): number {
    return this.waiting;
  }
}

/** What was delivered, by topic and in order. */
type Log = ReadonlyMap<string, (Publication & { readonly at: number })[]>;

interface Delivered extends Position {
  readonly topic: string;
  readonly data: string;
}

/** A client by the rules of the README. It notes from where on it is to be given everything, and what it gets. */
class Client {
  readonly user: string;
  readonly sim: Simulation;
  readonly positions = new Map<string, Position>();
  /** From which place of the log on each topic is to be whole, and what came. */
  readonly streaks = new Map<string, { start: number; got: string[] }>();
  connection: Connection | undefined;
  socket: NarrowSocket | undefined;
  wants: readonly string[] = [];
  readonly #log: Log;
  /** Positions for the first command of a connection that resumes; set until its reply. */
  #since: ReadonlyMap<string, Position> | undefined;
  #early: Delivered[] = [];
  #asks = false;
  /** Its first command was sent in the turn in which it opened: what is kept must be given to it. */
  atOnce = false;
  /** The topics of this connection, as far as it knows. */
  #has = new Set<string>();

  constructor(sim: Simulation, log: Log, user: string) {
    this.sim = sim;
    this.#log = log;
    this.user = user;
  }

  /**
   * Opens a connection. One that shall not `resume` begins anew; one that shall has noted its positions, gives them
   * in its first command, and counts what comes before the reply only when that says `recovered`.
   */
  connect(resume: boolean): void {
    this.drop();
    if (!resume) {
      this.positions.clear();
      this.streaks.clear();
    }
    this.#since = resume ? new Map(this.positions) : undefined;
    this.#early = [];
    this.#has = new Set();
    this.#asks = false;
    this.socket = new NarrowSocket();
    this.socket.onFrame = (frame) => this.#read(frame);
    this.sim.sockets.add(this.socket);
    const connection = this.sim.relay.admission.admit(this.sim.register(this.user), json);
    this.connection = connection as Connection;
    this.sim.relay.open(this.connection, this.socket);
  }

  /** Its connection is gone without a word; it takes what has arrived. */
  drop(): void {
    if (this.connection === undefined) return;
    this.socket?.natives.clear();
    this.sim.relay.connections.closed(this.connection);
    this.connection = undefined;
  }

  /** It waits for the reply to one command before it sends the next: what is on its way may change what it has. */
  choose(topics: readonly string[]): void {
    if (this.connection === undefined || this.#asks) return;
    this.#asks = true;
    this.wants = topics;
    const positions = this.#since ?? this.positions;
    const since = Object.fromEntries([...positions].filter(([name]) => topics.includes(name)));
    this.sim.relay.receive(this.connection, JSON.stringify({ topics, since }));
  }

  #read(text: string): void {
    const frame = JSON.parse(text);
    if (frame.topic === undefined) this.#asks = false;
    if (frame.topics !== undefined) this.#resumed(frame.topics);
    else if (frame.topic === undefined) expect(frame.error.code).toBe("engine_unavailable");
    else if (this.#since !== undefined) this.#early.push(frame);
    else this.#received(frame);
  }

  /** Whether the history that the relay keeps has all after this position. */
  #isKept(topic: string, { epoch, offset }: Position): boolean {
    const missed = (this.#log.get(topic) ?? []).slice(this.#placeAfter(topic, { epoch, offset }));
    const fresh = missed.every(({ at }) => at + RULES.historyTtlMs > this.sim.now);
    const same = missed.every((publication) => publication.epoch === epoch);
    return fresh && same && missed.length <= RULES.historySize;
  }

  #resumed(topics: Record<string, Position & { recovered?: boolean }>): void {
    for (const [topic, { offset, epoch, recovered }] of Object.entries(topics)) {
      const since = this.#since?.get(topic);
      if (recovered === false && since !== undefined && this.atOnce) {
        expect(this.#isKept(topic, since)).toBe(false);
      }
      if (recovered === true) {
        for (const frame of this.#early) if (frame.topic === topic) this.#received(frame);
        continue;
      }
      this.positions.set(topic, { offset, epoch });
      // One that it left, and has again without saying where it was, begins anew.
      if (recovered === false || !this.#has.has(topic) || !this.streaks.has(topic)) {
        this.streaks.set(topic, { start: this.#placeAfter(topic, { offset, epoch }), got: [] });
      }
    }
    this.#since = undefined;
    this.#early = [];
    this.#has = new Set(Object.keys(topics));
  }

  #received({ topic, data, offset, epoch }: Delivered): void {
    this.positions.set(topic, { offset, epoch });
    this.#has.add(topic);
    const streak = this.streaks.get(topic);
    if (streak !== undefined) streak.got.push(data);
    else {
      // Before its first command: it has the topic from here on.
      const start = this.#placeAfter(topic, { offset, epoch }) - 1;
      this.streaks.set(topic, { start, got: [data] });
    }
  }

  #placeAfter(topic: string, { offset, epoch }: Position): number {
    const log = this.#log.get(topic) ?? [];
    if (offset > 0) return log.findIndex((p) => p.epoch === epoch && p.offset === offset) + 1;
    const first = log.findIndex((p) => p.epoch === epoch);
    return first < 0 ? log.length : first;
  }
}

class World {
  readonly sim: Simulation;
  readonly roomy: boolean;
  readonly clients: Client[];
  readonly log: Log = new Map(TOPICS.map((topic) => [topic, []]));
  #messages = 0;

  /** `roomy`: nothing is given up for lack of room, and history is at hand. */
  constructor(sim: Simulation, roomy: boolean) {
    this.sim = sim;
    this.roomy = roomy;
    this.clients = ["1", "1", "2"].map((user) => new Client(sim, this.log, user));
    sim.onDeliver = (publication) =>
      this.log.get(publication.topic)?.push({ ...publication, at: sim.now });
  }

  async publish(topic: string, user: string | undefined): Promise<void> {
    const message = `m${++this.#messages}`;
    const to = user === undefined ? {} : { user_id: user };
    await this.sim.relay.publisher.publish({ topic, message, ...to });
  }

  /** What each client has is just what was delivered for it from its start on; `whole`: all of it. */
  check(whole: boolean): void {
    for (const client of this.clients) {
      for (const [topic, { start, got }] of client.streaks) {
        const owed = (this.log.get(topic) ?? [])
          .slice(start)
          .filter(({ user }) => user === undefined || user === client.user)
          .map(({ data }) => data);
        if (whole && client.wants.includes(topic)) expect(got).toEqual(owed);
        else expect(got).toEqual(owed.slice(0, got.length));
      }
    }
  }
}

type Step = (world: World) => void | Promise<void>;

const who = fc.nat(2);
const topic = fc.constantFrom(...TOPICS);
const some = fc.subarray([...TOPICS], { minLength: 0 });

const named = (name: string, step: Step): Step => Object.assign(step, { toString: () => name });

const publishing = fc
  .tuple(topic, fc.option(fc.constantFrom("1", "2"), { nil: undefined }))
  .map(([t, user]) => named(`publish(${t}, ${user})`, (world) => world.publish(t, user)));

const steps: fc.Arbitrary<Step>[] = [
  publishing,
  publishing,
  publishing,
  who.map((i) => named(`connect(${i})`, ({ clients }) => clients[i]?.connect(false))),
  fc.tuple(who, some).map(([i, names]) =>
    named(`resume(${i}, ${names})`, ({ roomy, clients }) => {
      const client = clients[i] as Client;
      client.connect(true);
      client.atOnce = roomy;
      client.choose(names);
      client.atOnce = false;
    }),
  ),
  fc
    .tuple(who, some)
    .map(([i, names]) =>
      named(`choose(${i}, ${names})`, ({ clients }) => clients[i]?.choose(names)),
    ),
  who.map((i) => named(`reconnect(${i})`, ({ clients }) => clients[i]?.connect(true))),
  who.map((i) => named(`drop(${i})`, ({ clients }) => clients[i]?.drop())),
  who.map((i) =>
    named(`narrow(${i})`, ({ clients }) => {
      const socket = clients[i]?.socket;
      if (socket !== undefined) socket.narrow = true;
    }),
  ),
  who.map((i) => named(`drain(${i})`, ({ clients }) => drain(clients[i]))),
  who.map((i) =>
    named(`pong(${i})`, ({ sim, clients }) => {
      const { connection } = clients[i] as Client;
      if (connection !== undefined) sim.relay.pong(connection);
    }),
  ),
  fc.integer({ min: 1, max: 3_000 }).map((ms) =>
    named(`pass(${ms})`, ({ sim, clients }) => {
      for (const { connection } of clients) if (connection) sim.relay.pong(connection);
      sim.pass(ms);
      for (const { connection } of clients) if (connection) sim.relay.pong(connection);
      sim.ring();
    }),
  ),
];

function drain(client: Client | undefined): void {
  if (client?.socket === undefined || client.connection === undefined) return;
  client.socket.waiting = 0;
  client.sim.relay.drained(client.connection);
}

/** Everybody comes back and takes all: then nothing may be missing. */
async function settle(world: World, rounds: (() => Promise<unknown>) | undefined): Promise<void> {
  for (const client of world.clients) {
    comeBack(client);
    client.choose(client.wants);
    if (client.socket !== undefined) client.socket.narrow = false;
  }
  for (let i = 0; i < 60; i++) {
    await rounds?.();
    for (const client of world.clients) {
      if (comeBack(client)) client.choose(client.wants);
      if (client.connection !== undefined) world.sim.relay.pong(client.connection);
      drain(client);
    }
    world.sim.pass(300);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** One that the relay has ended comes back like one that has dropped. */
function comeBack(client: Client): boolean {
  if (client.connection?.socket !== undefined) return false;
  client.connect(true);
  return true;
}

function nothingIsLeft({ sim, clients }: World): void {
  for (const client of clients) client.drop();
  sim.pass(LIMITS.registrationTtlMs);
  expect(sim.relay.counts).toEqual({ connections: 0, registrations: 0, topics: 0 });
}

/** What one client may make the relay send in a second: practically everything, or about two publications. */
const ANSWER_BYTES = fc.constantFrom(33_554_432, 1_200);

describe("recovered + live = published", () => {
  test("with an engine that answers at once", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(...steps), { maxLength: 60, size: "max" }),
        fc.constantFrom(1_000_000, 1_500),
        ANSWER_BYTES,
        async (life, historyBytes, connectionAnswerBytes) => {
          const rules = new TopicRules(RULES);
          const world = new World(
            new Simulation({ pongMs: 1e9, connectionAnswerBytes }, ["a"], (options) => {
              return new MemoryEngine({ ...options, rules, historyBytes });
            }),
            historyBytes > 1_500,
          );
          for (const step of life) {
            await step(world);
            world.check(false);
          }
          await settle(world, undefined);
          world.check(true);
          nothingIsLeft(world);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("with an engine that answers later, in any order, or fails", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.oneof(...steps), { maxLength: 40, size: "max" }),
        fc.array(fc.nat(60), { maxLength: 4 }),
        fc.infiniteStream(fc.nat(3)),
        ANSWER_BYTES,
        async (scheduler, life, failures, pauses, connectionAnswerBytes) => {
          const rules = new TopicRules(RULES);
          let engine: AsyncEngine | undefined;
          const world = new World(
            new Simulation({ pongMs: 1e9, connectionAnswerBytes }, ["a"], (options) => {
              const wait = (what: string) => scheduler.schedule(Promise.resolve(), what);
              engine = new AsyncEngine({ ...options, rules }, wait);
              return engine;
            }),
            false,
          );
          const publishes: (void | Promise<void>)[] = [];
          for (const [i, step] of life.entries()) {
            if (engine !== undefined && failures.includes(i)) engine.failures++;
            publishes.push(step(world));
            for (let n = pauses.next().value; n > 0 && scheduler.count() > 0; n--) {
              await scheduler.waitOne();
              await new Promise((resolve) => setImmediate(resolve));
            }
          }
          if (engine !== undefined) engine.failures = 0;
          const all = async () => {
            while (scheduler.count() > 0) await scheduler.waitAll();
          };
          await all();
          await Promise.all(publishes);
          world.check(false);
          await settle(world, all);
          await settle(world, all);
          world.check(true);
          nothingIsLeft(world);
        },
      ),
      { numRuns: 400 },
    );
  });
});

test("the reply for a topic that it has says where it is now, however old the page is", async () => {
  const waits: (() => void)[] = [];
  const sim = new Simulation({}, [], (options) => {
    return new AsyncEngine(options, () => new Promise((resolve) => waits.push(resolve)));
  });
  const go = async (steps: number) => {
    for (let i = 0; i < steps; i++) {
      waits.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const { connection, socket } = sim.connect(sim.register(), json);
  sim.relay.receive(connection, '{"topics":["a"]}');
  await go(2);
  sim.relay.receive(connection, '{"topics":["a"]}');
  await go(1);
  // The page is read, and on its way.
  const published = sim.relay.publisher.publish({ topic: "a", message: "m" });
  waits.pop()?.();
  await published;
  await go(1);
  expect(socket.frames).toEqual([
    '{"topics":{"a":{"offset":0,"epoch":"e1"}}}',
    '{"topic":"a","data":"m","offset":1,"epoch":"e1"}',
    '{"topics":{"a":{"offset":1,"epoch":"e1"}}}',
  ]);
});
