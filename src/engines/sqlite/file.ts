// The file of the SQLite engine: what is checked before it is opened, its schema and pragmas, its transactions, and its close.
// A file that cannot be used is left as it is.
import { Database, type Statement } from "bun:sqlite";

/** Stands in the header of the file, "Batn", so that another program's database is not taken for one of Baton. */
const APPLICATION_ID = 0x4261_746e;
/** The version of the schema below. A file of an earlier one gets what it lacks when it is opened. */
const SCHEMA_VERSION = 2;

/** How long another process may still have the file when this one starts: as long as a restart overlaps. */
const BUSY_MAX_MS = 2_000;
const BUSY_RETRY_MS = 20;

/** A larger file is not checked for damage at the start: checking this much takes about a second. */
const CHECKED_BYTES_MAX = 256 * 2 ** 20;

/** The write-ahead log goes into the file after this many pages of 4 KiB, and its own file is then cut to this size. */
const CHECKPOINT_PAGES = 1_000;
const LOG_BYTES_MAX = 8 * 2 ** 20;

/** How much memory SQLite's cache of pages may take, in KiB. */
const CACHE_KIB = 32_768;

/** There must be room for this much when the engine starts, and before it accepts publications again after a failure. */
const START_BYTES = 4_096;
const PROBE_BYTES = 2 ** 20;

/** Free pages that are returned to the system at once, which takes a few ms. This many and an eighth of all are kept. */
const SHRINK_PAGES = 256;
const SPARE_PAGES = 256;
const SPARE_SHARE = 1 / 8;

/**
 * publications: `about` is JSON of what few have (user, except, info, tags, event); `size` is what is counted against the bound.
 * answers: rows are in the order of their expiry, and the last row of a name is the one that counts. `print` is a fingerprint.
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
  PRAGMA application_id = ${APPLICATION_ID};`;

/**
 * What version 2 has more. records and entries: `size` is what is counted against the bound. A number of `entries` is never given
 * twice.
 */
const SCHEMA_2 = `
  CREATE TABLE positions (partition TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE records (
    id INTEGER PRIMARY KEY, in_set TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL,
    expires INTEGER NOT NULL, value TEXT NOT NULL, UNIQUE (in_set, name));
  CREATE INDEX records_expires ON records (expires);
  CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, size INTEGER NOT NULL, entry TEXT NOT NULL);
  CREATE INDEX entries_queue ON entries (queue);
  PRAGMA user_version = ${SCHEMA_VERSION};`;

export class SqliteFile {
  readonly #database: Database;
  /** All must be finalized: a file with an open statement stays locked after its close. */
  readonly #statements: Statement[] = [];
  readonly #begin: Statement;
  readonly #commit: Statement;

  /** Reads nothing of the file: whatever fails there must find this, which then releases it. */
  private constructor(database: Database) {
    this.#database = database;
    this.#begin = this.prepare("BEGIN IMMEDIATE");
    this.#commit = this.prepare("COMMIT");
  }

  /**
   * Opens or creates the file and resolves with what `use` makes of it. Rejects with an Error of one sentence when the file
   * cannot be used.
   */
  static async open<Value>(path: string, use: (file: SqliteFile) => Value): Promise<Value> {
    const isNew = await isEmpty(path);
    if (!isNew) await checkHeader(path);
    const deadline = performance.now() + BUSY_MAX_MS;
    for (;;) {
      let file: SqliteFile | undefined;
      try {
        file = new SqliteFile(new Database(path, { create: true, readwrite: true }));
        file.#setUp(Bun.file(path).size);
        return use(file);
      } catch (error) {
        if (file !== undefined) file.#release();
        // SQLite's own busy timeout does not wait for a process that has locked the file exclusively.
        if (!isBusy(error) || performance.now() > deadline) {
          throw new Error(startFailure(path, error));
        }
        await Bun.sleep(BUSY_RETRY_MS);
      }
    }
  }

  prepare(sql: string): Statement {
    const statement = this.#database.prepare(sql);
    this.#statements.push(statement);
    return statement;
  }

  prepareAll<Name extends string>(sql: Readonly<Record<Name, string>>): Record<Name, Statement> {
    const all = Object.entries<string>(sql).map(([name, text]) => [name, this.prepare(text)]);
    return Object.fromEntries(all) as Record<Name, Statement>;
  }

  /** Runs this as one transaction. When it throws, nothing was done. */
  write<Value>(work: () => Value): Value {
    this.#begin.run();
    try {
      const value = work();
      this.#commit.run();
      return value;
    } catch (error) {
      // When the disk is full, SQLite has already ended the transaction.
      if (this.#database.inTransaction) this.#database.run("ROLLBACK");
      throw error;
    }
  }

  /** Throws when nothing can be written now. */
  probe(bytes = PROBE_BYTES): void {
    this.write(() => this.#database.run("INSERT INTO probe VALUES (zeroblob(?))", [bytes]));
    this.write(() => this.#database.run("DELETE FROM probe"));
  }

  /** Returns a bounded part of the free pages to the system. */
  shrink(): void {
    const spare = SPARE_PAGES + Number(this.#value("PRAGMA page_count")) * SPARE_SHARE;
    if (Number(this.#value("PRAGMA freelist_count")) < spare) return;
    this.#database.run(`PRAGMA incremental_vacuum(${SHRINK_PAGES})`);
  }

  /** Brings the write-ahead log into the file. If that fails, the next start does it. */
  close(): void {
    try {
      this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {}
    this.#release();
  }

  /** Checks that the file can be used, creates the schema in an empty one, and sets the pragmas. */
  #setUp(bytes: number): void {
    const database = this.#database;
    database.run(`PRAGMA busy_timeout=${BUSY_RETRY_MS}`);
    // Read before the next line, a file that cannot be written says so, and not only that there is an I/O error.
    this.#value("PRAGMA page_count");
    // The lock is kept from the first read until the process ends, so that a second relay is refused.
    database.run("PRAGMA locking_mode=EXCLUSIVE");
    if (this.#value("SELECT count(*) FROM sqlite_schema") === 0) {
      database.run("PRAGMA auto_vacuum=INCREMENTAL");
      // This comes before the write-ahead log, so that the file's header names its owner from the beginning.
      this.write(() => database.run(SCHEMA + SCHEMA_2));
    } else {
      if (bytes <= CHECKED_BYTES_MAX) this.#check();
      this.#upgrade();
    }
    if (this.#value("PRAGMA journal_mode=WAL") !== "wal") {
      throw new Error("its file system does not allow a write-ahead log");
    }
    database.run("PRAGMA synchronous=FULL");
    database.run(`PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES}`);
    database.run(`PRAGMA journal_size_limit=${LOG_BYTES_MAX}`);
    // A negative size is in KiB.
    database.run(`PRAGMA cache_size=-${CACHE_KIB}`);
    this.probe(START_BYTES);
  }

  #check(): void {
    const found = this.#value("PRAGMA quick_check(1)");
    if (found !== "ok") throw new DamagedFile(String(found).replaceAll("\n", " "));
  }

  /** Brings a file of an earlier version to this one. */
  #upgrade(): void {
    if (this.#value("PRAGMA user_version") === SCHEMA_VERSION) return;
    this.write(() => this.#database.run(SCHEMA_2));
    // The version must stand in the file itself: what is only in the log says nothing to an older Baton, which reads the header.
    this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  /** The value that a statement returns which is run seldom. */
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
}

/** Whether there is nothing in the file, or no such file yet. Rejects when its folder does not exist. */
async function isEmpty(path: string): Promise<boolean> {
  const stat = await statOf(path);
  if (stat?.isDirectory()) {
    throw new Error(`${path} is a folder: name a file in it in BATON_ENGINE.`);
  }
  if (stat !== undefined) return stat.size === 0;
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) || "/" : ".";
  if ((await statOf(folder))?.isDirectory()) return true;
  throw new Error(`${path} cannot be created: there is no folder ${folder}. Create that first.`);
}

async function statOf(path: string) {
  return Bun.file(path)
    .stat()
    .catch(() => undefined);
}

/**
 * Reads the header without SQLite, which would write into the file or next to it. The format is
 * https://www.sqlite.org/fileformat.html, section 1.3.
 */
async function checkHeader(path: string): Promise<void> {
  const bytes = await Bun.file(path)
    .slice(0, 100)
    .bytes()
    .catch((error: unknown) => {
      throw new Error(startFailure(path, error));
    });
  const magic = new TextDecoder().decode(bytes.subarray(0, 16));
  const advice = "It was left as it is; name another file in BATON_ENGINE, or move this one away.";
  if (bytes.length < 100 || magic !== "SQLite format 3\0") {
    throw new Error(`${path} is not a database. ${advice}`);
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  if (header.getUint32(68) !== APPLICATION_ID) {
    throw new Error(`${path} is another program's database. ${advice}`);
  }
  if (header.getUint32(60) > SCHEMA_VERSION) {
    throw new Error(`${path} was written by a newer Baton: start that one, or name another file.`);
  }
}

class DamagedFile extends Error {}

function isBusy(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code?.startsWith("SQLITE_BUSY") === true;
}

/** Why the file cannot be used, and what the user can do about it. */
function startFailure(path: string, error: unknown): string {
  const { code = "", message } = error as Error & { code?: string };
  const codeIs = (...prefixes: string[]) => prefixes.some((prefix) => code.startsWith(prefix));
  if (isBusy(error)) {
    return `${path} is in use, most likely by another Baton. Stop it, or name another file in BATON_ENGINE.`;
  }
  if (error instanceof DamagedFile || codeIs("SQLITE_CORRUPT", "SQLITE_NOTADB")) {
    return `${path} is damaged (${message}). Replace it by a backup, or move it away to start with an empty file.`;
  }
  if (codeIs("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "EACCES", "EPERM", "EROFS")) {
    return `${path} cannot be written: this user needs write access to the file and its folder.`;
  }
  if (codeIs("SQLITE_FULL")) {
    return `${path} cannot be written: the disk is full. Free some space.`;
  }
  return `${path} cannot be used: ${message}.`;
}
