// Says why clients' tokens are refused. A client is only told that its token is invalid, and often the cause is one setting or one
// line of the backend, which nobody would find otherwise. Nothing of a token is logged.
import type { Log } from "../../log";

/** Each cause is logged at most once in this time, however many tokens it concerns. */
const PERIOD_MS = 60_000;

export class TokenLog {
  readonly #log: Log;
  /** When each cause may be logged again. There are as many as there are sentences in tokens.ts. */
  readonly #next = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** `why` is a fixed sentence, with nothing in it that comes from a token. */
  refused(why: string): void {
    if (this.#isDue(why)) this.#log.warn({ why }, "a client's token was refused");
  }

  /** The token counts, but hardly says what was meant. */
  doubtful(why: string): void {
    if (this.#isDue(why))
      this.#log.warn({ why }, "a client's token is probably not what was meant");
  }

  #isDue(why: string): boolean {
    const now = performance.now();
    if (now < (this.#next.get(why) ?? 0)) return false;
    this.#next.set(why, now + PERIOD_MS);
    return true;
  }
}
