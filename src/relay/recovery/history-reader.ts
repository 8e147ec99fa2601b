// Reads history for a connection, and keeps its later commands in order meanwhile.

import { EngineUnavailable, type HistoryPage } from "../contracts/engine";
import type { CloseName } from "../contracts/errors";
import type { Position } from "../contracts/publication";
import type { Connection } from "../state/connection";
import type { Progress } from "../state/subscription";

export type Since = ReadonlyMap<string, Position>;

/** Commands of a connection that may wait while history is read for one before them. */
const QUEUE_MAX = 16;

export interface ReadingOptions {
  /** Obeys a command that has waited. */
  readonly goOn: (connection: Connection, names: ReadonlySet<string>, since: Since) => void;
  readonly end: (connection: Connection, why: CloseName) => void;
}

export class Reading {
  readonly #options: ReadingOptions;

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  /** True when the command has to wait; too many that wait end the connection. */
  queues(
    connection: Connection,
    progress: Progress,
    names: ReadonlySet<string>,
    since: Since,
  ): boolean {
    if (progress.reads === 0) return false;
    if (progress.queue.length >= QUEUE_MAX) this.#options.end(connection, "too_many_frames");
    else progress.queue.push({ kind: "topics", topics: [...names], since });
    return true;
  }

  /**
   * Gives the pages to `done`, in this turn if they are at hand; undefined when the engine is out of reach. Not
   * called when the connection has ended meanwhile. The promise, if there is one, is of that.
   */
  read(
    connection: Connection,
    progress: Progress,
    reads: () => (HistoryPage | Promise<HistoryPage>)[],
    done: (pages: readonly HistoryPage[] | undefined) => void,
  ): Promise<void> | undefined {
    let pages: (HistoryPage | Promise<HistoryPage>)[];
    try {
      pages = reads();
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      done(undefined);
      return undefined;
    }
    if (pages.every((page) => !(page instanceof Promise))) {
      done(pages as HistoryPage[]);
      return undefined;
    }
    progress.reads++;
    const goOn = (read: readonly HistoryPage[] | undefined): void => {
      if (connection.progress !== progress) return;
      progress.reads--;
      done(read);
      while (progress.reads === 0 && connection.progress === progress) {
        const command = progress.queue.shift();
        if (command === undefined) return;
        this.#options.goOn(connection, new Set(command.topics), command.since);
      }
    };
    return Promise.all(pages).then(goOn, (error) => {
      if (!(error instanceof EngineUnavailable)) {
        this.#options.end(connection, "internal");
        throw error;
      }
      goOn(undefined);
    });
  }
}
