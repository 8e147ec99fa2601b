// What an engine keeps besides publications: how far each source was published, small values with an expiry, and queues.
// test/contract/store.test.ts says the same in tests, for every engine.
import type { Maybe } from "./maybe";
import type { Publication } from "./publication";

/** The most records that one call of `publishRecords` takes. */
export const RECORDS_MAX = 1_000;

/** A record of a source that becomes a publication. */
export interface SourceRecord {
  readonly publication: Publication;
  /**
   * Where it stands in its partition: decimal digits, always as many for one partition, rising from record to record. It
   * counts alone: there may be gaps.
   */
  readonly position?: string | undefined;
  /** Without a position, an idempotency key, as that of `Engine.publish`; without either, the record is always published. */
  readonly key?: string | undefined;
}

/** What became of the records of one call. */
export interface RecordsOutcome {
  readonly published: number;
  /** Not published, since it was before; or since its key was used for another publication, which is a warning in the log. */
  readonly repeated: number;
}

export interface RecordStore {
  /**
   * Publishes in order the records whose position is above the last of the partition, and keeps the new position in the same
   * commit. Resolves when all are kept. Rejects with EngineUnavailable: some may be published then, and calling again with the
   * same records is harmless. Until a call has succeeded, its partition must have no other: what is not above the position
   * is dropped. Throws RangeError for more than RECORDS_MAX records, and for a position that is not 1 to 40 digits.
   * A partition is named as "orders/0", and its position is kept for ever: a source that begins its numbers again needs another name.
   * Cost: the records.
   */
  publishRecords(partition: string, records: readonly SourceRecord[]): Maybe<RecordsOutcome>;
  /**
   * All records of the partition up to this position are published; undefined when none is known. May reject with
   * EngineUnavailable.
   */
  positionOf(partition: string): Maybe<string | undefined>;
}

/** How long a value is kept, and how many its set may have. */
export interface RecordBounds {
  /** In ms, from this put on. */
  readonly ttlMs: number;
  readonly max: number;
}

/** Small durable values in named sets, with an expiry. May reject with EngineUnavailable, as may `Queues`. */
export interface Records {
  /**
   * Replaces the value of this name. "full": the name is new and the set has `max` others, or the store has no bytes for it;
   * nothing has changed then.
   */
  put(set: string, name: string, value: string, bounds: RecordBounds): Maybe<undefined | "full">;
  get(set: string, name: string): Maybe<string | undefined>;
  /** In the order of their first put. Cost: the set. */
  list(set: string): Maybe<readonly NamedValue[]>;
  /** Answers whether it was there. */
  remove(set: string, name: string): Maybe<boolean>;
}

export interface NamedValue {
  readonly name: string;
  readonly value: string;
}

/** Durable queues of texts, bounded. */
export interface Queues {
  /**
   * Adds entries, in order, with no other between them. Answers how many were kept: the first ones, as far as the queue has less than
   * `max` and the store has bytes for them. Their texts should be a few MiB at most.
   */
  append(queue: string, entries: readonly string[], max: number): Maybe<number>;
  /** The oldest entries, at most so many. */
  first(queue: string, limit: number): Maybe<readonly QueueEntry[]>;
  /** Removes the entries with this number and smaller ones. */
  removeUpTo(queue: string, number: number): Maybe<undefined>;
  size(queue: string): Maybe<number>;
}

export interface QueueEntry {
  /** Greater than that of every entry that the queue ever had before. There may be gaps. */
  readonly number: number;
  readonly entry: string;
}
