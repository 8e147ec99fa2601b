// The client registry of this node: connections by id and by user, and ids whose connections are about to open.
// A user without connections leaves nothing behind.
import type { Connection } from "./connection";

/** How much later than another node's word the engine's answer may be heard, at least. */
const LATE_MS = 5_000;

export class Connections {
  /** Claimed for clients whose handshakes are under way: the terms. */
  readonly #claims = new Map<string, number[]>();
  #claimCount = 0;
  /** What another node has ended of late, up to which term: its word may overtake the engine's answer. */
  #ended = new Map<string, number>();
  #endedEarlier = new Map<string, number>();
  #turnAt = 0;
  readonly #connections = new Map<string, Connection>();
  /** By what others may know them by, where that is not their id. */
  readonly #named = new Map<string, Connection>();
  readonly #users = new Map<string, Connection[]>();

  get size(): number {
    return this.#connections.size;
  }

  /** Handshakes under way. */
  get claims(): number {
    return this.#claimCount;
  }

  get users(): number {
    return this.#users.size;
  }

  connections(): IterableIterator<Connection> {
    return this.#connections.values();
  }

  connection(id: string): Connection | undefined {
    return this.#connections.get(id);
  }

  /** Gives a connection the id that others may know. */
  name(connection: Connection, publicId: string): void {
    connection.publicId = publicId;
    this.#named.set(publicId, connection);
  }

  named(publicId: string): Connection | undefined {
    return this.#named.get(publicId);
  }

  /** The user's open connections; do not keep or change the list. */
  ofUser(user: string): readonly Connection[] {
    return this.#users.get(user) ?? [];
  }

  claim(id: string, term: number): void {
    if (term < this.#endedUpTo(id)) return;
    this.#claimCount++;
    const terms = this.#claims.get(id);
    if (terms === undefined) this.#claims.set(id, [term]);
    else terms.push(term);
  }

  /** A handshake is over; false if its claim was ended meanwhile. */
  unclaim({ id, term }: Connection): boolean {
    const terms = this.#claims.get(id);
    if (terms?.includes(term) !== true) return false;
    this.#claimCount--;
    if (terms.length === 1) this.#claims.delete(id);
    else terms.splice(terms.indexOf(term), 1);
    return true;
  }

  /** The same for one that is about to open; why it must not, if so. */
  takeClaim(connection: Connection): "deleted" | "replaced" | undefined {
    const isClaimed = this.unclaim(connection);
    const { id, term } = connection;
    if ((this.#connections.get(id)?.term ?? 0) > term) return "replaced";
    if (isClaimed) return undefined;
    return Number.isFinite(this.#endedUpTo(id)) ? "replaced" : "deleted";
  }

  /** Handshakes under way with this id and a smaller term will not open; nor those that are heard of a moment later. */
  endClaims(id: string, before: number): void {
    // Words of several nodes come in any order.
    this.#ended.set(id, Math.max(before, this.#endedUpTo(id)));
    const terms = this.#claims.get(id) ?? [];
    const rest = terms.filter((term) => term >= before);
    this.#claimCount -= terms.length - rest.length;
    if (rest.length === 0) this.#claims.delete(id);
    else this.#claims.set(id, rest);
  }

  /** To be called often: forgets, some seconds later, what another node has ended. */
  sweep(now: number): void {
    if (now < this.#turnAt) return;
    this.#turnAt = now + LATE_MS;
    this.#endedEarlier = this.#ended;
    this.#ended = new Map();
  }

  #endedUpTo(id: string): number {
    return Math.max(this.#ended.get(id) ?? 0, this.#endedEarlier.get(id) ?? 0);
  }

  add(connection: Connection): void {
    this.#connections.set(connection.id, connection);
    // The anonymous user has no list: nothing is ever sent to it, and it may have very many.
    if (connection.user === "") return;
    const siblings = this.#users.get(connection.user);
    if (siblings === undefined) this.#users.set(connection.user, [connection]);
    else siblings.push(connection);
  }

  /** False if the connection is not (or no longer) the one of its id. Cost: the user's connections. */
  remove(connection: Connection): boolean {
    if (this.#connections.get(connection.id) !== connection) return false;
    this.#connections.delete(connection.id);
    this.#named.delete(connection.publicId);
    if (connection.user === "") return true;
    const siblings = this.#users.get(connection.user) ?? [];
    if (siblings.length <= 1) {
      this.#users.delete(connection.user);
      return true;
    }
    const last = siblings.pop();
    const at = last === connection ? -1 : siblings.indexOf(connection);
    if (last !== undefined && at >= 0) siblings[at] = last;
    return true;
  }
}
