// How much each client may ask for in a second: its frames and pings, and what one frame asks for besides the first
// thing.
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";

const WINDOW_MS = 1_000;

/** This many newly joined topics count as one frame: each takes 2 us, or 8 to 12 us with a position. */
const TOPICS_PER_FRAME = 8;

export class RateLimit {
  readonly #framesMax: number;
  readonly #connections: Connections;
  #windowEndsAt = 0;

  /** A connection that asks for more than `framesMax` in a second is ended. */
  constructor(framesMax: number, connections: Connections) {
    this.#framesMax = framesMax;
    this.#connections = connections;
  }

  /** Counts a frame or ping, or several; false when that was too much and the connection was ended. */
  count(connection: Connection, frames = 1): boolean {
    connection.frames += frames;
    if (connection.frames <= this.#framesMax) return true;
    this.#connections.end(connection, "too_many_frames");
    return false;
  }

  /** Counts the topics that a frame newly joins. A single frame with as many as there may be always passes. */
  countTopics(connection: Connection, names: ReadonlySet<string>): void {
    const before = new Set(connection.topics.map(({ name }) => name));
    let joined = 0;
    for (const name of names) if (!before.has(name)) joined++;
    connection.frames += Math.floor(joined / TOPICS_PER_FRAME);
  }

  /** To be called often: once a second, all connections count from 0 again. Cost: then, all connections. */
  expire(now: number): void {
    if (now < this.#windowEndsAt) return;
    this.#windowEndsAt = now + WINDOW_MS;
    for (const connection of this.#connections.all()) connection.frames = 0;
  }
}
