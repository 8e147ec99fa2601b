// The client registry of this node: connections by id and by user, and ids whose connections are about to open.
// A user without connections leaves nothing behind.
import type { Connection } from "./connection";

export class Registry {
  /** Claimed for clients whose handshakes are under way, with how many. */
  readonly #claims = new Map<string, number>();
  readonly #connections = new Map<string, Connection>();
  readonly #users = new Map<string, Connection[]>();

  get size(): number {
    return this.#connections.size;
  }

  get users(): number {
    return this.#users.size;
  }

  userNames(): IterableIterator<string> {
    return this.#users.keys();
  }

  connections(): IterableIterator<Connection> {
    return this.#connections.values();
  }

  connection(id: string): Connection | undefined {
    return this.#connections.get(id);
  }

  /** The user's open connections; do not keep or change the list. */
  ofUser(user: string): readonly Connection[] {
    return this.#users.get(user) ?? [];
  }

  claim(id: string): void {
    this.#claims.set(id, (this.#claims.get(id) ?? 0) + 1);
  }

  /** One handshake is over; false if the claim was ended meanwhile. */
  unclaim(id: string): boolean {
    const count = this.#claims.get(id);
    if (count === undefined) return false;
    if (count === 1) this.#claims.delete(id);
    else this.#claims.set(id, count - 1);
    return true;
  }

  /** Handshakes under way with this id will not open. */
  endClaims(id: string): void {
    this.#claims.delete(id);
  }

  /** Whether this node has a connection with this id, or is about to. */
  has(id: string): boolean {
    return this.#connections.has(id) || this.#claims.has(id);
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
