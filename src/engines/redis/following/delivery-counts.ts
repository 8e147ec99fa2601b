// To how many connections of this node a publication was delivered. That is known when the publication comes back over its
// topic's channel, which may be before or after the server has answered the publish.

/** How long a count may take after the answer; then it is 0. */
const COUNT_TIMEOUT_MS = 1_000;

interface AwaitedCount {
  readonly resolve: (count: number) => void;
  readonly expiresAt: number;
}

/** By the id of the publish. */
export class DeliveryCounts {
  /** Publishes that are not answered yet, with their counts as far as they are known. */
  readonly #unanswered = new Map<string, number | undefined>();
  /** Publishes that were answered before their counts were known, in the order in which they expire. */
  readonly #awaited = new Map<string, AwaitedCount>();

  /** A publish is about to be sent; `countOf` or `cancel` must follow. */
  expect(publishId: string): void {
    this.#unanswered.set(publishId, undefined);
  }

  /** Its publication was delivered to so many connections, or was discarded. */
  record(publishId: string, count: number): void {
    if (this.#unanswered.has(publishId)) this.#unanswered.set(publishId, count);
    const awaited = this.#awaited.get(publishId);
    if (awaited === undefined) return;
    this.#awaited.delete(publishId);
    awaited.resolve(count);
  }

  /** The publish was answered: its count, now or as soon as it is known. */
  countOf(publishId: string): number | Promise<number> {
    // One that is not expected any more comes to nothing: the subscription has broken meanwhile.
    const count = this.#unanswered.has(publishId) ? this.#unanswered.get(publishId) : 0;
    this.#unanswered.delete(publishId);
    if (count !== undefined) return count;
    return new Promise((resolve) => {
      const expiresAt = performance.now() + COUNT_TIMEOUT_MS;
      this.#awaited.set(publishId, { resolve, expiresAt });
    });
  }

  /** The publish has failed, or has published nothing. */
  cancel(publishId: string): void {
    this.#unanswered.delete(publishId);
  }

  /** To be called about once a second. */
  expire(): void {
    const now = performance.now();
    for (const [publishId, { expiresAt }] of this.#awaited) {
      if (expiresAt > now) return;
      this.record(publishId, 0);
    }
  }

  /** The subscription has broken: nothing comes back over it any more. */
  clear(): void {
    this.#unanswered.clear();
    for (const publishId of [...this.#awaited.keys()]) this.record(publishId, 0);
  }
}
