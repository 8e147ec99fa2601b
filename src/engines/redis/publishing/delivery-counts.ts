// To how many connections of this node a publication was delivered. That is known when the publication comes back over its
// topic's channel, which may be before or after the server has answered the publish.

/** How long a count may take after the answer; then it is 0. */
const COUNT_TIMEOUT_MS = 1_000;

interface AwaitedCount {
  readonly topic: string;
  readonly resolve: (count: number) => void;
  readonly expiresAt: number;
}

/** By the number of the publish on this node. */
export class DeliveryCounts {
  readonly #receives: (topic: string) => boolean;
  /** Publishes that are not answered yet, with their counts as far as they are known. */
  readonly #unanswered = new Map<number, number | undefined>();
  /** Publishes that were answered before their counts were known, in the order in which they expire. */
  readonly #awaited = new Map<number, AwaitedCount>();
  #expiring: ReturnType<typeof setTimeout> | undefined;

  /** `receives` says whether what is published to a topic comes back to this node. */
  constructor(receives: (topic: string) => boolean) {
    this.#receives = receives;
  }

  /** A publish is about to be sent; `countOf` or `cancel` must follow. */
  expect(publish: number): void {
    this.#unanswered.set(publish, undefined);
  }

  /** Its publication was delivered to so many connections, or was discarded. Ignores 0, which is no publish of this node. */
  record(publish: number, count: number): void {
    if (publish === 0) return;
    if (this.#unanswered.has(publish)) this.#unanswered.set(publish, count);
    const awaited = this.#awaited.get(publish);
    if (awaited === undefined) return;
    this.#awaited.delete(publish);
    awaited.resolve(count);
  }

  /** The publish to this topic was answered: its count, now or as soon as it is known. */
  countOf(topic: string, publish: number): number | Promise<number> {
    // One that is not expected any more comes to nothing: the subscription has broken meanwhile.
    const count = this.#unanswered.has(publish) ? this.#unanswered.get(publish) : 0;
    this.#unanswered.delete(publish);
    if (count !== undefined) return count;
    if (!this.#receives(topic)) return 0;
    return new Promise((resolve) => {
      const expiresAt = performance.now() + COUNT_TIMEOUT_MS;
      this.#awaited.set(publish, { topic, resolve, expiresAt });
      this.#expiring ??= setTimeout(() => this.#expire(), COUNT_TIMEOUT_MS);
    });
  }

  /** The publish has failed, or has published nothing. */
  cancel(publish: number): void {
    this.#unanswered.delete(publish);
  }

  /** What is published to this topic comes back no longer. Cost: the counts that are awaited. */
  left(topic: string): void {
    for (const [publish, awaited] of this.#awaited) {
      if (awaited.topic === topic) this.record(publish, 0);
    }
  }

  /** The subscription has broken: nothing comes back over it any more. */
  clear(): void {
    this.#unanswered.clear();
    for (const publish of [...this.#awaited.keys()]) this.record(publish, 0);
  }

  #expire(): void {
    const now = performance.now();
    this.#expiring = undefined;
    for (const [publish, { expiresAt }] of this.#awaited) {
      if (expiresAt > now) {
        this.#expiring = setTimeout(() => this.#expire(), expiresAt - now);
        return;
      }
      this.record(publish, 0);
    }
  }
}
