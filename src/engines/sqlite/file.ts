// The file of the SQLite engine: looked at before it is opened, its schema, its pragmas, and how it is given back.
import { Database, type Statement } from "bun:sqlite";

/** In the header of the file, so that no other program's database is taken for ours: "Batn". */
const APPLICATION_ID = 0x4261_746e;
/** Of the schema below. */
const VERSION = 1;

/** How long another process may hold the file when this one starts: as long as a restart overlaps. */
const BUSY_MS = 2_000;
const BUSY_PAUSE_MS = 20;
/** A larger file is not read through at the start: this much takes about a second. */
const CHECK_BYTES = 256 * 2 ** 20;
/** Pages of 4 KiB after which the journal goes into the file, and what remains of the journal's own file after that. */
const CHECKPOINT_PAGES = 1_000;
const JOURNAL_BYTES = 8 * 2 ** 20;
/** What must have room before the engine takes publications again after a failure, and when it starts. */
const PROBE_BYTES = 2 ** 20;
const START_BYTES = 4_096;
/** Pages given back to the system at once: a few ms. Fewer free ones than `SPARE_PAGES` are left for what comes. */
const VACUUM_PAGES = 256;
const SPARE_PAGES = 256;

/**
 * publications: `about` is JSON of what few have (user, except, info, tags), `size` what is counted against the bound.
 * answers: in the order of their expiry; the last row of a name is the one that counts.
 */
const SCHEMA = `
  CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL, top INTEGER NOT NULL,
    first INTEGER NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL);
  CREATE INDEX topics_used ON topics (used);
  CREATE TABLE publications (
    topic INTEGER NOT NULL, offset INTEGER NOT NULL, time INTEGER NOT NULL, size INTEGER NOT NULL,
    json INTEGER, about TEXT, data TEXT NOT NULL, PRIMARY KEY (topic, offset)) WITHOUT ROWID;
  CREATE TABLE answers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, print TEXT NOT NULL, offset INTEGER, epoch TEXT,
    expires INTEGER NOT NULL);
  CREATE TABLE registrations (id TEXT PRIMARY KEY, user TEXT NOT NULL, topics TEXT) WITHOUT ROWID;
  CREATE TABLE probe (bytes BLOB);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${VERSION};`;

export class SqliteFile {
  readonly #database: Database;
  /** A file with an open statement stays locked after its close. */
  readonly #statements: Statement[] = [];
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #pages: Statement;
  readonly #free: Statement;
  /** Transactions that were committed. */
  commits = 0;

  private constructor(database: Database) {
    this.#database = database;
    this.#begin = this.prepare("BEGIN IMMEDIATE");
    this.#commit = this.prepare("COMMIT");
    this.#pages = this.prepare("PRAGMA page_count");
    this.#free = this.prepare("PRAGMA freelist_count");
  }

  /**
   * Opens or makes the file, and has it read by `use`. Rejects with an Error of one sentence; a file that cannot be
   * used is left as it is.
   */
  static async open<Value>(path: string, use: (file: SqliteFile) => Value): Promise<Value> {
    const isNew = await isEmpty(path);
    if (!isNew) await checkHeader(path);
    const patience = performance.now() + BUSY_MS;
    for (;;) {
      let file: SqliteFile | undefined;
      try {
        file = new SqliteFile(new Database(path, { create: true, readwrite: true }));
        file.#prepare(Bun.file(path).size);
        return use(file);
      } catch (error) {
        if (file !== undefined) file.#release();
        // SQLite's own timeout is not for the locks of an exclusive owner.
        if (!isBusy(error) || performance.now() > patience) throw new Error(sentence(path, error));
        await Bun.sleep(BUSY_PAUSE_MS);
      }
    }
  }

  prepare(sql: string): Statement {
    const statement = this.#database.prepare(sql);
    this.#statements.push(statement);
    return statement;
  }

  /** One transaction; throws, and nothing was done, when it cannot be. */
  write<Value>(work: () => Value): Value {
    this.#begin.run();
    try {
      const value = work();
      this.#commit.run();
      this.commits++;
      return value;
    } catch (error) {
      // SQLite has ended it already where the disk is full.
      if (this.#database.inTransaction) this.#database.run("ROLLBACK");
      throw error;
    }
  }

  /** Throws when nothing can be written now. */
  probe(bytes = PROBE_BYTES): void {
    this.write(() => this.#database.run("INSERT INTO probe VALUES (zeroblob(?))", [bytes]));
    this.write(() => this.#database.run("DELETE FROM probe"));
  }

  /** Gives a bounded part of what is free back to the system. */
  shrink(): void {
    const free = this.#count(this.#free);
    if (free < SPARE_PAGES + this.#count(this.#pages) / 8) return;
    this.#database.run(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
  }

  /** Bounds the file, in pages of 4 KiB: for tests of what happens when it is full. */
  limitPages(pages: number): void {
    this.#database.run(`PRAGMA max_page_count=${pages}`);
  }

  /** Brings the journal into the file. Not an error when that fails: the next start does it. */
  close(): void {
    try {
      this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {}
    this.#release();
  }

  /** Looks whether it can be used, makes what is missing, and sets it up. */
  #prepare(bytes: number): void {
    const database = this.#database;
    database.run(`PRAGMA busy_timeout=${BUSY_PAUSE_MS}`);
    // Held from the first look on until the process ends, so that a second relay is refused.
    database.run("PRAGMA locking_mode=EXCLUSIVE");
    if (this.#value("SELECT count(*) FROM sqlite_schema") === 0) {
      database.run("PRAGMA auto_vacuum=INCREMENTAL");
      // Before the WAL, so that the file's own header says from the beginning whose it is.
      this.write(() => database.run(SCHEMA));
    } else if (bytes <= CHECK_BYTES) {
      const found = this.#value("PRAGMA quick_check(1)");
      if (found !== "ok") throw new Corrupt(String(found).replaceAll("\n", " "));
    }
    if (this.#value("PRAGMA journal_mode=WAL") !== "wal") {
      throw new Error("it has no write-ahead log here");
    }
    database.run("PRAGMA synchronous=FULL");
    database.run(`PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES}`);
    database.run(`PRAGMA journal_size_limit=${JOURNAL_BYTES}`);
    database.run("PRAGMA cache_size=-32768");
    this.probe(START_BYTES);
  }

  /** Of a statement that is run once. */
  #value(sql: string): unknown {
    const statement = this.#database.prepare(sql);
    try {
      return statement.values()[0]?.[0];
    } finally {
      statement.finalize();
    }
  }

  #release(): void {
    for (const statement of this.#statements) statement.finalize();
    this.#database.close();
  }

  #count(statement: Statement): number {
    return (statement.values()[0] as [number])[0];
  }
}

/** Whether there is no such file yet, or nothing in it. Rejects where its folder is none. */
async function isEmpty(path: string): Promise<boolean> {
  const stat = await Bun.file(path)
    .stat()
    .catch(() => undefined);
  if (stat?.isDirectory()) {
    throw new Error(`${path} is a folder: name a file in it in BATON_ENGINE.`);
  }
  if (stat !== undefined) return stat.size === 0;
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) || "/" : ".";
  const above = await Bun.file(folder)
    .stat()
    .catch(() => undefined);
  if (above?.isDirectory()) return true;
  throw new Error(`${path} cannot be made: there is no folder ${folder}. Make it first.`);
}

/** Reads the header without SQLite, which would write beside or into the file. Format: sqlite.org/fileformat.html 1.3. */
async function checkHeader(path: string): Promise<void> {
  const bytes = await Bun.file(path)
    .slice(0, 100)
    .bytes()
    .catch((error: unknown) => {
      throw new Error(sentence(path, error));
    });
  const magic = new TextDecoder().decode(bytes.subarray(0, 16));
  const other = "It was left as it is; name another file in BATON_ENGINE, or move this one away.";
  if (bytes.length < 100 || magic !== "SQLite format 3\0") {
    throw new Error(`${path} is not a database. ${other}`);
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  if (header.getUint32(68) !== APPLICATION_ID) {
    throw new Error(`${path} is another program's database. ${other}`);
  }
  if (header.getUint32(60) > VERSION) {
    throw new Error(`${path} was written by a newer Baton: start that one, or another file.`);
  }
}

class Corrupt extends Error {}

function isBusy(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code?.startsWith("SQLITE_BUSY") === true;
}

/** What the user can do about it. */
function sentence(path: string, error: unknown): string {
  const { code = "", message } = error as Error & { code?: string };
  const begins = (...codes: string[]) => codes.some((one) => code.startsWith(one));
  if (isBusy(error)) {
    return `${path} is in use, most likely by another Baton. Stop it, or name another file in BATON_ENGINE.`;
  }
  if (error instanceof Corrupt || begins("SQLITE_CORRUPT", "SQLITE_NOTADB")) {
    return `${path} is damaged (${message}). Put a copy in its place, or move it away to begin anew.`;
  }
  if (begins("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "EACCES", "EPERM", "EROFS")) {
    return `${path} cannot be written: let this user write the file and its folder.`;
  }
  if (begins("SQLITE_FULL")) return `${path} cannot be written: the disk is full. Make room.`;
  return `${path} cannot be used: ${message}.`;
}
