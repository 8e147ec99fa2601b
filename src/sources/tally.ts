// What a runner counts, and how its source is.

/**
 * `waiting`: another node reads the source, or the engine cannot say so. `opening`: it is being connected to. `reading`. `held`: the engine
 * does not take what was read. `down`: its server cannot be reached, or refuses.
 */
export type SourceState = "waiting" | "opening" | "reading" | "held" | "down";

export class SourceTally {
  #state: SourceState = "waiting";
  /** In milliseconds of performance.now(). */
  #since = performance.now();
  /** When it first failed here since it was last read here. */
  #failedAt: number | undefined;
  /** When it was last read here, if it is not now. */
  #readAt: number | undefined;
  /** Why it was down last. */
  failure: string | undefined;
  /** Records that were read and acknowledged. */
  read = 0;
  /** Publications that came of them. */
  published = 0;
  /** Those that the engine had before, and did not publish again. */
  repeated = 0;
  /** Records in the dead-letter place. */
  dead = 0;
  /** Records that were gone from the source before they were read or published, as far as that is known. */
  lost = 0;
  /** Records without a body, where they are to be skipped. */
  skipped = 0;
  /** Records that wait to be read, as far as that is known. */
  lag: number | undefined;

  get state(): SourceState {
    return this.#state;
  }

  set state(state: SourceState) {
    if (state === this.#state) return;
    const now = performance.now();
    if (this.#state === "reading") this.#readAt = now;
    this.#state = state;
    this.#since = now;
    if (state === "reading") this.#failedAt = undefined;
    if (state === "down") this.#failedAt ??= now;
    if (state === "waiting") this.lag = undefined;
  }

  /** How long the state has been what it is, in ms. */
  get sinceMs(): number {
    return performance.now() - this.#since;
  }

  /** Since when it could not be read here, though other nodes may have tried and read it meanwhile. */
  get failedMs(): number | undefined {
    return this.#failedAt === undefined ? undefined : performance.now() - this.#failedAt;
  }

  /** How long ago it was read here. */
  get readMs(): number | undefined {
    return this.#readAt === undefined ? undefined : performance.now() - this.#readAt;
  }

  down(failure: string): void {
    this.failure = failure;
    this.state = "down";
  }
}
