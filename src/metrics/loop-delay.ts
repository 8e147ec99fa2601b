// How late the event loop is: a timer that is due again and again, and how much later than that it runs. While the loop is
// late, everything that the process does is.
import { Histogram, SECONDS } from "../relay/contracts/tally";

/** Four times a second, which is often enough to be hit by what delays clients, and costs nothing. */
const PERIOD_MS = 250;

export class LoopDelay {
  /** In seconds. */
  readonly delays = new Histogram(SECONDS);
  readonly #timer: ReturnType<typeof setInterval>;
  #due: number;

  constructor() {
    this.#due = performance.now() + PERIOD_MS;
    this.#timer = setInterval(() => this.#observe(), PERIOD_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #observe(): void {
    const now = performance.now();
    this.delays.observe(Math.max(0, now - this.#due) / 1_000);
    this.#due = now + PERIOD_MS;
  }
}
