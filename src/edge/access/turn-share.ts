// How long one turn of the event loop may go on with what came in. Bun reads a connection for as long as it has data, and looks at the
// others only then: a client that sends without waiting for answers would be the only one that is served. It must cost what comes in
// next to nothing, so it counts, and reads the clock only when much comes in one turn.

/** How long everything beyond what is free may take together, before the rest waits for the next turn. */
const TURN_MS = 4;

export class TurnShare {
  readonly #freeItems: number;
  #items = 0;
  #countedAt = 0;
  readonly #startAgain = (): void => {
    this.#items = 0;
  };

  /** At least so many items are handled in a turn whatever they cost. */
  constructor(freeItems: number) {
    this.#freeItems = freeItems;
  }

  /**
   * Whether one more item, such as a request or a frame, may be handled in this turn. Otherwise it must wait for the next. One that may
   * take long counts as several.
   */
  take(items = 1): boolean {
    const free = this.#freeItems;
    const before = this.#items;
    this.#items = before + items;
    if (this.#items < free) return true;
    // Those before may have come in earlier turns. So as many again are free, which are then all of this turn.
    if (before < free) setImmediate(this.#startAgain);
    if (this.#items < 2 * free) return true;
    if (before < 2 * free) {
      this.#countedAt = performance.now();
      return true;
    }
    return performance.now() - this.#countedAt < TURN_MS;
  }
}
