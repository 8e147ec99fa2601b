// What the relay asks of an engine. test/contract/engine.test.ts says the same in tests, for every engine.
import type { Refusal } from "./errors";
import type { Maybe } from "./maybe";
import type { Position, Publication, Published } from "./publication";
import type { Queues, RecordStore, Records } from "./store";
import type { TopicRules } from "./topic-rules";

/** What an engine calls on its node. */
export interface EngineEvents {
  /**
   * Delivers a publication to the connections of this node, and answers to how many. Called once for each publication
   * to a topic that the node follows, in the order of the offsets, without a gap.
   */
  deliver(publication: Publication): number;
  /**
   * What was published in a topic since the last delivery can no longer be delivered, or the topic's history has started
   * afresh: connections in the topic must reconnect and resume. Nothing of the topic is delivered in this turn of the
   * event loop.
   */
  historyReset(topic: string): void;
  /**
   * This node owns a registration no longer, and no message of another node has said so: the registration was removed
   * or, where there is a term, another node has claimed it with that term.
   */
  registrationRevoked(id: string, term: number | undefined): void;
  /** A message that another node sent to all nodes. */
  messageReceived(message: string): void;
  /** The next change of a listed group in which this node has a member. */
  groupChanged(change: GroupChange): void;
  /** Changes of groups may have been missed: the state of each group that matters here is to be read again. */
  groupsUnsure(): void;
}

/** What an engine calls about groups. */
export type GroupEvents = Pick<EngineEvents, "groupChanged">;

/** What an engine throws or rejects with when it cannot do its work now. Anything else is a fault of ours. */
export class EngineUnavailable extends Error {}

/** A part of a topic's history. */
export interface HistoryRange {
  /** Publications after this offset or, reversed, before it. Undefined: from the oldest or, reversed, from the newest. */
  readonly since?: number | undefined;
  /** At most this many; 0 asks for the top alone. */
  readonly limit: number;
  /** Newest first. */
  readonly reverse?: boolean;
  /**
   * At most so many characters of data, but at least one publication, if there is any. A page that has fewer than `limit`
   * need not be the last one: its reader goes on after it until it has reached the top.
   */
  readonly size: number;
}

export interface HistoryPage {
  /** The position of the newest publication; undefined where the topic keeps no history. */
  readonly top: Position | undefined;
  /** Without gaps: each offset follows the one before. Publications to single users are among them. */
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
  /** The topics that its connection starts with, in place of the defaults. */
  readonly topics?: readonly string[] | undefined;
}

/** Whether a registration that this node has claimed or removed belonged to another node, which must be notified. */
export interface PreviousOwner {
  readonly wasRemote: boolean;
}

export interface Claimed extends Registration, PreviousOwner {
  readonly term: number;
}

/** What becomes of a registration when its connection ends: it waits for its client again, or it ends too. */
export type AfterRelease = "wait" | "end";

/**
 * Who may connect, over all nodes: registrations that wait for their clients, and those that a node owns because their
 * clients are connected to it. When a node dies, its registrations wait again, as long as new ones do. Whatever answers
 * with a promise may reject with EngineUnavailable.
 */
export interface Registrations {
  /** Registrations that wait, as far as this node knows. */
  readonly waiting: number;
  /** Adds one that waits for its client. Refuses `too_many_registrations`, `too_many_user_connections`. */
  add(registration: Registration): Maybe<undefined | Refusal>;
  /**
   * From now on this node owns the registration, and no other node does. Each claim of a registration has a greater
   * `term` than those before. Refuses `unknown_connection` and, unless a node owned it already,
   * `too_many_user_connections`. An engine that all nodes share refuses `too_many_address_connections` too, where there is an address.
   */
  claim(id: string, address?: string): Maybe<Claimed | Refusal>;
  /**
   * This node has a connection without a registration, whose client has said who it is. Refuses
   * `too_many_user_connections`, `too_many_connections` and what `claim` does of addresses. For one that it owns so already, this
   * only says who its user is now.
   */
  own(id: string, user: string, address?: string): Maybe<undefined | Refusal>;
  /**
   * The connection that this node owned with this term (0 after `own`) has ended. With "wait" its registration waits for
   * its client again, unless too many do; otherwise it ends. Does nothing when the registration was claimed again since.
   */
  release(id: string, term: number, next: AfterRelease): void;
  /** Ends a registration; undefined when there was none with this id. */
  remove(id: string): Maybe<PreviousOwner | undefined>;
}

/** Groups whose names begin like this are listed: the nodes that have a member in one are told each of its changes. */
export const LISTED = "listed:";

/** Something that is in a group on at least one node. */
export interface GroupMember {
  readonly name: string;
  /** What goes with it; that of the node that had it first. */
  readonly info?: string | undefined;
}

/** Who is in a group after so many changes. */
export interface GroupState {
  readonly version: number;
  readonly members: readonly GroupMember[];
}

export interface GroupChange extends GroupMember {
  readonly group: string;
  /** One more than that of the change before. */
  readonly version: number;
  readonly change: "came" | "went";
}

export interface Entered {
  /** The group's version after it: a state of at least this version has the member. */
  readonly version: number;
}

/**
 * What is in which group over all nodes, for as long as at least one node says so. The engine decides what comes first and
 * goes last, and numbers the changes of each group. When a node dies, its members have left.
 */
export interface Groups {
  /**
   * This node has the member, from now until it calls `leave`, unless the group is full: it has `membersMax` others, where that is
   * not 0. May reject with EngineUnavailable.
   */
  enter(group: string, member: GroupMember, membersMax: number): Maybe<Entered | "full">;
  /** This node has the member no longer. */
  leave(group: string, name: string): void;
  /** May reject with EngineUnavailable. */
  state(group: string): Maybe<GroupState>;
  /** How many members a group has. May reject with EngineUnavailable. */
  size(group: string): Maybe<number>;
}

export interface Engine extends RecordStore {
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly records: Records;
  readonly queues: Queues;
  /** How much all histories take; undefined where that is another server's affair. */
  readonly historyBytes?: number | undefined;
  /** How much records and queues take together; as `historyBytes`. */
  readonly storeBytes?: number | undefined;
  /** Called once, before anything else. */
  start(events: EngineEvents): void | Promise<void>;
  /**
   * Accepts a publication: numbers it, keeps it, and has it delivered on every node that follows its topic, in the order
   * of the offsets. Resolves after it was delivered on this node. When it throws or rejects with EngineUnavailable, the
   * publication is not acknowledged, and the publisher must repeat it with the same key. With a `key` that was used in
   * this topic before, it publishes nothing and gives the first answer or, if that was for another publication, refuses
   * (`idempotency_conflict`).
   */
  publish(publication: Publication, key?: string): Maybe<Published | Refusal>;
  /**
   * Reads a part of a topic's history. Of a topic that the node follows, it has everything that was delivered here before
   * the call, and nothing that is delivered here only after the answer: a reader would get that twice.
   */
  history(topic: string, range: HistoryRange): Maybe<HistoryPage>;
  /** Removes what the topic's history holds; its epoch and offset stay. */
  forget(topic: string): Maybe<undefined>;
  /** This node has connections in a topic from now on, or connections that subscribe to it; see `history`. */
  follow(topic: string): void;
  /** This node has no connections there any longer. */
  unfollow(topic: string): void;
  /**
   * Sends a message to every other node, in the order of the calls, and answers how many there are. A node that is out of
   * reach does not get it. With `to` it is enough that the node of that name gets it.
   */
  sendToNodes(message: string, to?: string): Maybe<number>;
  /**
   * The rules of topics, which it was made with, have changed: `before` are those until now. What is published next is kept as
   * the new ones say. A topic that keeps no history any more loses its epoch with the next publication. Left out by an engine that
   * is at the other end of a pipe.
   */
  rulesChanged?(before: TopicRules): void;
  /** To be called about once a second: removes what has expired. The cost is bounded, however much there is. */
  sweep(): void;
  /** Whether a publish would be accepted now. */
  healthy(): boolean;
  /** Resolves when everything that was accepted is delivered or kept; later publishes are rejected. */
  close(): void | Promise<void>;
}

/** An engine in one process that several nodes can share. */
export interface LocalEngine extends Engine {
  registrationsOf(node: string): Registrations;
  /** The groups as a node sees them, which is told what it must know by `events`. */
  groupsOf(node: string, events: GroupEvents): Groups;
  /** A node has died: the registrations that it owned wait again, and its members have left their groups. */
  releaseAll(node: string): void;
}
