// What the relay asks of an engine. test/contract/engine.test.ts is the same in tests, for every engine.
import type { Refusal } from "./errors";
import type { Position, Publication, Published } from "./publication";

/** What an engine tells its node. */
export interface EngineEvents {
  /**
   * Hands a publication to the connections of this node; answers to how many it was sent. Called once for each
   * publication to a topic that the node follows, in the order of the offsets, without a hole.
   */
  deliver(publication: Publication): number;
  /**
   * What came since the last delivery in a topic cannot be given to the node any more, or the topic's history has
   * begun anew: those in the topic must come back and ask. Nothing of the topic is delivered in this turn of the loop.
   */
  historyReset(topic: string): void;
  /**
   * A connection of this node holds its registration no more, and that was not heard from another node: the registration was
   * removed or, with a term, claimed elsewhere.
   */
  registrationRevoked(id: string, term: number | undefined): void;
  /** What another node told all. */
  messageReceived(message: string): void;
}

/** What an engine rejects with when it cannot do its work now. Anything else is a fault of ours. */
export class EngineUnavailable extends Error {}

/** Which part of a topic's history. */
export interface HistoryRange {
  /** Publications after this offset or, reversed, before it; not set: from the oldest, reversed from the newest. */
  readonly since?: number | undefined;
  /** At most this many; 0 asks for the newest position alone. */
  readonly limit: number;
  /** Newest first. */
  readonly reverse?: boolean;
}

export interface HistoryPage {
  /** The position of the newest publication; undefined where the topic keeps no history. */
  readonly top: Position | undefined;
  /** Without holes: their offsets follow each other. Publications to one user stand among them. */
  readonly publications: readonly Publication[];
}

/** Whether the page is of this epoch and goes on right after the position, or there is nothing after it. */
export function isWhole({ top, publications }: HistoryPage, { epoch, offset }: Position): boolean {
  if (top === undefined || top.epoch !== epoch || offset > top.offset) return false;
  return offset === top.offset || publications[0]?.offset === offset + 1;
}

/** A registration, as all nodes know it. */
export interface Registration {
  readonly id: string;
  readonly user: string;
  /** Topics to begin with, in place of the defaults. */
  readonly topics?: readonly string[] | undefined;
}

/** Whether a registration that this node has taken or ended was another node's, which must be told. */
export interface PreviousOwner {
  readonly wasRemote: boolean;
}

export interface Claimed extends Registration, PreviousOwner {
  readonly term: number;
}

/** What becomes of a registration when its connection ends: it waits for its client again, or it ends too. */
export type AfterRelease = "wait" | "end";

/**
 * Who may connect, over all nodes: registrations that wait for their clients, and those that a node holds because their
 * clients are connected there. What a dead node held waits again, as long as a new registration does. Whatever answers
 * with a promise may reject with EngineUnavailable.
 */
export interface Registrations {
  /** Registrations that wait, as far as this node knows. */
  readonly waiting: number;
  /** Waits for its client; refuses `too_many_registrations`, `too_many_user_connections`. */
  add(registration: Registration): undefined | Refusal | Promise<undefined | Refusal>;
  /**
   * This node holds it from now on, and no other; each claim of a registration has a greater `term` than those before. Refuses `unknown_connection` and, unless it was held already,
   * `too_many_user_connections`.
   */
  claim(id: string): Claimed | Refusal | Promise<Claimed | Refusal>;
  /** This node holds a connection that was not registered, of a client that said who it is. Refuses `too_many_user_connections`. */
  own(id: string, user: string): undefined | Refusal | Promise<undefined | Refusal>;
  /**
   * The connection that this node held with this term (0 for `hold`) has ended. Its registration waits for the client
   * again, with "wait" unless too many do, or it ends too. Nothing when it was claimed again since.
   */
  release(id: string, term: number, next: AfterRelease): void;
  /** Ends it; undefined when there was none. */
  remove(id: string): PreviousOwner | undefined | Promise<PreviousOwner | undefined>;
}

export interface Engine {
  readonly name: string;
  readonly registrations: Registrations;
  /** Called once, before anything else. */
  start(events: EngineEvents): void | Promise<void>;
  /**
   * Accepts a publication: numbers it, keeps it and has it delivered on every node that follows its topic.
   * Publications of one topic are delivered in the order of their offsets. A throw or a rejection with
   * EngineUnavailable means: not acknowledged, and to be tried again with the same key. With a `key` that was used in
   * this topic before, it publishes nothing and gives the first answer, or refuses (`idempotency_conflict`) when that
   * was another publication. Resolves after it was delivered here.
   */
  publish(
    publication: Publication,
    key?: string,
  ): Published | Refusal | Promise<Published | Refusal>;
  /**
   * Reads what is kept: of a topic that the node follows, all that was delivered before the call, and nothing that is
   * still to be delivered here after the answer, or the reader would get it twice.
   */
  history(topic: string, range: HistoryRange): HistoryPage | Promise<HistoryPage>;
  /** Removes what the topic's history keeps; its epoch and offset stay. */
  forget(topic: string): undefined | Promise<undefined>;
  /** The node has somebody in a topic now, or on the way into it; a later `history` of it counts from then on. */
  follow(topic: string): void;
  /** It has nobody there any more. */
  unfollow(topic: string): void;
  /**
   * To every other node, in the order of the calls; answers how many there are. Lost where a node is out of reach. With
   * `to`, at least to the node of that name.
   */
  sendToNodes(message: string, to?: string): number | Promise<number>;
  /** To be called about once a second: gives up what is too old. Cost: bounded, however much there is. */
  sweep(): void;
  /** Whether a publish would be accepted now. */
  healthy(): boolean;
  /** Resolves when all that was accepted is delivered or kept; publishes after it are rejected. */
  close(): void | Promise<void>;
}

/** An engine that lives in one process and can speak for several nodes. */
export interface LocalEngine extends Engine {
  registrationsOf(node: string): Registrations;
  /** A node has died: what it held waits again. */
  releaseAll(node: string): void;
}
