// What the runner asks of a source: a table, stream, topic or queue on somebody else's server whose records are published.
// test/slow/sources/ says the same in tests, for every kind.
import type { Static, TObject } from "@sinclair/typebox";

/** The most that one batch may have. The bytes are those of its bodies, and the last record may go beyond them. */
export const BATCH_RECORDS_MAX = 1_000;
export const BATCH_BYTES_MAX = 4_194_304;

/** How long `read` may wait for a record before it gives an empty batch. */
export const READ_WAIT_MS = 1_000;

/** A record as it stands in the source. */
export interface InboundRecord {
  /**
   * The part of the source whose records are in order, such as the number of a Kafka partition; "" where there is only one. It
   * names the life of that part too where positions begin again when somebody makes it anew: all of them would count as old.
   */
  readonly partition: string;
  /** 1 to 36 decimal digits, a number that rises from record to record of the partition, and is the same whenever the record is read. */
  readonly position?: string | undefined;
  /** Where there are no positions: what is the same whenever this record is read, such as the id of a message. */
  readonly key?: string | undefined;
  /** Its body in UTF-8; undefined where it has none (a tombstone), or where it is too large to be read and `size` says how large. */
  readonly body: string | Uint8Array | undefined;
  readonly size?: number | undefined;
  /** What is known of the record beside its body, for mappings: `{@name}` stands for it. Headers have names such as header.trace. */
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}

/** Why a record cannot be published. */
interface Reason {
  /** An error code of Baton. */
  readonly code: string;
  /** A sentence. */
  readonly message: string;
}

/** A record that goes to the dead-letter place of its source. */
export interface DeadRecord<Kept extends InboundRecord = InboundRecord> {
  readonly record: Kept;
  readonly reason: Reason;
}

/**
 * Reads one source. The runner calls `read` and `acknowledge` in turn, never two calls at once. What rejects has failed: the runner
 * closes the reader, and opens another after a pause.
 */
export interface Reader<Kept extends InboundRecord = InboundRecord> {
  /**
   * The next records, in the order of each partition: first those that were read before, by anybody, and never acknowledged. Resolves
   * with none after READ_WAIT_MS. Any time may pass until they are acknowledged, since the engine may be away: what a server wants to hear
   * meanwhile, the reader says by itself.
   *
   * For a moment there may be two readers. The newer one must be given all that the older one has not acknowledged. From then on the
   * older one must be given nothing more: a record that is published after a later one of its partition counts as old, and is dropped.
   */
  read(): Promise<readonly Kept[]>;
  /**
   * The engine has all records of the last `read`, except these, which the reader puts into the dead-letter place first: a record is there before
   * it is gone here. After that, none of them is read again.
   */
  acknowledge(dead: readonly DeadRecord<Kept>[]): Promise<void>;
  /** How many records wait to be read, about; undefined where that cannot be known. Called every few seconds, between two other calls. */
  lag(): Promise<number | undefined>;
  /** Ends the connection to the server; a `read` that waits settles. What was read and not acknowledged will be read again. Never rejects. */
  close(): Promise<void>;
}

/** What every kind of source may use. */
export interface SourceContext {
  /** The name of the source in BATON_SOURCES_FILE. */
  readonly name: string;
  /** Bodies of more bytes than this are never published, so they need not be fetched. */
  readonly bodyBytesMax: number;
  /** Logs a warning, which has no secret in it. */
  readonly warn: (sentence: string) => void;
  /** Counts records that are gone from the source and that nobody has published, and logs why. */
  readonly lost: (records: number, sentence: string) => void;
  /**
   * The position of the newest record of a partition that the engine has, for a reader that keeps no place at its server. It begins with that
   * record: what it asked for may be published in part. Undefined where there is none. Rejects with EngineUnavailable.
   */
  readonly lastPosition: (partition: string) => Promise<string | undefined>;
  /**
   * Up to where all of a partition is acknowledged, as such a reader has said where nothing was published at the end: `lastPosition` does
   * not know of what was buried. Undefined where it has said nothing. Rejects with EngineUnavailable.
   */
  readonly donePosition: (partition: string) => Promise<string | undefined>;
  /** Says so. Never rejects: while the engine is away nothing is kept, and the same records are buried again one day. */
  readonly keepDone: (partition: string, position: string) => Promise<void>;
}

/** A kind of source, as src/sources/index.ts lists it. */
export interface SourceKind<Options extends TObject = TObject> {
  /** What BATON_SOURCES_FILE may say of such a source beside `kind`, `mapping` and `topics`. */
  readonly options: Options;
  /** Whether a body is a row: columns that are null count as missing, and there may be others than those of the common shape. */
  readonly isRow?: true;
  /** What is wrong with the options in combination, in a sentence; undefined when nothing is. Its `url` is an address. */
  readonly problem?: (options: Static<Options>) => string | undefined;
  /** Connects to the server. Rejects with an Error whose message says why it cannot, without a secret. Loads its client only now. */
  readonly open: (options: Static<Options>, context: SourceContext) => Promise<Reader>;
}
