// What a node remembers of the last while, so that it can say later why something did not arrive: connections that have
// ended, and topics in which clients asked for what they had missed. Bounded in entries. Nothing here is written for each
// publication or delivery.
import type { Denial, QuestionKind } from "../contracts/backend/questions";
import type { CloseName } from "../contracts/protocol";
import type { Position } from "../contracts/publication";
import { Ring } from "./ring";

/**
 * Why a connection has ended: a reason of the relay's own; or "disconnected" by the backend, "closed" by its client, or
 * "lost" without a close.
 */
export type EndName = CloseName | "disconnected" | "closed" | "lost";

/** A topic that a connection had when it ended, and where it was in it; undefined where nothing had a position. */
interface LastTopic {
  readonly name: string;
  readonly position: Position | undefined;
  /** After which position it had everything; undefined where nobody knows. */
  readonly since: Position | undefined;
}

interface ConnectionEnd {
  readonly id: string;
  readonly user: string;
  readonly protocol: string;
  readonly why: EndName;
  /** The close code; undefined where a client has just gone. */
  readonly code: number | undefined;
  /** The first `TOPICS_MAX` topics that it had. */
  readonly topics: readonly LastTopic[];
  /** How many it had. */
  readonly topicCount: number;
  /** In ms of the relay's clock. */
  readonly at: number;
}

/** A client asked for everything after a position. */
export interface Resumption {
  readonly user: string;
  readonly topic: string;
  /** Whether it was sent all of that, or told that it could not be. */
  readonly isRecovered: boolean;
  readonly from: Position;
  readonly to: Position | undefined;
  readonly at: number;
}

/** The backend was asked about a user's client, and said no or could not answer. */
interface BackendAnswer {
  readonly user: string;
  readonly question: QuestionKind;
  /** Undefined where the question was about none. */
  readonly topic?: string | undefined;
  /** A Refusal has a message, a Dismissal a code and a reason. */
  readonly why: Denial;
  readonly at: number;
}

/** The topics of a connection that are remembered after its end. */
export const TOPICS_MAX = 32;

export class Journal {
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly ends: Ring<ConnectionEnd>;
  readonly resumptions: Ring<Resumption>;
  readonly refusals: Ring<BackendAnswer>;

  /** Remembers the last `max` ends, and as many resumptions. */
  constructor(max: number, now: () => number) {
    this.#now = now;
    this.#startedAt = now();
    this.ends = new Ring(max);
    this.resumptions = new Ring(max);
    this.refusals = new Ring(max);
  }

  /** Nobody asks for anonymous connections by their user, so of these only the slow ones are of interest. */
  connectionEnded(end: Omit<ConnectionEnd, "at">): void {
    if (end.user === "" && end.why !== "slow_consumer") return;
    this.ends.push({ ...end, at: this.#now() });
  }

  resumed(resumption: Omit<Resumption, "at">): void {
    if (resumption.user !== "") this.resumptions.push({ ...resumption, at: this.#now() });
  }

  refused(refusal: Omit<BackendAnswer, "at">): void {
    if (refusal.user !== "") this.refusals.push({ ...refusal, at: this.#now() });
  }

  /** For how long everything is remembered, in ms. */
  get reachMs(): number {
    const begins = [this.ends, this.resumptions, this.refusals].map((ring) =>
      ring.isFull ? (ring.oldest?.at ?? this.#now()) : this.#startedAt,
    );
    return this.#now() - Math.max(...begins);
  }
}
