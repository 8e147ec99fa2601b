// The answers to idempotency keys of the SQLite engine: in memory as in every engine, and in the file for the next process.
// How many connections a publication reached is not kept.
import type { Statement } from "bun:sqlite";
import type { Publication } from "../../relay/contracts/publication";
import { nameOf } from "../idempotency-key";
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
  readonly #insert: Statement;
  readonly #lastExpired: Statement;
  readonly #remove: Statement;
  #added = 0;

  /** Restores in the cache what has outlived the last process. */
  constructor(file: SqliteFile, clock: WallClock, cache: IdempotencyCache) {
    this.#clock = clock;
    this.#insert = file.prepare(
      "INSERT INTO answers (name, print, offset, epoch, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
    );
    this.#lastExpired = file.prepare(
      "SELECT max(id) FROM (SELECT id, expires FROM answers ORDER BY id LIMIT ?1) WHERE expires <= ?2",
    );
    this.#remove = file.prepare("DELETE FROM answers WHERE id <= ?1 AND expires <= ?2");
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
  add(publication: Publication, key: string, answer: RememberedAnswer): void {
    const { fingerprint, published, expiresAt } = answer;
    const { offset, epoch } = published;
    const expires = Math.floor(expiresAt - this.#clock.monotonic(0));
    const name = nameOf(publication, key);
    this.#insert.run(name, String(fingerprint), offset ?? null, epoch ?? null, expires);
    this.#added++;
  }

  /** To be called last in a transaction: removes some of what has expired, so that the file does not grow. */
  beforeCommit(): void {
    if (this.#added > 0) this.#removeExpired(COMMIT_ROWS_MAX + 2 * this.#added);
    this.#added = 0;
  }

  afterRollback(): void {
    this.#added = 0;
  }

  /** Whether `expire` has something to do. */
  get isDue(): boolean {
    return this.#lastExpiredOf(SWEEP_ROWS_MAX) !== null;
  }

  expire(): void {
    this.#removeExpired(SWEEP_ROWS_MAX);
  }

  #removeExpired(rows: number): void {
    const last = this.#lastExpiredOf(rows);
    if (last !== null) this.#remove.run(last, this.#clock.ms);
  }

  /** The id of the last row that has expired among this many of the oldest. */
  #lastExpiredOf(rows: number): number | null {
    return (this.#lastExpired.values(rows, this.#clock.ms)[0] as [number | null])[0];
  }
}
