// How much each client asks for in a second: its frames and pings, and what one frame asks for beside the first thing.

import type { CloseName } from "../contracts/errors";
import type { Connection } from "../state/connection";

const WINDOW_MS = 1_000;

/** Topics to enter that count like a frame: each takes 2 us, 8 to 12 with positions. */
const TOPICS = 8;

export class RateLimit {
  readonly #max: number;
  readonly #end: (connection: Connection, why: CloseName) => void;
  #windowEnds = 0;

  /** `max` is what a connection may ask for in a second; one that asks for more is ended. */
  constructor(max: number, end: (connection: Connection, why: CloseName) => void) {
    this.#max = max;
    this.#end = end;
  }

  /** Counts a frame or ping, or more; false when it was too much. */
  add(connection: Connection, count = 1): boolean {
    connection.frames += count;
    if (connection.frames <= this.#max) return true;
    this.#end(connection, "too_many_frames");
    return false;
  }

  /** Counts the topics that a frame enters. A frame with all that there may be passes by itself. */
  addTopics(connection: Connection, names: ReadonlySet<string>): void {
    const has = new Set(connection.topics.map(({ name }) => name));
    let entered = 0;
    for (const name of names) if (!has.has(name)) entered++;
    connection.frames += Math.floor(entered / TOPICS);
  }

  /** To be called often; true when a second is over and all connections count from 0 again. */
  isOver(now: number): boolean {
    if (now < this.#windowEnds) return false;
    this.#windowEnds = now + WINDOW_MS;
    return true;
  }
}
