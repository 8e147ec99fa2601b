// Any engine, whatever happens to it and in whichever order: what is acknowledged stands at one place for ever, and whoever follows
// a topic gets all that comes after the position that it was told, once and in order, or is told that this is impossible.
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import {
  type Engine,
  type EngineEvents,
  EngineUnavailable,
} from "../../src/relay/contracts/engine";
import type { Maybe } from "../../src/relay/contracts/maybe";
import type { Position, Publication } from "../../src/relay/contracts/publication";
import { TopicRules } from "../../src/relay/contracts/topic-rules";
import { Publications } from "../support/engines/publications";
import { RedisServer } from "../support/engines/redis-server";
import { type Disturbance, redisWorld, WORLDS, type World } from "../support/engines/worlds";
import { inFull } from "../support/in-full";
import { NOBODY } from "../support/relay/simulation";
import { until } from "../support/wait";

setDefaultTimeout(300_000);

const SIZE = 8;
const KEPT = ["a", "b"];
/** Of the last one no history is kept. */
const TOPICS = [...KEPT, "live:c"];
const ALL = { limit: 1_000, size: 1e6 };

const on = { topic: fc.constantFrom(...TOPICS), node: fc.nat(1) };
const STEP = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant("publish"),
      ...on,
      count: fc.integer({ min: 1, max: 5 }),
      isKeyed: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("repeat"), ...on, count: fc.nat(30) }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant("follow"), ...on }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("unfollow"), ...on }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("forget"), ...on }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("wait"), ms: fc.nat(700) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("sweep"), ...on }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("settle"), ...on }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("crash"), ...on }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant("disturb"),
      what: fc.constantFrom<Disturbance>(
        "calls cut",
        "subscriptions cut",
        "scripts forgotten",
        "restarted",
      ),
    }),
  },
);

const STEPS = fc.array(STEP, { minLength: 20, maxLength: 60, size: "max" });

interface Step {
  readonly does: string;
  readonly topic?: string;
  readonly node?: number;
  readonly count?: number;
  readonly isKeyed?: boolean;
  readonly ms?: number;
  readonly what?: Disturbance;
}

/** A connection that subscribes to a topic of a node: as the relay does it, without sockets. */
class Follower {
  /** Where it begins, once the engine has said so. */
  start: Position | undefined;
  /** "lost": it was told that it cannot be given what it lacks. */
  state: "reading" | "reads" | "lost" = "reading";
  readonly delivered: Publication[] = [];

  take(publication: Publication): void {
    if (this.state === "lost") throw new Error(`${publication.data} is delivered after a reset`);
    const { epoch, offset } = publication;
    const isKnown = epoch === this.start?.epoch && (offset ?? 1) <= (this.start?.offset ?? 0);
    if (this.state === "reads" && isKnown) throw new Error(`${publication.data} comes again`);
    this.delivered.push(publication);
  }

  /** Up to where it has everything; throws where it has not, or has it twice. */
  get end(): Position | undefined {
    let at = this.start;
    for (const { data, epoch, offset } of this.delivered) {
      if (at === undefined || offset === undefined) continue;
      if (epoch === at.epoch && offset <= at.offset && offset <= (this.start?.offset ?? 0))
        continue;
      if (epoch !== at.epoch || offset !== at.offset + 1) {
        throw new Error(`${data} at ${offset} is delivered after ${at.offset}`);
      }
      at = { epoch, offset };
    }
    const texts = this.delivered.map(({ data }) => data);
    if (new Set(texts).size !== texts.length) throw new Error(`twice: ${texts}`);
    return at;
  }
}

class Run {
  readonly publications = new Publications();
  /** By node and topic. */
  readonly #followers = new Map<string, Follower>();
  readonly #faults: unknown[] = [];
  #lives = 0;
  /** What is under way when a server forgets its scripts is sent again, and may then stand in another order. */
  #isInOrder = true;
  readonly #ttlMs: number;
  #world: World | undefined;

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  async start(begin: (typeof WORLDS)["memory"]): Promise<World> {
    const kept = { historySize: SIZE, historyTtlMs: this.#ttlMs };
    const rules = new TopicRules(kept, { "live:": { historySize: 0 } });
    this.#world = await begin({ rules }, (node) => this.#eventsOf(node));
    return this.#world;
  }

  get #running(): World {
    if (this.#world === undefined) throw new Error("it has not started");
    return this.#world;
  }

  /** What the engine of a node calls, until it crashes. */
  #eventsOf(node: number): EngineEvents {
    const life = this.#lives;
    const at = (topic: string) =>
      life === this.#lives ? this.#followers.get(`${node} ${topic}`) : undefined;
    return {
      ...NOBODY,
      deliver: (publication) => {
        this.#guard(() => {
          if (life < this.#lives) return;
          this.publications.stands(publication);
          at(publication.topic)?.take(publication);
        });
        return 1;
      },
      historyReset: (topic) => {
        const follower = at(topic);
        if (follower === undefined) return;
        // Its connections end when this turn is over, and come back.
        this.#guard(() => void follower.end);
        follower.state = "lost";
        setImmediate(() => {
          if (at(topic) === follower) this.#follow(node, topic);
        });
      },
    };
  }

  async do(step: Step): Promise<void> {
    const world = this.#running;
    const node = (step.node ?? 0) % world.nodes;
    const { topic = "", count = 1 } = step;
    const engine = world.engine(node);
    const at = world.now;
    if (step.does === "publish") {
      for (let i = 0; i < count; i++) {
        const { isKeyed = false } = step;
        this.#guard(() => this.publications.publish(engine, { topic, node, at, isKeyed }));
      }
    } else if (step.does === "repeat") {
      const { keyed } = this.publications;
      const made = keyed[count % keyed.length];
      if (made !== undefined) this.publications.repeat(engine, made, at);
    } else if (step.does === "follow") this.#follow(node, topic);
    else if (step.does === "unfollow") this.#unfollow(node, topic);
    else if (step.does === "sweep") engine.sweep();
    else if (step.does === "disturb") {
      if (step.what === "scripts forgotten") this.#isInOrder = false;
      await world.disturb(step.what ?? "calls cut");
    } else if (step.does === "crash") {
      this.#lives++;
      this.publications.crashed();
      this.#followers.clear();
      await world.crash();
    } else await this.#settledStep(step, engine);
    this.#rethrow();
  }

  /** Steps before which all that is under way is answered. */
  async #settledStep({ does, topic = "", ms = 0 }: Step, engine: Engine): Promise<void> {
    await this.settle();
    if (does === "wait") this.#running.now += ms;
    if (does !== "forget" || topic === "live:c") return;
    const { top } = await insistently(() => engine.history(topic, ALL));
    await insistently(() => engine.forget(topic));
    this.publications.forgotten(topic, top?.offset ?? 0);
  }

  /** Resolves when everything has been answered and delivered. */
  async settle(): Promise<void> {
    const world = this.#running;
    await this.publications.settled();
    for (const topic of KEPT) {
      const page = await insistently(() => world.engine(0).history(topic, ALL));
      const bounds = { size: SIZE, newerThan: world.now - this.#ttlMs };
      this.publications.checkHistory(topic, page, bounds);
      for (let node = 0; node < world.nodes; node++) {
        if (this.#isInOrder) this.publications.checkOrder(topic, node);
        await this.#caughtUp(node, topic, page.top);
      }
    }
    this.#rethrow();
  }

  async #caughtUp(node: number, topic: string, top: Position | undefined): Promise<void> {
    const name = `${node} ${topic}`;
    if (!this.#followers.has(name)) return;
    const has = () => {
      this.#rethrow();
      const follower = this.#followers.get(name);
      return follower?.state === "reads" && follower.end?.offset === top?.offset;
    };
    await until(`node ${node} to have all of ${topic}, up to ${top?.offset}`, has);
    expect(this.#followers.get(name)?.end).toEqual(top);
  }

  #follow(node: number, topic: string): void {
    this.#unfollow(node, topic);
    const engine = this.#running.engine(node);
    const follower = new Follower();
    this.#followers.set(`${node} ${topic}`, follower);
    engine.follow(topic);
    const isCurrent = () => this.#followers.get(`${node} ${topic}`) === follower;
    void (async () => {
      try {
        const { top } = await engine.history(topic, { limit: 0, size: 0 });
        follower.start = top;
        if (follower.state === "reading") follower.state = "reads";
      } catch {
        // The engine is out of reach: the client tries again.
        await Bun.sleep(5);
        if (isCurrent()) this.#follow(node, topic);
      }
    })();
  }

  #unfollow(node: number, topic: string): void {
    const follower = this.#followers.get(`${node} ${topic}`);
    if (follower === undefined) return;
    this.#guard(() => void follower.end);
    this.#followers.delete(`${node} ${topic}`);
    this.#running.engine(node).unfollow(topic);
  }

  /** What is wrong within a call of the engine must fail the test, not the engine. */
  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#faults.push(error);
    }
  }

  #rethrow(): void {
    if (this.#faults.length > 0) throw this.#faults[0];
  }
}

/** Does it again until the engine can be reached. */
async function insistently<Value>(call: () => Maybe<Value>): Promise<Value> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      await Bun.sleep(5);
    }
  }
}

/** Whatever these steps are, and whatever comes between them. */
async function run(
  begin: (typeof WORLDS)["memory"],
  ttlMs: number,
  steps: readonly Step[],
): Promise<void> {
  const one = new Run(ttlMs);
  await using _ = await one.start(begin);
  for (const step of steps) await one.do(step);
  await one.settle();
}

for (const [name, runs] of [
  ["memory", 500],
  ["sqlite", 20],
] as const) {
  test(`${name}: what is acknowledged stands where it was, and followers get it once and in order`, async () => {
    const property = fc.asyncProperty(STEPS, (all) => run(WORLDS[name], 1_000, all));
    await fc.assert(property, { endOnFailure: true, numRuns: inFull(20 * runs, runs) });
  });
}

test("redis: what is acknowledged stands where it was, and followers get it once and in order, or are told that they cannot", async () => {
  await using server = await RedisServer.start({ durable: true });
  const start = redisWorld(server);
  const property = fc.asyncProperty(STEPS, (all) => run(start, 300_000, all));
  await fc.assert(property, { endOnFailure: true, numRuns: inFull(200, 8) });
});
