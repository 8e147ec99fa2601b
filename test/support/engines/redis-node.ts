// A node over Redis, by its engine alone: what it delivers and is told, one after the other.
import type { EngineOptions } from "../../../src/engines/options";
import { RedisEngine } from "../../../src/engines/redis/engine";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Publication, Published } from "../../../src/relay/contracts/publication";
import { engineOptions } from "../relay/simulation";
import { until } from "../wait";

/** Often, so that what is looked at once in so many sweeps is found soon. */
const SWEEP_MS = 50;

export class RedisNode implements AsyncDisposable {
  static #nodes = 0;
  readonly engine: RedisEngine;
  /** What was delivered, and "lost" where that was told. */
  readonly delivered: (Publication | "lost")[] = [];
  readonly revoked: [id: string, term: number | undefined][] = [];
  readonly messages: string[] = [];
  readonly warnings: string[] = [];
  #sweeping: ReturnType<typeof setInterval> | undefined;

  private constructor(urls: string, options: Partial<EngineOptions>) {
    const name = RedisNode.#nodes++;
    let epochs = 0;
    this.engine = new RedisEngine(
      engineOptions({
        now: () => performance.now(),
        newEpoch: () => `${name}e${++epochs}`,
        warn: (sentence) => this.warnings.push(sentence),
        ...options,
      }),
      urls,
    );
  }

  /** Nodes with the same prefix are one relay. */
  static async start(urls: string, options: Partial<EngineOptions> = {}): Promise<RedisNode> {
    const node = new RedisNode(urls, options);
    await node.engine.start({
      deliver: (publication) => node.delivered.push(publication),
      historyReset: () => node.delivered.push("lost"),
      registrationRevoked: (id, term) => node.revoked.push([id, term]),
      messageReceived: (message) => node.messages.push(message),
    });
    node.#sweeping = setInterval(() => node.engine.sweep(), SWEEP_MS);
    return node;
  }

  /** Two of them, as one relay. */
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

  /** The texts that were delivered. */
  get texts(): string[] {
    return this.delivered.map((event) => (event === "lost" ? event : event.data));
  }

  /** Follows a topic, and is where the server is. */
  async follow(topic: string): Promise<void> {
    this.engine.follow(topic);
    await this.engine.history(topic, { limit: 0 });
  }

  /** Throws when it was refused. */
  async publish(data: string, topic = "t", key?: string): Promise<Published> {
    const answer = await this.engine.publish({ topic, data }, key);
    if (answer instanceof Refusal) throw new Error(answer.code);
    return answer;
  }

  /** Again and again with this key, until it is acknowledged. */
  async publishUntilAcknowledged(data: string, topic = "t", key = data): Promise<Published> {
    for (;;) {
      const answer = await this.publish(data, topic, key).catch(() => undefined);
      if (answer !== undefined) return answer;
      await Bun.sleep(5);
    }
  }

  untilHealthy(is = true): Promise<void> {
    const what = `the node to be ${is ? "healthy" : "out of reach of Redis"}`;
    return until(what, () => this.engine.healthy() === is, 8_000);
  }

  /** What it heard is this, in the end. */
  async untilDelivered(...texts: readonly string[]): Promise<void> {
    const all = JSON.stringify(texts);
    await until(`${all}`, () => JSON.stringify(this.texts) === all, 8_000).catch(() => {
      throw new Error(`heard ${JSON.stringify(this.texts)} in place of ${all}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeping);
    await this.engine.close();
  }
}
