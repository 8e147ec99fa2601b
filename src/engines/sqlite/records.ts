// The records of the SQLite engine, in its file alone: what is read was committed. Methods are to be called within SqliteFile.write
// where they change the file.
import type { Statement } from "bun:sqlite";
import type { NamedValue, RecordBounds } from "../../relay/contracts/store";
import type { StoreSize } from "../store-size";
import type { SqliteFile } from "./file";
import { RowCounts } from "./row-counts";
import type { WallClock } from "./wall-clock";

/** What a row takes besides its texts. The set and the name stand in the index too. */
const ROW_BYTES = 80;

/** How many rows one sweep removes. */
const SWEEP_ROWS_MAX = 1_000;

const SQL = {
  known: "SELECT id, size, expires FROM records WHERE in_set = ?1 AND name = ?2",
  count: "SELECT count(*) FROM records WHERE in_set = ?1",
  insert: "INSERT INTO records (in_set, name, size, expires, value) VALUES (?1, ?2, ?3, ?4, ?5)",
  update: "UPDATE records SET size = ?2, expires = ?3, value = ?4 WHERE id = ?1",
  remove: "DELETE FROM records WHERE id = ?1",
  removeExpiredOf: "DELETE FROM records WHERE in_set = ?1 AND expires <= ?2 RETURNING size",
  removeExpired: `DELETE FROM records WHERE id IN (
    SELECT id FROM records WHERE expires <= ?1 ORDER BY expires LIMIT ?2) RETURNING size`,
  firstExpiry: "SELECT min(expires) FROM records",
  get: "SELECT value FROM records WHERE in_set = ?1 AND name = ?2 AND expires > ?3",
  list: "SELECT name, value FROM records WHERE in_set = ?1 AND expires > ?2 ORDER BY id",
  bytes: "SELECT sum(size) FROM records",
} as const;

type KnownRow = [id: number, size: number, expires: number];

export class SqliteRecords {
  readonly #clock: WallClock;
  readonly #size: StoreSize;
  readonly #sql: Record<keyof typeof SQL, Statement>;
  readonly #counts: RowCounts;

  constructor(file: SqliteFile, clock: WallClock, size: StoreSize) {
    this.#clock = clock;
    this.#size = size;
    this.#sql = file.prepareAll(SQL);
    this.#counts = new RowCounts(this.#sql.count);
    size.add((this.#sql.bytes.values()[0] as [number | null])[0] ?? 0);
  }

  put(set: string, name: string, value: string, { ttlMs, max }: RecordBounds): undefined | "full" {
    const now = this.#clock.ms;
    const known = this.#known(set, name);
    if (known === undefined && !this.#hasRoom(set, max, now)) return "full";
    const texts = 2 * (Buffer.byteLength(set) + Buffer.byteLength(name)) + Buffer.byteLength(value);
    const size = ROW_BYTES + texts;
    if (!this.#size.take(size - (known?.[1] ?? 0))) return "full";
    const expires = now + ttlMs;
    if (known === undefined) {
      this.#sql.insert.run(set, name, size, expires, value);
      this.#counts.changed(set, 1);
    } else this.#sql.update.run(known[0], size, expires, value);
    return undefined;
  }

  get(set: string, name: string): string | undefined {
    const found = this.#sql.get.values(set, name, this.#clock.ms);
    return (found[0] as [string] | undefined)?.[0];
  }

  list(set: string): readonly NamedValue[] {
    const rows = this.#sql.list.values(set, this.#clock.ms) as [string, string][];
    return rows.map(([name, value]) => ({ name, value }));
  }

  remove(set: string, name: string): boolean {
    const known = this.#known(set, name);
    if (known === undefined) return false;
    this.#remove(set, known);
    return true;
  }

  /** Whether `expire` has something to do. */
  get isDue(): boolean {
    const [first] = this.#sql.firstExpiry.values()[0] as [number | null];
    return first !== null && first <= this.#clock.ms;
  }

  /** Removes some of what has expired. */
  expire(): void {
    this.#release(this.#sql.removeExpired.values(this.#clock.ms, SWEEP_ROWS_MAX));
    this.#counts.clear();
  }

  afterRollback(): void {
    this.#counts.clear();
  }

  /** The row of a name, unless it has expired: such a row is removed, so that the name comes last when it is put again. */
  #known(set: string, name: string): KnownRow | undefined {
    const known = this.#sql.known.values(set, name)[0] as KnownRow | undefined;
    if (known === undefined || known[2] > this.#clock.ms) return known;
    this.#remove(set, known);
    return undefined;
  }

  #remove(set: string, [id, size]: KnownRow): void {
    this.#sql.remove.run(id);
    this.#size.release(size);
    this.#counts.changed(set, -1);
  }

  #hasRoom(set: string, max: number, now: number): boolean {
    if (this.#counts.of(set) < max) return true;
    const expired = this.#sql.removeExpiredOf.values(set, now);
    this.#release(expired);
    this.#counts.changed(set, -expired.length);
    return this.#counts.of(set) < max;
  }

  #release(removed: unknown[][]): void {
    for (const [size] of removed as [number][]) this.#size.release(size);
  }
}
