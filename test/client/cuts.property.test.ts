// A property of baton/client: whatever is published, cut, subscribed to and left in any order, a handler gets each message once and in
// order, from its subscription on, or is told that some were lost.
import { afterEach, beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import { type Client, connect } from "../../src/client/client";
import { ClientTimers } from "../support/library-client/client-timers";
import { TcpProxy } from "../support/machine/tcp-proxy";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

let timers: ClientTimers;
beforeEach(() => {
  timers = new ClientTimers();
});
afterEach(() => timers[Symbol.dispose]());

const TOPICS = ["a", "b", "c"] as const;
type Topic = (typeof TOPICS)[number];

const aTopic = fc.constantFrom(...TOPICS);
const aStep = fc.record({
  kind: fc.constantFrom(
    ...["publish", "publish", "publish", "settle", "settle", "cut", "end", "limit", "on", "off"],
  ),
  topic: aTopic,
  count: fc.integer({ min: 1, max: 8 }),
});

/** What a handler got: numbers, and "lost" where it was told so. */
type Log = (number | "lost")[];

/** Every number is larger than the one before, and the next one unless it was told of a loss in between. */
function expectWhole(log: Log, note: string): void {
  let last: number | undefined;
  let wasTold = false;
  for (const one of log) {
    if (one === "lost") wasTold = true;
    else {
      if (last !== undefined)
        expect(one > last && (one === last + 1 || wasTold), `${note}: ${log}`).toBe(true);
      last = one;
      wasTold = false;
    }
  }
}

/** A relay, a network that cuts, and a client behind it whose handlers keep logs. */
class Scene {
  readonly published = { a: 0, b: 0, c: 0 };
  logs: Log[] = [];
  client!: Client;
  readonly #relay: TestRelay;
  readonly #network: TcpProxy;
  readonly #leaves = new Map<Topic, () => void>();
  #goOn = () => {};

  constructor(relay: TestRelay, network: TcpProxy) {
    this.#relay = relay;
    this.#network = network;
  }

  async begin(): Promise<void> {
    this.logs = [];
    this.#leaves.clear();
    const register = async () => this.#network.through(await this.#relay.register(1));
    this.client = connect(register);
    this.follow("a");
    await this.settle();
  }

  async step(kind: string, topic: Topic, count: number): Promise<void> {
    if (kind === "publish") await this.publish(topic, count);
    else if (kind === "settle") await this.settle();
    else if (kind === "on") this.follow(topic);
    else if (kind === "off") {
      this.#leaves.get(topic)?.();
      this.#leaves.delete(topic);
      // New connections are cut in the middle of what they are sent.
    } else if (kind === "limit") this.#network.limitBytes.toClient = 150 + 50 * count;
    else {
      // It stays away until it is to settle.
      this.#goOn = timers.hold();
      if (kind === "cut") this.#network.cutAll();
      else this.#dropAll();
    }
  }

  async publish(topic: Topic, count: number): Promise<void> {
    const batch = Array.from({ length: count }, () => ({ topic, data: ++this.published[topic] }));
    await this.#relay.post("/publish", batch);
  }

  follow(topic: Topic): void {
    if (this.#leaves.has(topic)) return;
    const log: Log = [];
    this.logs.push(log);
    const onLost = () => void log.push("lost");
    const leave = this.client.on(topic, (data) => void log.push(data as number), { onLost });
    this.#leaves.set(topic, leave);
  }

  async settle(): Promise<void> {
    this.#goOn();
    this.#network.limitBytes.toClient = Number.POSITIVE_INFINITY;
    await until("it to be open", () => this.client.state === "open");
  }

  /** Resolves when the last message of each topic has come. */
  async end(): Promise<void> {
    await this.settle();
    this.#network.cutAll();
    for (const topic of TOPICS) this.follow(topic);
    // Neither end may know yet that the last connection is cut, so a last message may be among those that are lost.
    const isLast = (topic: Topic) => this.logs.some((log) => log.at(-1) === this.published[topic]);
    const haveLast = async () => {
      if (this.published.a > 0 && TOPICS.every(isLast)) return true;
      for (const topic of TOPICS) await this.publish(topic, 1);
      return false;
    };
    await until("the last messages", haveLast);
    this.client.close();
    await until("it to be gone", () => this.#relay.counts.connections === 0);
  }

  #dropAll(): void {
    const { connections } = this.#relay.running.relay;
    for (const connection of [...connections.all()]) connections.end(connection, "position_lost");
  }
}

test.each([
  ["", "10000"],
  [", or its handler is told of a loss, where the relay keeps five", "5"],
])(
  "every message comes once and in order%s",
  async (_, size) => {
    await using relay = await startRelay({ BATON_HISTORY_SIZE: size });
    await using network = await TcpProxy.start(relay.url);
    const scene = new Scene(relay, network);
    const property = fc.asyncProperty(
      fc.array(aStep, { minLength: 10, maxLength: 40 }),
      async (steps) => {
        await scene.begin();
        for (const { kind, topic, count } of steps) await scene.step(kind, topic, count);
        await scene.end();
        if (size === "10000") expect(scene.logs.flat()).not.toContain("lost");
        for (const log of scene.logs) expectWhole(log, `seed ${network.seed}`);
      },
    );
    await fc.assert(property, { numRuns: 30, endOnFailure: true });
  },
  60_000,
);
