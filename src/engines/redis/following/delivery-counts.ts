// To how many connections here a publication went: known when it comes back over its topic's channel, which may be before or
// after the server has answered the publish.

/** How long it may take after the answer; then nobody is counted. */
const PATIENCE_MS = 1_000;

interface Waiting {
  readonly done: (count: number) => void;
  readonly until: number;
}

/** By the call that publishes. */
export class DeliveryCounts {
  /** Calls that are under way, with what is known already. */
  readonly #underWay = new Map<string, number | undefined>();
  /** Calls that were answered, in the order of their ends. */
  readonly #waiting = new Map<string, Waiting>();

  /** This call is about to be made; `of` or `forget` must follow. */
  expect(call: string): void {
    this.#underWay.set(call, undefined);
  }

  /** Its publication went to so many. */
  found(call: string, count: number): void {
    if (this.#underWay.has(call)) this.#underWay.set(call, count);
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) return;
    this.#waiting.delete(call);
    waiting.done(count);
  }

  /** It was answered. Resolves when its count is known, and when it will not be. */
  of(call: string): number | Promise<number> {
    // Without one: the subscription has broken meanwhile.
    const count = this.#underWay.has(call) ? this.#underWay.get(call) : 0;
    this.#underWay.delete(call);
    if (count !== undefined) return count;
    return new Promise((done) => {
      this.#waiting.set(call, { done, until: performance.now() + PATIENCE_MS });
    });
  }

  /** It was answered by something else, or not at all. */
  forget(call: string): void {
    this.#underWay.delete(call);
  }

  /** To be called about once a second. */
  sweep(): void {
    const now = performance.now();
    for (const [call, { until }] of this.#waiting) {
      if (until > now) return;
      this.found(call, 0);
    }
  }

  /** The subscription has broken: nothing comes back any more. */
  end(): void {
    this.#underWay.clear();
    for (const call of [...this.#waiting.keys()]) this.found(call, 0);
  }
}
