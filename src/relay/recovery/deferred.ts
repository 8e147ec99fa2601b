// The first topics of a socket that can resume wait for the client's first command: it must not be given live
// publications before it has said from where on. A client that keeps silent is let in a moment after its first pong.

import type { Connection } from "../state/connection";
import type { Entrance, Progress } from "../state/subscription";
import type { Topic } from "../state/topic";

/**
 * From the first pong on: that took as long to come as a command which was sent at the opening, but a browser gives
 * its program the time to send one only after it has answered the ping.
 */
const HOLD_MS = 250;

/** How often those that are held are looked at. */
const LOOK_MS = 50;

export interface HoldingOptions {
  readonly now: () => number;
  readonly after: (ms: number, work: () => void) => () => void;
  readonly letIn: (connection: Connection, progress: Progress, entrance: Entrance) => void;
}

export class Holding {
  readonly #options: HoldingOptions;
  readonly #connections = new Set<Connection>();
  /** It will look at them. Not while there are none: a process that wakes 20 times a second for nothing costs 3 ms of it. */
  #isLooking = false;

  constructor(options: HoldingOptions) {
    this.#options = options;
  }

  add(connection: Connection): void {
    this.#connections.add(connection);
    this.#look();
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection);
  }

  pong({ progress }: Connection): void {
    if (progress !== undefined) progress.releaseAt ??= this.#options.now() + HOLD_MS;
  }

  #look(): void {
    if (this.#isLooking || this.#connections.size === 0) return;
    this.#isLooking = true;
    this.#options.after(LOOK_MS, () => {
      this.#isLooking = false;
      this.#release();
      this.#look();
    });
  }

  /** Lets in whose time is over. Cost: the held connections. */
  #release(): void {
    const now = this.#options.now();
    for (const connection of this.#connections) {
      const { progress } = connection;
      if (progress?.releaseAt === undefined || progress.releaseAt > now) continue;
      if (progress.reads > 0) continue;
      this.#connections.delete(connection);
      for (const entrance of progress.entrances.filter(({ held }) => held)) {
        if (connection.progress === progress) this.#options.letIn(connection, progress, entrance);
      }
    }
  }

  /** Lets all into this topic, because what has been kept for them has become too much. */
  releaseInto(topic: Topic): void {
    for (const connection of [...this.#connections]) {
      const { progress } = connection;
      const entrance = progress?.entrances.find((other) => other.held && other.topic === topic);
      if (progress === undefined || entrance === undefined || progress.reads > 0) continue;
      // Who has lost track must read, and that not in the middle of a delivery: `#release` sees to it.
      if (entrance.losses !== topic.tail.losses) continue;
      this.#options.letIn(connection, progress, entrance);
    }
  }
}
