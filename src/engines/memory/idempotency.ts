// The answers to publishes with an idempotency key: the same key in the same topic gets the first answer again.

import { keyConflict, type Refusal, tooManyKeys } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { fingerprint, nameOf } from "../idempotency-key";

export interface IdempotencyCacheOptions {
  /** How long a key is remembered. */
  readonly ms: number;
  /** Keys remembered at most. */
  readonly max: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

/** What is remembered of one publish. */
export interface Answer {
  readonly print: bigint | number;
  readonly published: Published;
  readonly expiresAt: number;
}

/** The most keys that one call forgets: more than one, so that it gains on what is added. */
const FORGET_MAX = 1_000;

export class IdempotencyCache {
  readonly #options: IdempotencyCacheOptions;
  /** All are remembered equally long, so the order of insertion is that of expiry. */
  readonly #answers = new Map<string, Answer>();
  /**
   * Those that expire next, and the first of them. Kept, because a Map is slow to iterate from its beginning when much
   * was deleted there: 30 to 100 us for each publish with a key, against 2.
   */
  #expiring = this.#answers.entries();
  #oldest: [string, Answer] | undefined;

  constructor(options: IdempotencyCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#answers.size;
  }

  /**
   * The first answer for this key in this topic, or undefined when the publication is new. Refuses
   * `idempotency_conflict` and, when no more keys can be remembered, `too_many_idempotency_keys`.
   */
  recall(publication: Publication, key: string): Published | Refusal | undefined {
    this.forget();
    const answer = this.#answers.get(nameOf(publication, key));
    if (answer !== undefined && answer.expiresAt > this.#options.now()) {
      return answer.print === fingerprint(publication) ? answer.published : keyConflict();
    }
    const { max } = this.#options;
    return answer === undefined && this.#answers.size >= max ? tooManyKeys(max) : undefined;
  }

  remember(publication: Publication, key: string, published: Published): Answer {
    const expiresAt = this.#options.now() + this.#options.ms;
    const answer = { print: fingerprint(publication), published, expiresAt };
    this.restore(nameOf(publication, key), answer);
    return answer;
  }

  /** What outlived the process, in the order of expiry, however much there is. */
  restore(name: string, answer: Answer): void {
    this.#answers.delete(name);
    this.#answers.set(name, answer);
  }

  /** What was remembered of this publish is not so. */
  retract(publication: Publication, key: string): void {
    this.#answers.delete(nameOf(publication, key));
  }

  /** Forgets keys whose time is over. Cost: those, at most a thousand. */
  forget(): void {
    const now = this.#options.now();
    for (let left = FORGET_MAX; left > 0 && this.#answers.size > 0; left--) {
      this.#oldest ??= this.#expiring.next().value;
      if (this.#oldest === undefined) {
        this.#expiring = this.#answers.entries();
        continue;
      }
      const [name, answer] = this.#oldest;
      if (answer.expiresAt > now) return;
      // Unless the key was used again meanwhile.
      if (this.#answers.get(name) === answer) this.#answers.delete(name);
      this.#oldest = undefined;
    }
  }
}
