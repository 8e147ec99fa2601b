// Reads history for connections that are subscribing, and keeps their later commands in order meanwhile.
import type { RateLimit } from "../connecting/rate-limit";
import type { TopicsCommand } from "../contracts/commands";
import { EngineUnavailable, type HistoryPage } from "../contracts/engine";
import type { Maybe } from "../contracts/maybe";
import type { Position } from "../contracts/publication";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Subscriptions } from "../state/subscriptions";

/** Positions that a client gives, by topic. */
export type Since = ReadonlyMap<string, Position>;

/** What reading came to: the pages, or that the engine is out of reach, or that the connection has ended meanwhile. */
type Pages = readonly HistoryPage[] | "unavailable" | "ended";

/** Commands of a connection that may wait while history is read for an earlier one. */
const QUEUE_MAX = 16;

export class HistoryReader {
  readonly #connections: Connections;
  readonly #rateLimit: RateLimit;
  readonly #choose: (connection: Connection, names: ReadonlySet<string>, since: Since) => void;

  /** `choose` carries out a command that has waited. */
  constructor(
    connections: Connections,
    rateLimit: RateLimit,
    choose: (connection: Connection, names: ReadonlySet<string>, since: Since) => void,
  ) {
    this.#connections = connections;
    this.#rateLimit = rateLimit;
    this.#choose = choose;
  }

  /** Queues a command that has to wait; false if there is nothing to wait for. Too many waiting commands end the connection. */
  queue(
    connection: Connection,
    subscriptions: Subscriptions,
    names: ReadonlySet<string>,
    since: Since,
  ): boolean {
    if (subscriptions.reads === 0) return false;
    if (subscriptions.queue.length >= QUEUE_MAX) {
      this.#connections.end(connection, "too_many_frames");
    } else subscriptions.queue.push({ kind: "topics", topics: [...names], since });
    return true;
  }

  /** Queues commands until the next second if the connection may ask for no more in this one. */
  pauseIfExhausted(connection: Connection, subscriptions: Subscriptions): boolean {
    if (subscriptions.reads > 0 || !this.#rateLimit.isExhausted(connection)) return false;
    subscriptions.reads++;
    this.#rateLimit.pause(() => this.done(connection, subscriptions));
    return true;
  }

  /** Gives the pages that `ask` asks for. Commands are queued from now until `done`. */
  read(
    connection: Connection,
    subscriptions: Subscriptions,
    ask: () => Maybe<HistoryPage>[],
  ): Maybe<Pages> {
    subscriptions.reads++;
    let pages: Maybe<HistoryPage>[];
    try {
      pages = ask();
    } catch (error) {
      if (error instanceof EngineUnavailable) return "unavailable";
      throw error;
    }
    if (pages.every((page) => !(page instanceof Promise))) return pages as HistoryPage[];
    const hasEnded = () => connection.subscriptions !== subscriptions;
    return Promise.all(pages).then(
      (read) => (hasEnded() ? "ended" : read),
      (error: unknown) => {
        if (error instanceof EngineUnavailable) return hasEnded() ? "ended" : "unavailable";
        this.#connections.end(connection, "internal");
        throw error;
      },
    );
  }

  /** What was read has been dealt with: commands that have waited for it are carried out. */
  done(connection: Connection, subscriptions: Subscriptions): void {
    subscriptions.reads--;
    while (subscriptions.reads === 0 && connection.subscriptions === subscriptions) {
      if (subscriptions.queue.length === 0) return;
      if (this.pauseIfExhausted(connection, subscriptions)) return;
      const command = subscriptions.queue.shift() as TopicsCommand;
      this.#choose(connection, new Set(command.topics), command.since);
    }
  }
}
