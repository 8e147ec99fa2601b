// The time of day of a Redis server, which all its nodes go by, at the pace of our own monotonic clock.
import type { RedisLink } from "./redis-link";

/** How often the server is asked: our clocks drift apart by less than 10 ms in that time. */
const PERIOD_MS = 60_000;

export class ServerClock {
  readonly #now: () => number;
  /** What to add to the monotonic time, and when that was found. */
  #ahead = 0;
  #readAt = 0;

  /** `now` is monotonic, in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whole ms since 1970. */
  get ms(): number {
    return Math.floor(this.#now() + this.#ahead);
  }

  async read(link: RedisLink): Promise<void> {
    const [seconds, micros] = await link.call<[string, string]>("TIME", []);
    this.#readAt = this.#now();
    this.#ahead = Number(seconds) * 1_000 + Number(micros) / 1_000 - this.#readAt;
  }

  /** To be called about once a second. */
  async sweep(link: RedisLink): Promise<void> {
    if (this.#now() - this.#readAt < PERIOD_MS) return;
    // A failure breaks the link, and the next one reads it again.
    await this.read(link).catch(() => {});
  }
}
