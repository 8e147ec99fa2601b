// The queues of the SQLite engine, in its file alone: what is read was committed. Methods are to be called within SqliteFile.write
// where they change the file.
import type { Statement } from "bun:sqlite";
import type { QueueEntry } from "../../relay/contracts/store";
import type { StoreSize } from "../store-size";
import type { SqliteFile } from "./file";
import { RowCounts } from "./row-counts";

/** What a row takes besides its texts. The queue stands in the index too. */
const ROW_BYTES = 50;

/** SQLite gives no number of `entries` twice, whatever was removed. */
const SQL = {
  insert: "INSERT INTO entries (queue, size, entry) VALUES (?1, ?2, ?3)",
  first: "SELECT number, entry FROM entries WHERE queue = ?1 ORDER BY number LIMIT ?2",
  remove: "DELETE FROM entries WHERE queue = ?1 AND number <= ?2 RETURNING size",
  count: "SELECT count(*) FROM entries WHERE queue = ?1",
  bytes: "SELECT sum(size) FROM entries",
} as const;

export class SqliteQueues {
  readonly #size: StoreSize;
  readonly #sql: Record<keyof typeof SQL, Statement>;
  readonly #counts: RowCounts;

  constructor(file: SqliteFile, size: StoreSize) {
    this.#size = size;
    this.#sql = file.prepareAll(SQL);
    this.#counts = new RowCounts(this.#sql.count);
    size.add((this.#sql.bytes.values()[0] as [number | null])[0] ?? 0);
  }

  append(queue: string, entries: readonly string[], max: number): number {
    let count = this.size(queue);
    let kept = 0;
    for (const entry of entries) {
      const size = ROW_BYTES + 2 * Buffer.byteLength(queue) + Buffer.byteLength(entry);
      if (count >= max || !this.#size.take(size)) break;
      this.#sql.insert.run(queue, size, entry);
      count++;
      kept++;
    }
    this.#counts.changed(queue, kept);
    return kept;
  }

  first(queue: string, limit: number): readonly QueueEntry[] {
    const rows = this.#sql.first.values(queue, limit) as [number, string][];
    return rows.map(([number, entry]) => ({ number, entry }));
  }

  removeUpTo(queue: string, number: number): undefined {
    const removed = this.#sql.remove.values(queue, number) as [number][];
    for (const [size] of removed) this.#size.release(size);
    this.#counts.changed(queue, -removed.length);
  }

  size(queue: string): number {
    return this.#counts.of(queue);
  }

  afterRollback(): void {
    this.#counts.clear();
  }
}
