// The topics of the SQLite engine that are known in memory: those used lately, bounded.
import type { StoredTopic } from "./topic";

/** At most twice as many are known, and those that must be. */
const TOPICS = 5_000;

export class TopicCache {
  readonly #mustStay: (topic: StoredTopic) => boolean;
  /** The older half goes when the newer is full: an order of use would cost more. */
  #young = new Map<string, StoredTopic>();
  #old = new Map<string, StoredTopic>();

  constructor(mustStay: (topic: StoredTopic) => boolean) {
    this.#mustStay = mustStay;
  }

  /** Without a use of it. */
  peek(name: string): StoredTopic | undefined {
    return this.#young.get(name) ?? this.#old.get(name);
  }

  get(name: string): StoredTopic | undefined {
    const young = this.#young.get(name);
    if (young !== undefined) return young;
    const old = this.#old.get(name);
    return old && this.add(old);
  }

  add(topic: StoredTopic): StoredTopic {
    if (this.#young.size >= TOPICS) {
      const dropped = this.#old;
      this.#old = this.#young;
      this.#young = new Map();
      for (const [name, one] of dropped) if (this.#mustStay(one)) this.#young.set(name, one);
    }
    this.#young.set(topic.name, topic);
    return topic;
  }

  delete(name: string): void {
    this.#young.delete(name);
    this.#old.delete(name);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
