// The time of day, for what outlives the process: made of the monotonic clock, so that both go at one pace.

export class WallClock {
  readonly #now: () => number;
  /** What to add to the monotonic time. */
  readonly #offset: number;

  /**
   * `now` is monotonic, in ms; `wall` the time of day at this moment, in ms since 1970; `least` the newest time that
   * was kept: it never goes back behind that, so that what is older was kept earlier.
   */
  constructor(now: () => number, wall: number, least: number) {
    this.#now = now;
    this.#offset = Math.max(Math.floor(wall), least) - now();
  }

  /** Whole ms since 1970. */
  get ms(): number {
    return Math.floor(this.#now() + this.#offset);
  }

  /** A moment of the time of day on the monotonic clock, in ms. */
  monotonic(ms: number): number {
    return ms - this.#offset;
  }
}
