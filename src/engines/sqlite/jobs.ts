// Work that waits for the next transaction of the SQLite engine. Records of a source are one job for all that a call brings.
import type { Statement } from "bun:sqlite";
import { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import type { RecordsOutcome, SourceRecord } from "../../relay/contracts/store";
import { nameOf } from "../idempotency-key";
import type { IdempotencyCache } from "../memory/idempotency";
import { isAbove } from "../source-records";
import type { SqliteFile } from "./file";
import type { SqliteIdempotency } from "./idempotency";
import type { SqliteTopics } from "./topics";

export interface Job {
  readonly characters: number;
  /** Runs within the transaction. */
  write(): void;
  /** Runs after its commit. Must not throw. */
  committed(): void;
  failed(error: Error): void;
}

/** An answer whose count is filled in when the publication is delivered. */
export type Uncounted = { -readonly [Name in keyof Published]: Published[Name] };

export function uncounted({ offset, epoch }: Publication): Uncounted {
  const published: Uncounted = offset === undefined ? { delivered: 0 } : { delivered: 0, offset };
  if (epoch !== undefined) published.epoch = epoch;
  return published;
}

/** How far each partition of a source was published. */
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

/** What the engine has open, and how it delivers. */
interface RecordsJobParts {
  readonly topics: SqliteTopics;
  readonly positions: SqlitePositions;
  readonly idempotency: SqliteIdempotency;
  readonly cache: IdempotencyCache;
  readonly deliver: (publication: Publication) => void;
  /** So many records of the partition have the keys of other publications. */
  readonly conflicted: (partition: string, count: number) => void;
}

export class RecordsJob implements Job {
  readonly characters: number;
  readonly #parts: RecordsJobParts;
  readonly #partition: string;
  readonly #records: readonly SourceRecord[];
  readonly #outcome = Promise.withResolvers<RecordsOutcome>();
  readonly #published: Publication[] = [];
  /** Of the keys that were remembered. */
  readonly #names: string[] = [];
  #conflicts = 0;

  constructor(parts: RecordsJobParts, partition: string, records: readonly SourceRecord[]) {
    this.#parts = parts;
    this.#partition = partition;
    this.#records = records;
    let characters = 0;
    for (const { publication } of records) characters += publication.data.length;
    this.characters = characters;
  }

  /** Resolves when all are in the file. */
  get outcome(): Promise<RecordsOutcome> {
    return this.#outcome.promise;
  }

  write(): void {
    const { topics, positions } = this.#parts;
    const last = positions.get(this.#partition);
    let newest = last;
    for (const { publication, position, key } of this.#records) {
      if (position !== undefined) {
        if (!isAbove(position, newest)) continue;
        newest = position;
        this.#published.push(topics.append(publication));
      } else if (key === undefined) this.#published.push(topics.append(publication));
      else this.#writeKeyed(publication, key);
    }
    if (newest !== undefined && newest !== last) positions.set(this.#partition, newest);
  }

  #writeKeyed(publication: Publication, key: string): void {
    const { topics, idempotency, cache } = this.#parts;
    const name = nameOf(publication, key);
    const known = cache.recall(name, publication);
    if (known instanceof Refusal) this.#conflicts++;
    if (known !== undefined) return;
    const numbered = topics.append(publication);
    idempotency.add(name, cache.remember(name, publication, uncounted(numbered)));
    this.#names.push(name);
    this.#published.push(numbered);
  }

  committed(): void {
    const { topics, deliver, conflicted } = this.#parts;
    for (const numbered of this.#published) {
      try {
        deliver(numbered);
      } catch (error) {
        this.#outcome.reject(error);
      }
      topics.delivered(numbered);
    }
    conflicted(this.#partition, this.#conflicts);
    const published = this.#published.length;
    this.#outcome.resolve({ published, repeated: this.#records.length - published });
  }

  failed(error: Error): void {
    for (const name of this.#names) this.#parts.cache.retract(name);
    this.#outcome.reject(error);
  }
}
