// What may be done with one API key in a second: requests, and publications however they come.
import { Refusal } from "../../../relay/contracts/errors";
import type { Settings } from "../../../settings/definitions";
import { Rate } from "./rates";

type Limits = Pick<Settings, "keyRequestsMax" | "keyPublicationsMax">;

/** The limits of one key. */
export class KeyLimits {
  readonly #limits: Limits;
  /** Undefined where there is no limit, so that nothing is counted. */
  readonly #requests: Rate | undefined;
  readonly #publications: Rate | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#requests = rateOf(limits.keyRequestsMax);
    this.#publications = rateOf(limits.keyPublicationsMax);
  }

  /** Counts a request; refuses (`too_many_key_requests`) one too many. */
  countRequest(): Refusal | undefined {
    const waitMs = this.#requests?.take(1, performance.now()) ?? 0;
    if (waitMs === 0) return undefined;
    return new Refusal(
      "too_many_key_requests",
      `At most ${this.#limits.keyRequestsMax} requests may be sent with one API key in a second (BATON_KEY_REQUESTS_MAX). Send several publications in one request.`,
      secondsOf(waitMs),
    );
  }

  get arePublicationsLimited(): boolean {
    return this.#publications !== undefined;
  }

  /** Whether a publication would be accepted now. */
  get hasRoom(): boolean {
    return this.#publications === undefined || this.#publications.waitMs(performance.now()) === 0;
  }

  /**
   * Counts so many publications; refuses (`too_many_key_publications`) all of them, or none. An array may have more than a second's
   * worth, and the next request then waits for longer.
   */
  countPublications(publications: number): Refusal | undefined {
    const waitMs = this.#publications?.take(publications, performance.now()) ?? 0;
    if (waitMs === 0) return undefined;
    return new Refusal(
      "too_many_key_publications",
      `At most ${this.#limits.keyPublicationsMax} publications may be sent with one API key in a second (BATON_KEY_PUBLICATIONS_MAX); nothing of this request was published.`,
      secondsOf(waitMs),
    );
  }
}

function rateOf(perSecond: number): Rate | undefined {
  return perSecond === 0 ? undefined : new Rate(perSecond);
}

function secondsOf(ms: number): number {
  return Math.ceil(ms / 1_000);
}
