// The open connections of this node: finding them, sending to them, ending them, and how many there may be.
// When a connection ends, all its traces go first and then its socket, because the close handler may run inside `close`.
import type { AfterRelease, Registrations } from "../contracts/engine";
import { type Refusal, tooManyAddressConnections, tooManyConnections } from "../contracts/errors";
import type { RelayOptions } from "../contracts/options";
import { CLOSES, type CloseName } from "../contracts/protocol";
import type { Tally } from "../contracts/tally";
import { type Frame, fits } from "../contracts/transport";
import { type EndName, type Journal, TOPICS_MAX } from "../journal/journal";
import { Claims } from "./claims";
import type { Connection } from "./connection";
import type { Waves } from "./fan-out/waves";

type Listener = (connection: Connection) => void;

/** A user has a first connection here, or has lost the last one. */
type UserListener = (user: string, change: "came" | "went") => void;

/** How a connection ends, and what becomes of its registration. */
interface End {
  readonly why: EndName;
  readonly next: AfterRelease;
  readonly code: number | undefined;
}

/** What a client is told of its end. */
interface Told {
  readonly code: number;
  readonly reason: string;
  readonly message?: string | undefined;
}

export class Connections {
  readonly #connectionsMax: number;
  readonly #addressConnectionsMax: number;
  readonly #backpressureBytes: number;
  readonly #registrations: Registrations;
  readonly #tally: Tally;
  readonly #waves: Pick<Waves, "flush">;
  readonly #witness: RelayOptions["witness"];
  /** Those that have said who they are. */
  readonly #connections = new Map<string, Connection>();
  /** By the id that others may know, where that is another one. */
  readonly #byPublicId = new Map<string, Connection>();
  /** A user without connections leaves nothing behind. */
  readonly #users = new Map<string, Connection[]>();
  /** How many are open of each address that is known; an address without any leaves nothing behind. */
  readonly #ofAddresses = new Map<string, number>();
  /** Sessions that have not said who they are. */
  readonly #unidentified = new Set<Connection>();
  readonly #addListeners: Listener[] = [];
  readonly #endListeners: Listener[] = [];
  readonly #userListeners: UserListener[] = [];
  /** What is remembered of connections that have ended. */
  readonly journal: Journal;
  /** Claims of registrations for clients whose handshakes are under way. */
  readonly claims = new Claims();
  /** Handshakes that wait for the engine to claim their registration. */
  claiming = 0;
  /** From the beginning of the shutdown on there are no new registrations, connections or publications. */
  isShuttingDown = false;

  constructor(
    {
      limits,
      engine,
      tally,
      witness,
    }: Pick<RelayOptions, "limits" | "engine" | "tally" | "witness">,
    waves: Pick<Waves, "flush">,
    journal: Journal,
  ) {
    this.#waves = waves;
    this.#witness = witness;
    this.journal = journal;
    this.#connectionsMax = limits.connectionsMax;
    this.#addressConnectionsMax = limits.addressConnectionsMax || Number.POSITIVE_INFINITY;
    this.#backpressureBytes = limits.backpressureBytes;
    this.#registrations = engine.registrations;
    this.#tally = tally;
  }

  /** The listener is called for each connection when its user is known. */
  onAdd(listener: Listener): void {
    this.#addListeners.push(listener);
  }

  /** The listener is called for each connection that ends, before its socket is closed. */
  onEnd(listener: Listener): void {
    this.#endListeners.push(listener);
  }

  onUser(listener: UserListener): void {
    this.#userListeners.push(listener);
  }

  /** Connections that have said who they are. */
  get size(): number {
    return this.#connections.size;
  }

  /** All open connections. */
  get open(): number {
    return this.#connections.size + this.#unidentified.size;
  }

  /** Users with open connections. */
  get users(): number {
    return this.#users.size;
  }

  /** The users with open connections here. */
  userNames(): IterableIterator<string> {
    return this.#users.keys();
  }

  /** How many more there may be. Connections that are about to open take descriptors like all others. */
  get room(): number {
    return this.#connectionsMax - this.open - this.claims.size - this.claiming;
  }

  /** Refuses (`too_many_connections`, `too_many_address_connections`) one more. */
  checkRoom(address: string): Refusal | undefined {
    return this.room > 0 ? this.checkAddress(address) : tooManyConnections(this.#connectionsMax);
  }

  /** Refuses (`too_many_address_connections`) one more of this address. */
  checkAddress(address: string): Refusal | undefined {
    const max = this.#addressConnectionsMax;
    const isFull = address !== "" && (this.#ofAddresses.get(address) ?? 0) >= max;
    return isFull ? tooManyAddressConnections(max) : undefined;
  }

  all(): IterableIterator<Connection> {
    return this.#connections.values();
  }

  unidentified(): IterableIterator<Connection> {
    return this.#unidentified.values();
  }

  byId(id: string): Connection | undefined {
    return this.#connections.get(id);
  }

  byPublicId(publicId: string): Connection | undefined {
    return this.#byPublicId.get(publicId);
  }

  /** The user's open connections. The list must be neither kept nor changed. */
  ofUser(user: string): readonly Connection[] {
    return this.#users.get(user) ?? [];
  }

  setPublicId(connection: Connection, publicId: string): void {
    connection.publicId = publicId;
    this.#byPublicId.set(publicId, connection);
  }

  /** A session that has not said who it is. */
  addUnidentified(connection: Connection): void {
    this.#unidentified.add(connection);
    this.#countOpened(connection);
  }

  /** A connection whose user is known. */
  add(connection: Connection): void {
    if (!this.#unidentified.delete(connection)) this.#countOpened(connection);
    this.#connections.set(connection.id, connection);
    for (const listener of this.#addListeners) listener(connection);
    this.#addToUser(connection);
  }

  #addToUser(connection: Connection): void {
    // The anonymous user has no list: nothing is ever sent to it, and it may have very many connections.
    if (connection.user === "") return;
    const siblings = this.#users.get(connection.user);
    if (siblings !== undefined) {
      siblings.push(connection);
      return;
    }
    this.#users.set(connection.user, [connection]);
    for (const listener of this.#userListeners) listener(connection.user, "came");
  }

  /** The client of an open connection says now who it is. */
  identified(connection: Connection, user: string): void {
    connection.user = user;
    this.#addToUser(connection);
  }

  #countOpened({ protocol, address }: Connection): void {
    const tally = this.#tally.of(protocol);
    tally.open++;
    tally.opened++;
    if (address !== "") this.#ofAddresses.set(address, (this.#ofAddresses.get(address) ?? 0) + 1);
  }

  #countClosed({ protocol, address }: Connection): void {
    this.#tally.of(protocol).open--;
    if (address === "") return;
    const left = (this.#ofAddresses.get(address) ?? 1) - 1;
    if (left === 0) this.#ofAddresses.delete(address);
    else this.#ofAddresses.set(address, left);
  }

  /** Sends a frame; false when that was too much for the connection, which was ended as a slow consumer, or it has ended. */
  send(connection: Connection, frame: Frame): boolean {
    const { socket } = connection;
    if (socket === undefined) return false;
    // Checked beforehand: Bun cuts a socket off that is over its limit, and what waits there is lost.
    const hasRoom = fits(socket.getBufferedAmount(), frame.length, this.#backpressureBytes);
    if (hasRoom && socket.send(frame) !== 0) return true;
    this.end(connection, "slow_consumer");
    return false;
  }

  /**
   * Ends a connection for a reason of the relay's own. `message` says more than fits into a close frame, to clients whose protocol has
   * a frame for that.
   */
  end(connection: Connection, why: CloseName, message?: string): void {
    // After a shutdown all clients reconnect. (The registration of a replaced one belongs to the newer connection, so
    // releasing it does nothing.)
    const comesBack = why === "shutdown" || (CLOSES[why].reconnect && mayReconnect(connection));
    const { code, reason } = connection.protocol.closes[why];
    this.#end(connection, { why, next: comesBack ? "wait" : "end", code, reason, message });
  }

  /** Ends a connection and its registration for the backend's reason. */
  disconnect(connection: Connection, code: number, reason: string): void {
    const { protocol } = connection;
    const own = protocol.kind === "session" ? protocol.disconnectCode?.(code) : undefined;
    this.#end(connection, { why: "disconnected", next: "end", code: own ?? code, reason });
  }

  /** The peer has closed the socket, and the registration ends with it. */
  closed(connection: Connection, code?: number): void {
    this.#forget(connection, { why: "closed", next: "end", code });
  }

  /**
   * The socket is gone without a close: where the protocol can resume, the registration waits for its client again. The
   * runtime cuts off a slow consumer like that.
   */
  lost(connection: Connection, why: "lost" | "slow_consumer" = "lost", code?: number): void {
    this.#forget(connection, { why, next: mayReconnect(connection) ? "wait" : "end", code });
  }

  #end(connection: Connection, end: End & Told): void {
    // What was accepted before, it is still sent. That can end it.
    for (const { name } of connection.topics) this.#waves.flush(name);
    const { socket, protocol } = connection;
    const { code, reason, message = reason } = end;
    this.#forget(connection, end);
    const last = protocol.kind === "session" ? protocol.encodeDisconnect(code, message) : undefined;
    if (last !== undefined) socket?.send(last);
    socket?.close(code, reason);
  }

  /** Removes all traces of a connection here, and releases its registration. */
  #forget(connection: Connection, { why, next, code }: End): void {
    connection.socket = undefined;
    const wasUnidentified = this.#unidentified.delete(connection);
    const wasIdentified = !wasUnidentified && this.#remove(connection);
    if (!wasUnidentified && !wasIdentified) return;
    this.#countClosed(connection);
    if (wasIdentified) this.#note(connection, why, code);
    for (const listener of this.#endListeners) listener(connection);
    if (wasIdentified) this.#registrations.release(connection.id, connection.term, next);
  }

  /** Cost: at most `TOPICS_MAX`. */
  #note(connection: Connection, why: EndName, code: number | undefined): void {
    const { id, user, topics, subscriptions } = connection;
    const protocol = connection.protocol.name;
    const some = topics.slice(0, TOPICS_MAX);
    this.journal.connectionEnded({
      id,
      user,
      protocol,
      why,
      code,
      topics: some.map((topic) => ({
        name: topic.name,
        position: topic.position,
        since: subscriptions?.completeSince.get(topic),
      })),
      topicCount: topics.length,
    });
    if (why !== "slow_consumer") return;
    this.#witness?.tell({ kind: "slow", user, protocol, topics: some.map(({ name }) => name) });
  }

  /** False if the connection is not, or no longer, the one with its id. Cost: the user's connections. */
  #remove(connection: Connection): boolean {
    if (this.#connections.get(connection.id) !== connection) return false;
    this.#connections.delete(connection.id);
    this.#byPublicId.delete(connection.publicId);
    if (connection.user === "") return true;
    const siblings = this.#users.get(connection.user) ?? [];
    if (siblings.length <= 1) {
      this.#users.delete(connection.user);
      for (const listener of this.#userListeners) listener(connection.user, "went");
      return true;
    }
    const last = siblings.pop();
    const at = last === connection ? -1 : siblings.indexOf(connection);
    if (last !== undefined && at >= 0) siblings[at] = last;
    return true;
  }
}

/** Whether the registration of a connection that was lost waits for its client. A session has no registration. */
function mayReconnect({ protocol }: Connection): boolean {
  return protocol.kind === "topics" && protocol.canResume;
}
