// The time of day of a Redis server, which all its nodes go by, at the pace of our own monotonic clock.
import type { RedisLink } from "./redis-link";

/** How often the server is asked: our clocks drift apart by less than 10 ms in that time. */
const PERIOD_MS = 60_000;

/** How often at once: the quickest answer says most. */
const SAMPLES = 3;

export class ServerClock {
  readonly #now: () => number;
  /** What to add to the monotonic time, by how much that may be wrong, and when it was found. */
  #ahead = 0;
  #doubt = 0;
  #readAt: number | undefined;

  /** `now` is monotonic, in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whole ms since 1970. */
  get ms(): number {
    return Math.floor(this.#now() + this.#ahead);
  }

  /** The same, early rather than late; undefined before the server was ever asked. */
  get earliest(): number | undefined {
    return this.#readAt === undefined ? undefined : Math.floor(this.ms - this.#doubt) - 1;
  }

  /** Rejects with EngineUnavailable. */
  async read(link: RedisLink): Promise<void> {
    let doubt = Number.POSITIVE_INFINITY;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const asked = this.#now();
      const [seconds, micros] = await link.call<[string, string]>("TIME", []);
      const answered = this.#now();
      this.#readAt = answered;
      if ((answered - asked) / 2 >= doubt) continue;
      doubt = (answered - asked) / 2;
      this.#ahead = Number(seconds) * 1_000 + Number(micros) / 1_000 - (asked + answered) / 2;
    }
    this.#doubt = doubt;
  }

  /** To be called about once a second. */
  async sweep(link: RedisLink): Promise<void> {
    if (this.#readAt === undefined || this.#now() - this.#readAt < PERIOD_MS) return;
    // A failure breaks the link, and the next one reads it again.
    await this.read(link).catch(() => {});
  }
}
