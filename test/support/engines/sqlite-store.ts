// A file for SQLite engines that are started one after the other, with clocks that only the test moves.
import { Database } from "bun:sqlite";
import { spyOn } from "bun:test";
import { join } from "node:path";
import type { EngineOptions } from "../../../src/engines/options";
import { SqliteEngine } from "../../../src/engines/sqlite/engine";
import type { EngineEvents } from "../../../src/relay/contracts/engine";
import type { Publication } from "../../../src/relay/contracts/publication";
import { Folder } from "../machine/folder";
import { engineOptions, NOBODY } from "../relay/simulation";

export class SqliteStore implements Disposable {
  readonly #folder = new Folder();
  readonly #engines: SqliteEngine[] = [];
  readonly #runs = spyOn(Database.prototype, "run");
  path = join(this.#folder.path, "baton.db");
  /** The monotonic clock of the engines, and the time of day when the next one starts. */
  now = 0;
  timeOfDay = 1_000_000;
  /** All that the engines have delivered. */
  readonly delivered: Publication[] = [];
  #connection: Database | undefined;

  get folder(): string {
    return this.#folder.path;
  }

  /** `events` are called in place of keeping what is delivered. */
  async start(options: Partial<EngineOptions> = {}, events?: EngineEvents): Promise<SqliteEngine> {
    const newEpoch = () => crypto.randomUUID().slice(0, 8);
    const all = engineOptions({ now: () => this.now, newEpoch, ...options });
    const engine = new SqliteEngine(all, this.path, () => this.timeOfDay);
    this.#engines.push(engine);
    const delivered = (publication: Publication) => {
      this.delivered.push(publication);
      return 1;
    };
    await engine.start(events ?? { ...NOBODY, deliver: delivered });
    this.#connection = this.#runs.mock.contexts.at(-1) as unknown as Database;
    this.#runs.mockClear();
    return engine;
  }

  /** The connection of the engine that was started last: it has locked the file, so nobody else can open it. */
  get connection(): Database {
    if (this.#connection === undefined) throw new Error("no engine was started");
    return this.#connection;
  }

  /** What a statement with one result returns. */
  value(sql: string): unknown {
    return this.connection.query(sql).values()[0]?.[0];
  }

  [Symbol.dispose](): void {
    for (const engine of this.#engines) engine.close();
    this.#runs.mockRestore();
    this.#folder[Symbol.dispose]();
  }
}

/** The offsets of all that the history of a topic returns. */
export function offsetsIn(engine: SqliteEngine, topic = "a"): (number | undefined)[] {
  return engine
    .history(topic, { limit: 1_000_000, size: 1e6 })
    .publications.map(({ offset }) => offset);
}

/** Publishes this many publications at once, in one turn of the loop. */
export function publishMany(engine: SqliteEngine, count: number, topic = "a", data = "m") {
  return Promise.all(Array.from({ length: count }, () => engine.publish({ topic, data })));
}
