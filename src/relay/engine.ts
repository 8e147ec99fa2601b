// What the relay asks of an engine. test/contract/engine.test.ts is the same in tests, for every engine.
import type { Refusal } from "./errors";
import type { Position, Publication, Published } from "./publication";

/** Hands a publication to the connections of this node; answers to how many it was sent. */
export type Deliver = (publication: Publication) => number;

/** What an engine rejects with when it cannot do its work now. Anything else is a fault of ours. */
export class EngineUnavailable extends Error {}

/** Which part of a topic's history. */
export interface Range {
  /** Publications after this offset or, reversed, before it; not set: from the oldest, reversed from the newest. */
  readonly since?: number | undefined;
  /** At most this many; 0 asks for the newest position alone. */
  readonly limit: number;
  /** Newest first. */
  readonly reverse?: boolean;
}

export interface Page {
  /** The position of the newest publication; undefined where the topic keeps no history. */
  readonly top: Position | undefined;
  /** Without holes: their offsets follow each other. Publications to one user stand among them. */
  readonly publications: readonly Publication[];
}

export interface Engine {
  readonly name: string;
  /** Called once, before any publish. `deliver` is then called once for each publication on every node. */
  start(deliver: Deliver): void | Promise<void>;
  /**
   * Accepts a publication: numbers it, keeps it and has it delivered. Publications of one topic are delivered
   * in the order of their offsets. A throw or a rejection with EngineUnavailable means: not accepted, nobody
   * got it. With a `key` that was used in this topic before, it publishes nothing and gives the first answer, or
   * refuses (`idempotency_conflict`) when that was another publication.
   */
  publish(
    publication: Publication,
    key?: string,
  ): Published | Refusal | Promise<Published | Refusal>;
  /**
   * Reads what is kept: all that was delivered before the call, and nothing that is still to be delivered here after
   * the answer, or the reader would get it twice.
   */
  history(topic: string, range: Range): Page | Promise<Page>;
  /** Removes what the topic's history keeps; its epoch and offset stay. */
  forget(topic: string): undefined | Promise<undefined>;
  /** To be called about once a second: gives up what is too old. Cost: bounded, however much there is. */
  sweep(): void;
  /** Whether a publish would be accepted now. */
  healthy(): boolean;
  /** Resolves when all that was accepted is delivered or kept; publishes after it are rejected. */
  close(): void | Promise<void>;
}
