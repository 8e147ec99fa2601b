// How long idempotency keys are remembered now, and the warning when that is shorter than BATON_IDEMPOTENCY_MS.

/** How often the log is told. */
const WARN_MS = 60_000;

export interface IdempotencyWindowOptions {
  /** For how long a key is remembered, unless there are too many. */
  readonly ttlMs: number;
  readonly keysMax: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly warn: (sentence: string) => void;
}

export class IdempotencyWindow {
  readonly #options: IdempotencyWindowOptions;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: IdempotencyWindowOptions) {
    this.#options = options;
  }

  /** A key was forgotten at this age, before its time, because there were too many. */
  shortened(ageMs: number): void {
    const { ttlMs, keysMax, now, warn } = this.#options;
    if (now() - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now();
    warn(
      `Idempotency keys are remembered for ${seconds(ageMs)} now, not for ${seconds(ttlMs)}: more than ${keysMax} were used in that time. A later retry is published again; raise BATON_IDEMPOTENCY_MAX to remember more.`,
    );
  }
}

function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}
