// The first topics of a socket that can resume wait for the client's first command: it must not be given live
// publications before it has said from where on. A client that keeps silent is let in a moment after its first pong.
import type { Connection } from "./connection";
import type { Entrance, Progress } from "./entrance";
import type { Topic } from "./topics";

/**
 * From the first pong on: that took as long to come as a command which was sent at the opening, but a browser gives
 * its program the time to send one only after it has answered the ping.
 */
const HOLD_MS = 250;

export class Holding {
  readonly #connections = new Set<Connection>();
  readonly #now: () => number;
  readonly #letIn: (connection: Connection, progress: Progress, entrance: Entrance) => void;

  constructor(
    now: () => number,
    letIn: (connection: Connection, progress: Progress, entrance: Entrance) => void,
  ) {
    this.#now = now;
    this.#letIn = letIn;
  }

  add(connection: Connection): void {
    this.#connections.add(connection);
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection);
  }

  pong({ progress }: Connection): void {
    if (progress !== undefined) progress.releaseAt ??= this.#now() + HOLD_MS;
  }

  /** Lets in whose time is over. Cost: the held connections. */
  release(): void {
    const now = this.#now();
    for (const connection of this.#connections) {
      const { progress } = connection;
      if (progress?.releaseAt === undefined || progress.releaseAt > now) continue;
      if (progress.reads > 0) continue;
      this.#connections.delete(connection);
      for (const entrance of progress.entrances.filter(({ held }) => held)) {
        if (connection.progress === progress) this.#letIn(connection, progress, entrance);
      }
    }
  }

  /** Lets all into this topic, because what has been kept for them has become too much. */
  releaseInto(topic: Topic): void {
    for (const connection of [...this.#connections]) {
      const { progress } = connection;
      const entrance = progress?.entrances.find((other) => other.held && other.topic === topic);
      if (progress === undefined || entrance === undefined || progress.reads > 0) continue;
      // Who has lost track must read, and that not in the middle of a delivery: `release` sees to it.
      if (entrance.losses !== topic.tail.losses) continue;
      this.#letIn(connection, progress, entrance);
    }
  }
}
