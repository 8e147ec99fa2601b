// The answers to idempotency keys of the SQLite engine: in memory as in every engine, and in the file for the next process.
// How many connections a publication reached is not kept.
import type { Statement } from "bun:sqlite";
import type { IdempotencyCache, RememberedAnswer } from "../memory/idempotency";
import type { SqliteFile } from "./file";
import type { WallClock } from "./wall-clock";

/** Rows that one sweep removes at most; and one commit, besides twice as many as it adds. */
const SWEEP_ROWS_MAX = 5_000;
const COMMIT_ROWS_MAX = 100;

type AnswerRow = [
  name: string,
  print: string,
  offset: number | null,
  epoch: string | null,
  expires: number,
];

/** The rows are in the order in which they were added, which is the order of their expiry. */
export class SqliteIdempotency {
  readonly #clock: WallClock;
  readonly #cache: IdempotencyCache;
  readonly #insert: Statement;
  readonly #lastForgotten: Statement;
  readonly #remove: Statement;
  #added = 0;

  /** Restores in the cache what has outlived the last process. */
  constructor(file: SqliteFile, clock: WallClock, cache: IdempotencyCache) {
    this.#clock = clock;
    this.#cache = cache;
    this.#insert = file.prepare(
      "INSERT INTO answers (name, print, offset, epoch, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
    );
    this.#lastForgotten = file.prepare(
      `SELECT max(id) FROM (SELECT id, expires FROM answers ORDER BY id LIMIT ?1)
       WHERE expires <= ?2 OR id <= (SELECT max(id) FROM answers) - ?3`,
    );
    this.#remove = file.prepare("DELETE FROM answers WHERE id <= ?1");
    const kept = file.prepare(
      "SELECT name, print, offset, epoch, expires FROM answers WHERE expires > ?1 ORDER BY id",
    );
    for (const [name, print, offset, epoch, expires] of kept.values(clock.ms) as AnswerRow[]) {
      const published =
        offset === null || epoch === null ? { delivered: 0 } : { delivered: 0, offset, epoch };
      const expiresAt = clock.monotonic(expires);
      cache.restore(name, { fingerprint: BigInt(print), published, expiresAt });
    }
  }

  /** Must be called within SqliteFile.write, like all methods that change the file. */
  add(name: string, answer: RememberedAnswer): void {
    const { fingerprint, published, expiresAt } = answer;
    const { offset, epoch } = published;
    const expires = Math.floor(expiresAt - this.#clock.monotonic(0));
    this.#insert.run(name, String(fingerprint), offset ?? null, epoch ?? null, expires);
    this.#added++;
  }

  /** To be called last in a transaction: removes some of what is forgotten, so that the file does not grow. */
  beforeCommit(): void {
    if (this.#added > 0) this.#removeForgotten(COMMIT_ROWS_MAX + 2 * this.#added);
    this.#added = 0;
  }

  afterRollback(): void {
    this.#added = 0;
  }

  /** Whether `expire` has something to do. */
  get isDue(): boolean {
    return this.#lastForgottenOf(SWEEP_ROWS_MAX) !== null;
  }

  expire(): void {
    this.#removeForgotten(SWEEP_ROWS_MAX);
  }

  #removeForgotten(rows: number): void {
    const last = this.#lastForgottenOf(rows);
    if (last !== null) this.#remove.run(last);
  }

  /**
   * The id of the last row among this many of the oldest that has expired, or that the cache has forgotten. What the
   * cache remembers is in the newest rows, one for each answer.
   */
  #lastForgottenOf(rows: number): number | null {
    const found = this.#lastForgotten.values(rows, this.#clock.ms, this.#cache.size);
    return (found[0] as [number | null])[0];
  }
}
