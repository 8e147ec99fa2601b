// How far each partition of a source was published, in the file of the SQLite engine.
import type { Statement } from "bun:sqlite";
import type { SqliteFile } from "./file";

export class SqlitePositions {
  readonly #get: Statement;
  readonly #set: Statement;

  constructor(file: SqliteFile) {
    this.#get = file.prepare("SELECT position FROM positions WHERE partition = ?1");
    this.#set = file.prepare("INSERT OR REPLACE INTO positions VALUES (?1, ?2)");
  }

  get(partition: string): string | undefined {
    return (this.#get.values(partition)[0] as [string] | undefined)?.[0];
  }

  /** Must be called within SqliteFile.write. */
  set(partition: string, position: string): void {
    this.#set.run(partition, position);
  }
}
