// Finds peers that are gone without a close. Only a pong proves that a peer is alive: what is sent to it proves nothing
// (Bun's own idleTimeout starts again at every send, so it never ends a silent client that is being sent to).
import type { Connection } from "../state/connection";

export class Heartbeat {
  readonly #pingMs: number;
  readonly #pongMs: number;

  constructor(pingMs: number, pongMs: number) {
    this.#pingMs = pingMs;
    this.#pongMs = pongMs;
  }

  /** `spread`, from 0 to 1, puts the first ping between half and a whole interval away, so that pings are not in lockstep. */
  begin(connection: Connection, now: number, spread: number): void {
    connection.awaitingPong = false;
    connection.heartbeatAt = now + this.#pingMs * (0.5 + spread / 2);
  }

  /** Sends the first ping at once: its pong shows how far away the peer is. */
  beginWithPing(connection: Connection, now: number): void {
    this.#ping(connection, now);
  }

  pong(connection: Connection, now: number): void {
    if (!connection.awaitingPong) return;
    connection.awaitingPong = false;
    connection.heartbeatAt = now + this.#pingMs;
  }

  /** Pings if it is time to; true when the pong is overdue and the connection must be ended. */
  isOverdue(connection: Connection, now: number): boolean {
    if (now < connection.heartbeatAt) return false;
    if (connection.awaitingPong) return true;
    this.#ping(connection, now);
    return false;
  }

  #ping(connection: Connection, now: number): void {
    const { protocol, socket } = connection;
    connection.awaitingPong = true;
    connection.heartbeatAt = now + this.#pongMs;
    if (protocol.kind === "session") socket?.send(protocol.ping);
    else socket?.ping();
  }
}
