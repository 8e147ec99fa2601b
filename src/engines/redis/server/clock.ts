// The time of day of a Redis server, which all its nodes go by, at the pace of our own monotonic clock.
import type { RedisLink } from "./link";

/** How often the server is asked: our clocks drift apart by less than 10 ms in that time. */
const PERIOD_MS = 60_000;

/** How often at once: the quickest answer says most. */
const SAMPLES = 3;

export class ServerClock {
  readonly #now: () => number;
  /** What to add to the monotonic time, and by how much that may be wrong. */
  #ahead = 0;
  #doubt = 0;
  /** When it was found, in monotonic ms. */
  #readAt: number | undefined;

  /** `now` is monotonic, in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whole microseconds since 1970. */
  get micros(): number {
    return Math.floor(this.#now() * 1_000) + this.#ahead;
  }

  /** The same, early rather than late by what another node's may be wrong too; undefined before the server was ever asked. */
  get earliest(): number | undefined {
    return this.#readAt === undefined ? undefined : this.micros - 2 * this.#doubt;
  }

  /** Rejects with EngineUnavailable. */
  async read(link: RedisLink): Promise<void> {
    let doubt = Number.POSITIVE_INFINITY;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const asked = Math.floor(this.#now() * 1_000);
      const [seconds, micros] = await link.call<[string, string]>("TIME", []);
      const answered = Math.ceil(this.#now() * 1_000);
      this.#readAt = this.#now();
      if (answered - asked >= doubt) continue;
      doubt = answered - asked;
      this.#ahead =
        Number(seconds) * 1_000_000 + Number(micros) - Math.round((asked + answered) / 2);
    }
    this.#doubt = Math.ceil(doubt / 2);
  }

  /** To be called about once a second. */
  async sweep(link: RedisLink): Promise<void> {
    if (this.#readAt === undefined || this.#now() - this.#readAt < PERIOD_MS) return;
    // A failure breaks the link, and the next one reads it again.
    await this.read(link).catch(() => {});
  }
}
