// Reads history for connections that are subscribing, and keeps their later commands in order meanwhile.
import type { RateLimit } from "../connecting/rate-limit";
import type { TopicsCommand } from "../contracts/commands";
import { EngineUnavailable, type HistoryPage } from "../contracts/engine";
import type { Maybe } from "../contracts/maybe";
import type { Position } from "../contracts/publication";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Waves } from "../state/fan-out/waves";
import type { Subscriptions } from "../state/subscriptions";

/** Positions that a client gives, by topic. */
export type Since = ReadonlyMap<string, Position>;

/** What reading came to: the pages, or that the engine is out of reach. The connection may have ended meanwhile. */
type Pages = readonly HistoryPage[] | "unavailable";

/** Commands of a connection that may wait while history is read for an earlier one. */
const QUEUE_MAX = 16;

export class HistoryReader {
  readonly #connections: Connections;
  readonly #rateLimit: RateLimit;
  readonly #waves: Pick<Waves, "flush">;
  readonly #choose: (connection: Connection, names: ReadonlySet<string>, since: Since) => void;

  /** `choose` carries out a command that has waited. */
  constructor(
    connections: Connections,
    rateLimit: RateLimit,
    waves: Pick<Waves, "flush">,
    choose: (connection: Connection, names: ReadonlySet<string>, since: Since) => void,
  ) {
    this.#connections = connections;
    this.#rateLimit = rateLimit;
    this.#waves = waves;
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

  /**
   * Gives the pages of these topics that `ask` asks for. What is in them has left for the sockets, so that it never comes
   * again. Commands are queued from now until `done`.
   */
  read(
    connection: Connection,
    subscriptions: Subscriptions,
    topics: readonly string[],
    ask: (topic: string) => Maybe<HistoryPage>,
  ): Maybe<Pages> {
    subscriptions.reads++;
    let pages: Maybe<HistoryPage>[];
    try {
      pages = topics.map(ask);
    } catch (error) {
      if (error instanceof EngineUnavailable) return "unavailable";
      throw error;
    }
    if (pages.every((page) => !(page instanceof Promise))) {
      this.#flush(topics);
      return pages as HistoryPage[];
    }
    return Promise.all(pages).then(
      (read) => {
        this.#flush(topics);
        return read;
      },
      (error: unknown) => {
        if (error instanceof EngineUnavailable) return "unavailable";
        this.#connections.end(connection, "internal");
        throw error;
      },
    );
  }

  #flush(topics: readonly string[]): void {
    for (const topic of topics) this.#waves.flush(topic);
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
