// What the contract suite of sources asks of a server with records: each kind of source has its own.

/** A record of the common shape. */
export interface TestRecord {
  readonly topic: string;
  readonly message: string;
  readonly user_id?: string;
}

/** A record in the dead-letter place. */
export interface DeadLetter {
  readonly code: string;
  /** What is kept of the record, as text. */
  readonly record: string;
}

export interface SourceServer extends AsyncDisposable {
  /** The source in BATON_SOURCES_FILE. */
  readonly declaration: Readonly<Record<string, unknown>>;
  /** Adds records, in this order; resolves when the server has them. */
  add(records: readonly TestRecord[]): Promise<void>;
  /** Adds a record that no mapping understands, which has this text in it. */
  addPoison(text: string): Promise<void>;
  /** How many records are there that nobody has acknowledged. */
  waiting(): Promise<number>;
  /** All that were ever there, in their order. */
  deadLetters(): Promise<readonly DeadLetter[]>;
  /** Kills the server; what it was given is safe. */
  kill(): Promise<void>;
  /** Starts it again. */
  run(): Promise<void>;
}
