// What nodes know that can explain why something did not arrive. All of it is JSON, because nodes tell it to each other.
import type { Position } from "../contracts/publication";
import type { EndName } from "../journal/journal";
import type { Obstacle } from "../topics/permissions";

/** Whether a user has got what is published in a topic; or, with a position, that publication. */
export interface Question {
  readonly topic: string;
  readonly user?: string | undefined;
  readonly position?: Position | undefined;
}

/** An open connection of the user. Times are ages in ms. */
export interface ConnectionFacts {
  readonly id: string;
  readonly protocol: string;
  readonly ageMs: number;
  readonly state: "subscribed" | "subscribing" | "not_subscribed";
  /** It has been sent everything after this position; undefined where that is not known. */
  readonly completeSince?: Position | undefined;
  /** What it has been sent last. */
  readonly sentTo?: Position | undefined;
  readonly waitingBytes: number;
  /** Why it may not subscribe. */
  readonly obstacle?: Obstacle | undefined;
}

/** A connection of the user that has ended. */
export interface EndFacts {
  readonly protocol: string;
  readonly why: EndName;
  readonly code?: number | undefined;
  readonly agoMs: number;
  /** Whether it had the topic; undefined where it had too many to remember. */
  readonly hadTopic?: boolean | undefined;
  readonly position?: Position | undefined;
  /** After which position it had everything. */
  readonly completeSince?: Position | undefined;
}

export interface ResumptionFacts {
  readonly isRecovered: boolean;
  readonly from: Position;
  readonly to?: Position | undefined;
  readonly agoMs: number;
}

/** The backend was asked about the user's client, and did not say yes. */
export interface RefusalFacts {
  readonly question: string;
  readonly why: string;
  readonly agoMs: number;
}

/** What one node knows. */
export interface NodeFacts {
  /** The first of them. */
  readonly connections: readonly ConnectionFacts[];
  readonly connectionCount: number;
  /** From the newest to the oldest, the first of them. */
  readonly ends: readonly EndFacts[];
  readonly resumptions: readonly ResumptionFacts[];
  /** Undefined from a node of an older version. */
  readonly refusals?: readonly RefusalFacts[] | undefined;
  /** All subscribers of the topic, whoever they are. */
  readonly subscribers: number;
  /** For how long it remembers everything that has ended. */
  readonly reachMs: number;
}

/** What all nodes know together. */
export interface Facts extends NodeFacts {
  readonly nodes: { readonly answered: number; readonly silent: number };
  readonly publication: PublicationFacts | undefined;
  /** Why whichever client of the user may not subscribe. */
  readonly obstacle: Obstacle | undefined;
  /** The prefix of the topic's rule. */
  readonly rule: string | undefined;
  readonly isUnknownTopic: boolean;
}

/** The publication at the position that the question names. */
export interface PublicationFacts extends Position {
  /** "unnumbered": the topic keeps no history, so nothing in it has a position. */
  readonly state: "kept" | "expired" | "never_published" | "other_epoch" | "unnumbered";
  /** Where the topic is now. */
  readonly top?: Position | undefined;
  /** The user that it is for, where it is kept and for one alone. */
  readonly user?: string | undefined;
  /** The id of a connection that did not get it. */
  readonly except?: string | undefined;
}
