// To how many connections of this node a publication was delivered. That is known when the publication comes back over its
// topic's channel, which may be before or after the server has answered the publish.

/** How long a count may take after the answer; then it is 0. */
const COUNT_TIMEOUT_MS = 1_000;

interface AwaitedCount {
  readonly resolve: (count: number) => void;
  readonly expiresAt: number;
}

/** By the number of the publish on this node. */
export class DeliveryCounts {
  /** Publishes that are not answered yet, with their counts as far as they are known. */
  readonly #unanswered = new Map<number, number | undefined>();
  /** Publishes that were answered before their counts were known, in the order in which they expire. */
  readonly #awaited = new Map<number, AwaitedCount>();

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

  /** The publish was answered: its count, now or as soon as it is known. */
  countOf(publish: number): number | Promise<number> {
    // One that is not expected any more comes to nothing: the subscription has broken meanwhile.
    const count = this.#unanswered.has(publish) ? this.#unanswered.get(publish) : 0;
    this.#unanswered.delete(publish);
    if (count !== undefined) return count;
    return new Promise((resolve) => {
      const expiresAt = performance.now() + COUNT_TIMEOUT_MS;
      this.#awaited.set(publish, { resolve, expiresAt });
    });
  }

  /** The publish has failed, or has published nothing. */
  cancel(publish: number): void {
    this.#unanswered.delete(publish);
  }

  /** To be called about once a second. */
  expire(): void {
    const now = performance.now();
    for (const [publish, { expiresAt }] of this.#awaited) {
      if (expiresAt > now) return;
      this.record(publish, 0);
    }
  }

  /** The subscription has broken: nothing comes back over it any more. */
  clear(): void {
    this.#unanswered.clear();
    for (const publish of [...this.#awaited.keys()]) this.record(publish, 0);
  }
}
