// The registrations of the SQLite engine: a directory in memory, and in the file for the next process.
import type { Statement } from "bun:sqlite";
import type { PreviousOwner, Registration, Registrations } from "../../relay/contracts/engine";
import type { Refusal } from "../../relay/contracts/errors";
import { MemoryRegistrations, type MemoryRegistrationsOptions } from "../memory/registrations";
import type { SqliteFile } from "./file";

/** Registrations whose end is written in one transaction. */
const ENDED_MAX = 2_000;

/** Writes with the next transaction; rejects with EngineUnavailable, and nothing was done, when that fails. */
type Later = (work: () => void) => Promise<void>;

export class SqliteRegistrations {
  readonly #directory: MemoryRegistrations;
  readonly #later: Later;
  #insert: Statement | undefined;
  #delete: Statement | undefined;
  /** Ended, but still in the file. */
  readonly #ended = new Set<string>();
  /** Those of them that the running transaction removes. */
  #removing: string[] = [];

  constructor(options: MemoryRegistrationsOptions, later: Later) {
    this.#later = later;
    this.#directory = new MemoryRegistrations(options, {
      added: () => {},
      removed: (id) => this.#ended.add(id),
    });
  }

  /** Puts back what outlived the last process: all of it waits as a new one does. */
  open(file: SqliteFile): void {
    this.#insert = file.prepare("INSERT OR REPLACE INTO registrations VALUES (?1, ?2, ?3)");
    this.#delete = file.prepare("DELETE FROM registrations WHERE id = ?1");
    const kept = file.prepare("SELECT id, user, topics FROM registrations");
    for (const [id, user, topics] of kept.values() as [string, string, string | null][]) {
      this.#directory.restore({
        id,
        user,
        topics: topics === null ? undefined : (JSON.parse(topics) as string[]),
      });
    }
  }

  get waiting(): number {
    return this.#directory.waiting;
  }

  /** Answers when it is in the file. */
  add(registration: Registration): Refusal | Promise<undefined> {
    const refusal = this.#directory.add(registration);
    if (refusal !== undefined) return refusal;
    const { id, user, topics } = registration;
    this.#ended.delete(id);
    const row = [id, user, topics === undefined ? null : JSON.stringify(topics)] as const;
    return this.#later(() => {
      // Unless it was removed meanwhile.
      if (!this.#ended.has(id)) this.#insert?.run(...row);
    }).then(
      () => undefined,
      (error) => {
        this.#directory.remove(id, "");
        throw error;
      },
    );
  }

  /** Answers when it is out of the file. Ended it is at once, and out of the file as soon as that can be written. */
  remove(id: string, node: string): undefined | PreviousOwner | Promise<PreviousOwner> {
    const removed = this.#directory.remove(id, node);
    if (removed === undefined || !this.#ended.has(id)) return removed;
    return this.#later(() => {}).then(() => removed);
  }

  /** As one node sees them. */
  of(node: string): Registrations {
    const all = this;
    return {
      ...this.#directory.of(node),
      get waiting() {
        return all.waiting;
      },
      add: (registration) => this.add(registration),
      remove: (id) => this.remove(id, node),
    };
  }

  /** A node has died: what it held waits again. */
  releaseAll(node: string): void {
    this.#directory.releaseAll(node);
  }

  expire(): void {
    this.#directory.expire();
  }

  get isDue(): boolean {
    return this.#ended.size > 0;
  }

  /** Writes the end of some. To be called within SqliteFile.write, after all else of the transaction. */
  settle(): void {
    this.#removing = [];
    for (const id of this.#ended) {
      if (this.#removing.length >= ENDED_MAX) return;
      this.#removing.push(id);
      this.#delete?.run(id);
    }
  }

  committed(): void {
    for (const id of this.#removing) this.#ended.delete(id);
    this.#removing = [];
  }
}
