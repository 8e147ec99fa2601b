// The answers to publishes with an idempotency key: a key that is used again in its topic gets the first answer again.
import { keyConflict, type Refusal, tooManyKeys } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { fingerprint, nameOf } from "../idempotency-key";

interface IdempotencyCacheOptions {
  /** How long a key is remembered. */
  readonly ttlMs: number;
  readonly keysMax: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

/** What is remembered of one publish. */
export interface RememberedAnswer {
  readonly fingerprint: bigint | number;
  readonly published: Published;
  readonly expiresAt: number;
}

/** The most keys that one call forgets: more than one, so that forgetting outpaces remembering. */
const EXPIRE_MAX = 1_000;

export class IdempotencyCache {
  readonly #options: IdempotencyCacheOptions;
  /** By name. All are remembered equally long, so the order of insertion is the order of expiry. */
  readonly #answers = new Map<string, RememberedAnswer>();
  /**
   * The answers that expire next, and the first of them. The iterator is kept, because a Map is slow to iterate from its
   * beginning once much was deleted there: 30 to 100 us for each publish with a key, against 2.
   */
  #expiring = this.#answers.entries();
  #oldest: [string, RememberedAnswer] | undefined;

  constructor(options: IdempotencyCacheOptions) {
    this.#options = options;
  }

  /**
   * Returns the first answer for this key in this topic, or undefined if the publication is new. Refuses
   * `idempotency_conflict` and, when no more keys can be remembered, `too_many_idempotency_keys`.
   */
  recall(publication: Publication, key: string): Published | Refusal | undefined {
    this.expire();
    const answer = this.#answers.get(nameOf(publication, key));
    if (answer !== undefined && answer.expiresAt > this.#options.now()) {
      return answer.fingerprint === fingerprint(publication) ? answer.published : keyConflict();
    }
    const { keysMax } = this.#options;
    return answer === undefined && this.#answers.size >= keysMax ? tooManyKeys(keysMax) : undefined;
  }

  remember(publication: Publication, key: string, published: Published): RememberedAnswer {
    const expiresAt = this.#options.now() + this.#options.ttlMs;
    const answer = { fingerprint: fingerprint(publication), published, expiresAt };
    this.restore(nameOf(publication, key), answer);
    return answer;
  }

  /** Remembers an answer that has outlived the process, even beyond the limit. To be called in the order of expiry. */
  restore(name: string, answer: RememberedAnswer): void {
    this.#answers.delete(name);
    this.#answers.set(name, answer);
  }

  /** Forgets the answer to a publish that has failed after all. */
  retract(publication: Publication, key: string): void {
    this.#answers.delete(nameOf(publication, key));
  }

  /** Forgets the keys whose time is over. Cost: those, at most a thousand. */
  expire(): void {
    const now = this.#options.now();
    for (let left = EXPIRE_MAX; left > 0 && this.#answers.size > 0; left--) {
      this.#oldest ??= this.#expiring.next().value;
      if (this.#oldest === undefined) {
        this.#expiring = this.#answers.entries();
        continue;
      }
      const [name, answer] = this.#oldest;
      if (answer.expiresAt > now) return;
      // The key may have been used again since, and then it is remembered with a newer answer.
      if (this.#answers.get(name) === answer) this.#answers.delete(name);
      this.#oldest = undefined;
    }
  }
}
