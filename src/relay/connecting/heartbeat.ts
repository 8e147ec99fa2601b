// Finds peers that are gone without a close. What is sent to a peer does not prove that it is alive (Bun's own idleTimeout
// starts again at every send, so it never ends a silent client that is being sent to). A pong does, and so does reading
// what had to wait.
import type { Connection } from "../state/connection";

/** The longest time between two sweeps, which send the pings. */
export const SWEEP_MS_MAX = 1_000;

export class Heartbeat {
  readonly #pingMs: number;
  readonly #pongMs: number;
  /** Connections with an interval of their own. They are few, so the interval is not a field of every connection. */
  readonly #intervals = new WeakMap<Connection, number>();

  constructor(pingMs: number, pongMs: number) {
    this.#pingMs = pingMs;
    this.#pongMs = pongMs;
  }

  /**
   * Pings this connection at least so often; to be called before it opens. Its client ends a connection that is quiet for
   * longer, so a ping is due one sweep earlier.
   */
  setOwnInterval(connection: Connection, ms: number): void {
    this.#intervals.set(connection, Math.max(0, ms - SWEEP_MS_MAX));
  }

  /** `spread`, from 0 to 1, puts the first ping between half and a whole interval away, so that pings are not in lockstep. */
  begin(connection: Connection, now: number, spread: number): void {
    connection.awaitingPong = false;
    connection.heartbeatAt = now + this.#intervalOf(connection) * (0.5 + spread / 2);
  }

  pong(connection: Connection, now: number): void {
    if (!connection.awaitingPong) return;
    connection.awaitingPong = false;
    connection.heartbeatAt = now + this.#intervalOf(connection);
  }

  /**
   * The peer has read what waited for it. Its pong may still be behind much else: on a slow network, the kernel's buffers
   * alone hold more than it can read in the time for a pong.
   */
  progressed(connection: Connection, now: number): void {
    if (connection.awaitingPong) connection.heartbeatAt = now + this.#pongMs;
  }

  /** Pings if it is time to; true when the pong is overdue and the connection must be ended. */
  isOverdue(connection: Connection, now: number): boolean {
    if (now < connection.heartbeatAt) return false;
    if (connection.awaitingPong) return true;
    this.ping(connection, now);
    return false;
  }

  ping(connection: Connection, now: number): void {
    const { protocol, socket } = connection;
    connection.awaitingPong = true;
    connection.heartbeatAt = now + this.#pongMs;
    const frame = protocol.kind === "session" ? protocol.ping : undefined;
    if (frame === undefined) socket?.ping();
    else socket?.send(frame);
  }

  #intervalOf(connection: Connection): number {
    return this.#intervals.get(connection) ?? this.#pingMs;
  }
}
