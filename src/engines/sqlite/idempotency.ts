// The idempotency keys of the SQLite engine: in memory as in every engine, and in the file for the next process.

import type { Statement } from "bun:sqlite";
import type { Publication, Published } from "../../relay/contracts/publication";
import { nameOf } from "../idempotency-key";
import type { Answer, IdempotencyCache } from "../memory/idempotency";
import type { SqliteFile } from "./file";
import type { WallClock } from "./wall-clock";

/** Keys removed from the file in one sweep, and in one commit beside twice as many as it adds. */
const SWEEP_ROWS = 5_000;
const COMMIT_ROWS = 100;

type AnswerRow = [string, string, number | null, string | null, number];

/** The file has them in the order in which they were added, which is that of their expiry. */
export class SqliteIdempotency {
  readonly #clock: WallClock;
  readonly #insert: Statement;
  readonly #stale: Statement;
  readonly #cut: Statement;
  #added = 0;

  /** Puts what outlived the last process back into `answers`. How many connections a publication reached is not kept. */
  constructor(file: SqliteFile, clock: WallClock, answers: IdempotencyCache) {
    this.#clock = clock;
    this.#insert = file.prepare(
      "INSERT INTO answers (name, print, offset, epoch, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
    );
    this.#stale = file.prepare(
      "SELECT max(id) FROM (SELECT id, expires FROM answers ORDER BY id LIMIT ?1) WHERE expires <= ?2",
    );
    this.#cut = file.prepare("DELETE FROM answers WHERE id <= ?1 AND expires <= ?2");
    const kept = file.prepare(
      "SELECT name, print, offset, epoch, expires FROM answers WHERE expires > ?1 ORDER BY id",
    );
    for (const [name, print, offset, epoch, expires] of kept.values(clock.ms) as AnswerRow[]) {
      const published =
        offset === null || epoch === null ? { delivered: 0 } : { delivered: 0, offset, epoch };
      const expiresAt = clock.monotonic(expires);
      answers.restore(name, { print: BigInt(print), published, expiresAt });
    }
  }

  /** To be called within SqliteFile.write, as all below. */
  add(publication: Publication, key: string, { offset, epoch }: Published, answer: Answer): void {
    const expires = Math.floor(answer.expiresAt - this.#clock.monotonic(0));
    const name = nameOf(publication, key);
    this.#insert.run(name, String(answer.print), offset ?? null, epoch ?? null, expires);
    this.#added++;
  }

  /** To be called after all of a transaction. Cost: bounded, as are the others. */
  settle(): void {
    if (this.#added > 0) this.#remove(COMMIT_ROWS + 2 * this.#added);
    this.#added = 0;
  }

  rolledBack(): void {
    this.#added = 0;
  }

  get isDue(): boolean {
    return this.#last(SWEEP_ROWS) !== null;
  }

  sweep(): void {
    this.#remove(SWEEP_ROWS);
  }

  #remove(rows: number): void {
    const last = this.#last(rows);
    if (last !== null) this.#cut.run(last, this.#clock.ms);
  }

  /** The last that is over of the first so many. */
  #last(rows: number): number | null {
    return (this.#stale.values(rows, this.#clock.ms)[0] as [number | null])[0];
  }
}
