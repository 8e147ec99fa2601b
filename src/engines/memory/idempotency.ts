// The answers to publishes with an idempotency key: a key that is used again in its topic gets the first answer again. When there
// are too many, the oldest are forgotten, since a publisher that retries does so soon, and no publisher may be refused.
import { keyConflict, type Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { fingerprint } from "../idempotency-key";
import { IdempotencyWindow, type IdempotencyWindowOptions } from "../idempotency-window";

/** What is remembered of one publish. */
export interface RememberedAnswer {
  readonly fingerprint: bigint | number;
  readonly published: Published;
  readonly expiresAt: number;
}

/** Answers that are forgotten together. */
interface Generation {
  /** By name, in the order of their expiry. */
  readonly answers: Map<string, RememberedAnswer>;
  /** When the first of them expires, and the last. */
  readonly firstExpiresAt: number;
  lastExpiresAt: number;
}

/**
 * Into how many generations the time and the number of keys are divided. Forgetting a generation costs nothing. In one Map
 * for all, each key would have to be deleted, and when the Map of 100,000 keys grows, it holds the loop for 10 ms.
 */
const GENERATIONS = 4;

export class IdempotencyCache {
  readonly #options: IdempotencyWindowOptions;
  readonly #window: IdempotencyWindow;
  /** The newest first, since most keys that are used again were used a moment ago. */
  readonly #generations: Generation[] = [];
  #size = 0;

  constructor(options: IdempotencyWindowOptions) {
    this.#options = options;
    this.#window = new IdempotencyWindow(options);
  }

  /** How many answers are remembered, with those that have expired and are not forgotten yet. */
  get size(): number {
    return this.#size;
  }

  /**
   * Returns the first answer under this name (nameOf), or undefined if the publication is new. Refuses
   * `idempotency_conflict`.
   */
  recall(name: string, publication: Publication): Published | Refusal | undefined {
    for (const { answers } of this.#generations) {
      const answer = answers.get(name);
      if (answer === undefined) continue;
      if (answer.expiresAt <= this.#options.now()) return undefined;
      return answer.fingerprint === fingerprint(publication) ? answer.published : keyConflict();
    }
    return undefined;
  }

  remember(name: string, publication: Publication, published: Published): RememberedAnswer {
    const expiresAt = this.#options.now() + this.#options.ttlMs;
    const answer = { fingerprint: fingerprint(publication), published, expiresAt };
    this.restore(name, answer);
    return answer;
  }

  /** Remembers an answer that has outlived the process. To be called in the order of expiry. */
  restore(name: string, answer: RememberedAnswer): void {
    const { keysMax, ttlMs } = this.#options;
    const { expiresAt } = answer;
    let newest = this.#generations[0];
    if (
      newest === undefined ||
      newest.answers.size >= Math.ceil(keysMax / GENERATIONS) ||
      expiresAt - newest.firstExpiresAt > ttlMs / GENERATIONS
    ) {
      newest = { answers: new Map(), firstExpiresAt: expiresAt, lastExpiresAt: expiresAt };
      this.#generations.unshift(newest);
      this.expire();
    }
    newest.lastExpiresAt = Math.max(newest.lastExpiresAt, expiresAt);
    this.#size -= newest.answers.size;
    newest.answers.set(name, answer);
    this.#size += newest.answers.size;
    while (this.#size > keysMax) this.#forgetOldest();
  }

  /** Forgets the answer to a publish that has failed after all. */
  retract(name: string): void {
    const generation = this.#generations.find(({ answers }) => answers.has(name));
    if (generation?.answers.delete(name)) this.#size--;
  }

  /** Forgets the keys whose time is over. The cost does not depend on how many they are. */
  expire(): void {
    const now = this.#options.now();
    for (
      let oldest = this.#generations.at(-1);
      oldest !== undefined && oldest.lastExpiresAt <= now;
      oldest = this.#generations.at(-1)
    ) {
      this.#forget(oldest);
    }
  }

  #forgetOldest(): void {
    const oldest = this.#generations.at(-1);
    if (oldest === undefined) return;
    this.#forget(oldest);
    const { now, ttlMs } = this.#options;
    const leftMs = oldest.lastExpiresAt - now();
    if (leftMs > 0) this.#window.shortened(ttlMs - leftMs);
  }

  #forget(oldest: Generation): void {
    this.#generations.pop();
    this.#size -= oldest.answers.size;
  }
}
