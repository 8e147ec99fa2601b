// The client registry: registrations that wait for their socket, and connections by id and by user.
// An id is in at most one of the two maps; a user without connections leaves nothing behind.
import type { Connection } from "./connection";

export interface Registration {
  readonly id: string;
  readonly user: string;
  /** When it ends if nobody has connected, in ms of the relay's clock. */
  readonly expiresAt: number;
  /** Topics to begin with, in place of the defaults. */
  readonly topics?: readonly string[] | undefined;
}

export class Registry {
  // All registrations live equally long, so a Map's insertion order is also the order of expiry.
  readonly #waiting = new Map<string, Registration>();
  readonly #connections = new Map<string, Connection>();
  /** By what others may know them by, where that is not their id. */
  readonly #named = new Map<string, Connection>();
  readonly #users = new Map<string, Connection[]>();

  get waiting(): number {
    return this.#waiting.size;
  }

  get size(): number {
    return this.#connections.size;
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

  wait(registration: Registration): void {
    this.#waiting.set(registration.id, registration);
  }

  /** The waiting registration of this id, unless its time is over. */
  waitingFor(id: string, now: number): Registration | undefined {
    const registration = this.#waiting.get(id);
    return registration !== undefined && registration.expiresAt > now ? registration : undefined;
  }

  /** Ends the waiting registration of this id; false if there is none. */
  stopWaiting(id: string): boolean {
    return this.#waiting.delete(id);
  }

  /** Ends the registrations whose time is over; answers how many. Cost: those, plus one. */
  expire(now: number): number {
    let expired = 0;
    for (const registration of this.#waiting.values()) {
      if (registration.expiresAt > now) break;
      this.#waiting.delete(registration.id);
      expired++;
    }
    return expired;
  }

  /** The connection takes its id over from the waiting registration. */
  add(connection: Connection): void {
    this.#waiting.delete(connection.id);
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
