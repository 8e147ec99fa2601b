// The registrations of the SQLite engine: in memory as in the memory engine, and in the file for the next process.
import type { Statement } from "bun:sqlite";
import type { PreviousOwner, Registration, Registrations } from "../../relay/contracts/engine";
import type { Refusal } from "../../relay/contracts/errors";
import { MemoryRegistrations, type MemoryRegistrationsOptions } from "../memory/registrations";
import type { SqliteFile } from "./file";

/** The most registrations that one transaction removes from the file. */
const REMOVED_MAX = 2_000;

/** Runs within the next transaction. Rejects with EngineUnavailable, with nothing done, when that fails. */
type Write = (work: () => void) => Promise<void>;

export class SqliteRegistrations {
  readonly #memory: MemoryRegistrations;
  readonly #write: Write;
  #insert: Statement | undefined;
  #delete: Statement | undefined;
  /** Ids of registrations that have ended and are still in the file. */
  readonly #ended = new Set<string>();
  /** Those of them that the running transaction removes. */
  #removing: string[] = [];

  constructor(options: MemoryRegistrationsOptions, write: Write) {
    this.#write = write;
    this.#memory = new MemoryRegistrations(options, (id) => this.#ended.add(id));
  }

  /** Restores what has outlived the last process. All of it waits, for as long as a new registration does. */
  open(file: SqliteFile): void {
    this.#insert = file.prepare("INSERT OR REPLACE INTO registrations VALUES (?1, ?2, ?3)");
    this.#delete = file.prepare("DELETE FROM registrations WHERE id = ?1");
    const kept = file.prepare("SELECT id, user, topics FROM registrations");
    for (const [id, user, topics] of kept.values() as [string, string, string | null][]) {
      this.#memory.restore({
        id,
        user,
        topics: topics === null ? undefined : (JSON.parse(topics) as string[]),
      });
    }
  }

  /** The registrations as one node sees them. */
  of(node: string): Registrations {
    const memory = this.#memory;
    return {
      ...memory.of(node),
      get waiting() {
        return memory.waiting;
      },
      add: (registration) => this.#add(registration),
      remove: (id) => this.#remove(id, node),
    };
  }

  /** A node has died, so the registrations that it owned wait again. */
  releaseAll(node: string): void {
    this.#memory.releaseAll(node);
  }

  expire(): void {
    this.#memory.expire();
  }

  /** Whether a registration that has ended is still in the file. */
  get isDue(): boolean {
    return this.#ended.size > 0;
  }

  /** Removes some of those that have ended from the file. To be called last in a transaction, within SqliteFile.write. */
  beforeCommit(): void {
    this.#removing = [];
    for (const id of this.#ended) {
      if (this.#removing.length >= REMOVED_MAX) return;
      this.#removing.push(id);
      this.#delete?.run(id);
    }
  }

  afterCommit(): void {
    for (const id of this.#removing) this.#ended.delete(id);
    this.#removing = [];
  }

  /** Resolves when the registration is in the file. */
  #add(registration: Registration): Refusal | Promise<undefined> {
    const refusal = this.#memory.add(registration);
    if (refusal !== undefined) return refusal;
    const { id, user, topics } = registration;
    this.#ended.delete(id);
    const row = [id, user, topics === undefined ? null : JSON.stringify(topics)] as const;
    return this.#write(() => {
      // It may have been removed since.
      if (!this.#ended.has(id)) this.#insert?.run(...row);
    }).then(
      () => undefined,
      (error) => {
        this.#memory.remove(id, "");
        throw error;
      },
    );
  }

  /**
   * Ends a registration at once. Resolves when it is no longer in the file; if the file cannot be written now, this rejects,
   * and a later transaction removes it.
   */
  #remove(id: string, node: string): undefined | PreviousOwner | Promise<PreviousOwner> {
    const removed = this.#memory.remove(id, node);
    if (removed === undefined || !this.#ended.has(id)) return removed;
    return this.#write(() => {}).then(() => removed);
  }
}
