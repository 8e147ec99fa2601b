// The topics that the SQLite engine knows in memory: those that were used lately, in a bounded number.
import type { StoredTopic } from "./topic";

/** How many topics one half has. The cache has two, and besides them the topics that must stay. */
const HALF_TOPICS = 5_000;

export class TopicCache {
  readonly #mustStay: (topic: StoredTopic) => boolean;
  /** When the younger half is full, the older one is dropped: keeping an exact order of use would cost more. */
  #younger = new Map<string, StoredTopic>();
  #older = new Map<string, StoredTopic>();

  constructor(mustStay: (topic: StoredTopic) => boolean) {
    this.#mustStay = mustStay;
  }

  /** Looks a topic up without counting that as a use of it. */
  peek(name: string): StoredTopic | undefined {
    return this.#younger.get(name) ?? this.#older.get(name);
  }

  /** All topics in it, and some of them perhaps twice. */
  *all(): Iterable<StoredTopic> {
    yield* this.#younger.values();
    yield* this.#older.values();
  }

  get(name: string): StoredTopic | undefined {
    const younger = this.#younger.get(name);
    if (younger !== undefined) return younger;
    const older = this.#older.get(name);
    return older && this.add(older);
  }

  add(topic: StoredTopic): StoredTopic {
    if (this.#younger.size >= HALF_TOPICS) {
      const dropped = this.#older;
      this.#older = this.#younger;
      this.#younger = new Map();
      for (const [name, one] of dropped) if (this.#mustStay(one)) this.#younger.set(name, one);
    }
    this.#younger.set(topic.name, topic);
    return topic;
  }

  delete(name: string): void {
    this.#younger.delete(name);
    this.#older.delete(name);
  }

  clear(): void {
    this.#younger.clear();
    this.#older.clear();
  }
}
