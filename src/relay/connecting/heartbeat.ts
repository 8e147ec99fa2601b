// Finds peers that are gone without a close. Only a pong counts as life: what we send proves nothing
// (Bun's own idleTimeout is re-armed by every send, so it never ends a mute client that is sent to).
import type { Connection } from "../state/connection";

export class Heartbeat {
  readonly #pingMs: number;
  readonly #pongMs: number;

  constructor(pingMs: number, pongMs: number) {
    this.#pingMs = pingMs;
    this.#pongMs = pongMs;
  }

  /** `spread` from 0 to 1 puts the first ping between half and a whole interval: no pings in lockstep. */
  begin(connection: Connection, now: number, spread: number): void {
    connection.awaitingPong = false;
    connection.heartbeatAt = now + this.#pingMs * (0.5 + spread / 2);
  }

  /** The first ping at once: its pong says how far away the peer is. */
  beginWithPing(connection: Connection, now: number): void {
    this.#ping(connection, now);
  }

  pong(connection: Connection, now: number): void {
    if (!connection.awaitingPong) return;
    connection.awaitingPong = false;
    connection.heartbeatAt = now + this.#pingMs;
  }

  /** Pings if it is time to; true when the pong is overdue and the peer must be given up. */
  overdue(connection: Connection, now: number): boolean {
    if (now < connection.heartbeatAt) return false;
    if (connection.awaitingPong) return true;
    this.#ping(connection, now);
    return false;
  }

  #ping(connection: Connection, now: number): void {
    connection.awaitingPong = true;
    connection.heartbeatAt = now + this.#pongMs;
    const { session } = connection.protocol;
    if (session === undefined) connection.socket?.ping();
    else connection.socket?.send(session.ping);
  }
}
