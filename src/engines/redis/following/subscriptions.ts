// Which channels of a Redis server this node hears: one for each topic that is followed, besides those that it always hears.
// Changes go to the server in batches, one after the other, so that however fast topics are followed and left, what waits to be
// said is never more than the difference.

import type { Batcher } from "../../batcher";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { Arrivals } from "./arrivals";

/** Channels in one command, and topics in one batch. */
const COMMAND_MAX = 1_000;
const BATCH_MAX = 10_000;

export interface TopicSubscriptionsOptions {
  readonly keys: Keys;
  /** That of all servers, in which messages of topics are handed on. */
  readonly wave: Batcher;
  /** At least one, or Bun's client leaves its mode with the last topic, and refuses what it is asked in that moment. */
  readonly always: readonly string[];
  readonly onAlways: (message: string) => void;
  readonly onTopic: (topic: string, message: string) => void;
  readonly isFollowed: (topic: string) => boolean;
  /** From now on all that is published to these topics is heard. */
  readonly heard: (topics: readonly string[]) => void;
}

export class TopicSubscriptions {
  readonly #options: TopicSubscriptionsOptions;
  readonly #arrivals: Arrivals;
  #link: RedisLink | undefined;
  /** Topics whose channels the server was told. */
  #subscribed = new Set<string>();
  /** Topics that were followed, or left, since they were last looked at. */
  #changed = new Set<string>();
  #isBusy = false;

  constructor(options: TopicSubscriptionsOptions) {
    this.#options = options;
    this.#arrivals = new Arrivals(options.wave);
  }

  /** A topic is followed from now on. */
  follow(topic: string): void {
    this.#changed.add(topic);
    this.#soon();
  }

  /** A topic is followed no more. */
  leave(topic: string): void {
    if (this.#subscribed.has(topic)) this.#changed.add(topic);
    else this.#changed.delete(topic);
    this.#soon();
  }

  /** A new connection: subscribes to everything. Rejects when that fails. */
  async setUp(link: RedisLink, topics: readonly string[]): Promise<void> {
    this.#subscribed = new Set();
    this.#changed = new Set();
    const { always, onAlways } = this.#options;
    await link.subscriptions.subscribe([...always], onAlways);
    for (const some of slices(topics, COMMAND_MAX))
      await confirmed(link, this.#subscribe(link, some));
    this.#link = link;
    // Those that were followed or left meanwhile.
    for (const topic of topics) if (!this.#options.isFollowed(topic)) this.#changed.add(topic);
    this.#soon();
  }

  /** The connection has broken: what came over it is handed on. */
  down(): void {
    this.#arrivals.flush();
    this.#link = undefined;
  }

  #soon(): void {
    if (this.#isBusy || this.#link === undefined || this.#changed.size === 0) return;
    this.#isBusy = true;
    setImmediate(() => void this.#tell());
  }

  /** Tells the server what has changed, until nothing has. */
  async #tell(): Promise<void> {
    const link = this.#link;
    try {
      while (link !== undefined && this.#link === link && this.#changed.size > 0) {
        await this.#batch(link);
      }
    } catch (error) {
      // Begins anew with everything.
      if (this.#link === link) link?.fail(error);
    }
    this.#isBusy = false;
    this.#soon();
  }

  async #batch(link: RedisLink): Promise<void> {
    const { keys, isFollowed, heard } = this.#options;
    const changed = [...this.#changed.values().take(BATCH_MAX)];
    for (const topic of changed) this.#changed.delete(topic);
    const followed = changed.filter(isFollowed);
    const left = changed.filter((topic) => this.#subscribed.has(topic) && !isFollowed(topic));
    const joined = followed.filter((topic) => !this.#subscribed.has(topic));
    const all = slices(left, COMMAND_MAX).map((some): Promise<unknown> => {
      for (const topic of some) this.#subscribed.delete(topic);
      return link.subscriptions.unsubscribe(some.map((topic) => keys.channel(topic)));
    });
    all.push(...slices(joined, COMMAND_MAX).map((some) => this.#subscribe(link, some)));
    await confirmed(link, ...all);
    if (this.#link === link) heard(followed);
  }

  async #subscribe(link: RedisLink, topics: readonly string[]): Promise<void> {
    const { keys } = this.#options;
    for (const topic of topics) this.#subscribed.add(topic);
    await link.subscriptions.subscribe(
      topics.map((topic) => keys.channel(topic)),
      this.#onTopic,
    );
  }

  /** One and the same for all: Bun's client calls each that it was ever given for a channel. */
  readonly #onTopic = (message: string, channel: string): void => {
    const { keys, onTopic } = this.#options;
    this.#arrivals.add(() => onTopic(keys.topicOf(channel), message));
  };
}

/**
 * When the server has obeyed all of these. Bun's client resolves each with the first word that it hears of any channel, which
 * may be of one before; what is asked after them is answered after them.
 */
async function confirmed(link: RedisLink, ...commands: Promise<unknown>[]): Promise<void> {
  await Promise.all([...commands, link.subscriptions.send("PING", [])]);
}

/** The items in their order, so many at a time. */
export function slices<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}
