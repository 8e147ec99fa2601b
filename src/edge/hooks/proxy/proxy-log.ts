// Says in the log why the backend could not be asked, and what of its answers means nothing here. Many clients fail alike, so each
// cause is logged once in a while. Of an address only its origin is shown: the rest may be a secret.
import type { Log } from "../../../log";
import type { QuestionKind } from "../../../relay/contracts/backend/questions";

/** The shortest time between two lines about the same. */
const PERIOD_MS = 10_000;
const IGNORED_PERIOD_MS = 3_600_000;

export class ProxyLog {
  readonly #log: Log;
  /** When each line is due again. There are as many as there are kinds of questions, addresses of the settings, and sentences. */
  readonly #due = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  failed(question: QuestionKind, url: string, why: string): void {
    const backend = new URL(url).origin;
    if (!this.#isDue(`${question} ${backend} ${why}`, PERIOD_MS)) return;
    this.#log.error({ question, backend, why }, "the backend could not be asked");
  }

  /** A member of a result that the relay does not act upon. */
  ignored(question: QuestionKind, member: string): void {
    if (!this.#isDue(`${question} ${member}`, IGNORED_PERIOD_MS)) return;
    this.#log.warn(
      { question, member },
      "the backend's answer asks for something that the relay does not do (docs/hooks.md)",
    );
  }

  #isDue(line: string, periodMs: number): boolean {
    const now = performance.now();
    if (now < (this.#due.get(line) ?? 0)) return false;
    if (this.#due.size >= LINES_MAX) this.#due.clear();
    this.#due.set(line, now + periodMs);
    return true;
  }
}

/** A backend that fails in ever new ways must not take memory. */
const LINES_MAX = 1_000;
