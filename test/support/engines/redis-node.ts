// A node over Redis that has an engine and no relay: it records what the engine reports, in order.
import type { EngineOptions } from "../../../src/engines/options";
import { RedisEngine } from "../../../src/engines/redis/engine";
import type { EngineEvents, GroupChange } from "../../../src/relay/contracts/engine";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Publication, Published } from "../../../src/relay/contracts/publication";
import { engineOptions } from "../relay/simulation";
import { until } from "../wait";

/** Shorter than in production, so that what the engine checks once in several sweeps is found soon. */
const SWEEP_MS = 50;

export class RedisNode implements AsyncDisposable {
  static #nodes = 0;
  readonly engine: RedisEngine;
  /** Publications that were delivered, and "lost" where the history of a topic was reset. */
  readonly delivered: (Publication | "lost")[] = [];
  /** Registrations that were revoked. */
  readonly revoked: [id: string, term: number | undefined][] = [];
  /** Messages of other nodes. */
  readonly messages: string[] = [];
  /** Changes of groups, and "unsure" where some may have been missed. */
  readonly changes: (GroupChange | "unsure")[] = [];
  readonly warnings: string[] = [];
  #sweeping: ReturnType<typeof setInterval> | undefined;

  /** Its name among all nodes. */
  readonly name: string;

  private constructor(urls: string, options: Partial<EngineOptions>) {
    const name = RedisNode.#nodes++;
    let epochs = 0;
    this.name = `node${name}`;
    this.engine = new RedisEngine(
      engineOptions({
        node: this.name,
        now: () => performance.now(),
        newEpoch: () => `${name}e${++epochs}`,
        warn: (sentence) => this.warnings.push(sentence),
        ...options,
      }),
      urls,
    );
  }

  /** Starts a node; nodes with the same prefix are one relay. */
  static async start(
    urls: string,
    options: Partial<EngineOptions> = {},
    events: Partial<EngineEvents> = {},
  ): Promise<RedisNode> {
    const node = new RedisNode(urls, options);
    await node.engine.start({
      deliver: (publication) => node.delivered.push(publication),
      historyReset: () => node.delivered.push("lost"),
      registrationRevoked: (id, term) => node.revoked.push([id, term]),
      messageReceived: (message) => node.messages.push(message),
      groupChanged: (change) => node.changes.push(change),
      groupsUnsure: () => node.changes.push("unsure"),
      ...events,
    });
    node.#sweeping = setInterval(() => node.engine.sweep(), SWEEP_MS);
    return node;
  }

  /** Starts two nodes of one relay. */
  static async pair(url: string, otherUrl = url, options: Partial<EngineOptions> = {}) {
    const together = { prefix: crypto.randomUUID(), ...options };
    const one = await RedisNode.start(url, together);
    const two = await RedisNode.start(otherUrl, together);
    const close = async () => {
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    };
    return { one, two, [Symbol.asyncDispose]: close };
  }

  /** What was delivered, as texts. */
  get texts(): string[] {
    return this.delivered.map((event) => (event === "lost" ? event : event.data));
  }

  /** Follows a topic and resolves when the node has its position. */
  async follow(topic: string): Promise<void> {
    this.engine.follow(topic);
    await this.engine.history(topic, { limit: 0, size: 1e6 });
  }

  /** Publishes; throws the code of a refusal. */
  async publish(data: string, topic = "t", key?: string): Promise<Published> {
    const answer = await this.engine.publish({ topic, data }, key);
    if (answer instanceof Refusal) throw new Error(answer.code);
    return answer;
  }

  /** Publishes again and again with this key, until it is acknowledged. */
  async publishUntilAcknowledged(data: string, topic = "t", key = data): Promise<Published> {
    for (;;) {
      const answer = await this.publish(data, topic, key).catch(() => undefined);
      if (answer !== undefined) return answer;
      await Bun.sleep(5);
    }
  }

  untilHealthy(): Promise<void> {
    return until("the node to be healthy", () => this.engine.healthy());
  }

  untilUnhealthy(): Promise<void> {
    return until("the node to notice that Redis is away", () => !this.engine.healthy());
  }

  /** Resolves when these texts were delivered, and nothing else. */
  async untilDelivered(...texts: readonly string[]): Promise<void> {
    const all = JSON.stringify(texts);
    await until(all, () => JSON.stringify(this.texts) === all).catch(() => {
      throw new Error(`${JSON.stringify(this.texts)} was delivered in place of ${all}`);
    });
  }

  /** From now on it does nothing of its own accord, as if its process had stopped. */
  stall(): void {
    clearInterval(this.#sweeping);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeping);
    await this.engine.close();
  }
}
