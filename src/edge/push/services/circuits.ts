// Leaves a push service alone while it fails: a circuit breaker for each. Without it, each push for a service that is down would cost
// a request that takes up to 10 seconds, and the service would get all of them again at the moment when it comes back.
import type { Log } from "../../../log";
import { sanitized } from "../../../relay/text/visible";

/** So many requests in a row fail before a service is left alone. */
const FAILURES_MAX = 5;

/** The first pause; it is doubled each time that the request after it fails too. */
const PAUSE_MS = 5_000;
const PAUSE_MAX_MS = 300_000;

/** Failing services that are remembered: the addresses of devices come from anybody's browser. */
const SERVICES_MAX = 1_000;

interface Circuit {
  /** In a row. */
  readonly failures: number;
  /** In ms on the clock of `now`; 0 as long as there were too few failures. */
  readonly pausedUntil: number;
}

interface CircuitsOptions {
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

export class Circuits {
  readonly #options: CircuitsOptions;
  /** By origin, only of those whose last request has failed. */
  readonly #circuits = new Map<string, Circuit>();

  constructor(options: CircuitsOptions) {
    this.#options = options;
  }

  /** For how long a service must be left alone, in ms; 0 when it may be called. */
  pauseMs(origin: string): number {
    const until = this.#circuits.get(origin)?.pausedUntil ?? 0;
    return Math.max(0, until - this.#options.now());
  }

  /** Whether it is being tried with one request at a time, since it has failed so often. */
  isOnTrial(origin: string): boolean {
    return (this.#circuits.get(origin)?.pausedUntil ?? 0) > 0;
  }

  answered(origin: string): void {
    this.#circuits.delete(origin);
  }

  /** The service had an error, or did not answer. */
  failed(origin: string): void {
    // Its request had begun before the pause.
    if (this.pauseMs(origin) > 0) return;
    const { now, random, log } = this.#options;
    const failures = (this.#circuits.get(origin)?.failures ?? 0) + 1;
    if (this.#circuits.size >= SERVICES_MAX && !this.#circuits.has(origin)) {
      const [oldest] = this.#circuits.keys();
      if (oldest !== undefined) this.#circuits.delete(oldest);
    }
    if (failures < FAILURES_MAX) {
      this.#circuits.set(origin, { failures, pausedUntil: 0 });
      return;
    }
    const pause = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** (failures - FAILURES_MAX));
    const pauseMs = Math.round(pause * (1 + random() / 5));
    this.#circuits.set(origin, { failures, pausedUntil: now() + pauseMs });
    log.warn(
      { service: sanitized(origin), failures, pauseMs },
      "a push service fails: what is for it waits",
    );
  }
}
