// The time of day of a Redis server, by which all its nodes go. Between two questions to the server it advances with the monotonic
// clock of this process.
import type { RedisLink } from "./link";

/** How often the server is asked for its time: in a minute two clocks drift apart by less than 10 ms. */
const REFRESH_MS = 60_000;

/** How often it is asked in a row: the quickest answer is the most exact. */
const SAMPLES = 3;

export class ServerClock {
  readonly #now: () => number;
  /** What to add to the monotonic time in microseconds, and by how much that may be wrong. */
  #differenceMicros = 0;
  #errorMicros = 0;
  /** When the server was last asked, in monotonic ms. */
  #readAt: number | undefined;

  /** `now` is monotonic, in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whole microseconds since 1970. */
  get micros(): number {
    return Math.floor(this.#now() * 1_000) + this.#differenceMicros;
  }

  /**
   * The earliest that it may be by the clock of another node, which may be as wrong as this one. Undefined until the server has
   * been asked for the first time.
   */
  get earliestMicros(): number | undefined {
    return this.#readAt === undefined ? undefined : this.micros - 2 * this.#errorMicros;
  }

  /** Asks the server. Rejects with EngineUnavailable. */
  async read(link: RedisLink): Promise<void> {
    let shortest = Number.POSITIVE_INFINITY;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const asked = Math.floor(this.#now() * 1_000);
      const [seconds, micros] = await link.call<[string, string]>("TIME", []);
      const answered = Math.ceil(this.#now() * 1_000);
      this.#readAt = this.#now();
      if (answered - asked >= shortest) continue;
      shortest = answered - asked;
      this.#differenceMicros =
        Number(seconds) * 1_000_000 + Number(micros) - Math.round((asked + answered) / 2);
    }
    this.#errorMicros = Math.ceil(shortest / 2);
  }

  /** Asks the server again when its last answer is a minute old. To be called about once a second. */
  async refresh(link: RedisLink): Promise<void> {
    if (this.#readAt === undefined || this.#now() - this.#readAt < REFRESH_MS) return;
    // A failure breaks the link, and the clock is read again when the next one is set up.
    await this.read(link).catch(() => {});
  }
}
