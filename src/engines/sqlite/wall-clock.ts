// The time of day, for what outlives the process. It is derived from the monotonic clock, so both advance at the same pace.

export class WallClock {
  readonly #now: () => number;
  /** The time of day minus the monotonic time. */
  readonly #offset: number;

  /**
   * `now` is monotonic, in ms. `timeOfDay` is the present one, in ms since 1970. `newestKept` is the newest time in the store:
   * this clock never goes back behind it, so that whatever has an older time was also kept earlier.
   */
  constructor(now: () => number, timeOfDay: number, newestKept: number) {
    this.#now = now;
    this.#offset = Math.max(Math.floor(timeOfDay), newestKept) - now();
  }

  /** Whole ms since 1970. */
  get ms(): number {
    return Math.floor(this.#now() + this.#offset);
  }

  /** The monotonic time, in ms, at a time of day. */
  monotonic(ms: number): number {
    return ms - this.#offset;
  }
}
