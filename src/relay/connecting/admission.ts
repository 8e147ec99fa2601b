// Who may come in: registrations, and the connections that use them. What all nodes know of them is the engine's.

import type { AfterRelease, Claimed, Registration, Registrations } from "../contracts/engine";
import { type CloseName, Refusal, shuttingDown, tooManyConnections } from "../contracts/errors";
import type { Limits } from "../contracts/limits";
import { type Maybe, then } from "../contracts/maybe";
import type { Protocol } from "../contracts/protocol";
import type { Cluster } from "../state/cluster";
import { Connection } from "../state/connection";
import type { Connections } from "../state/registry";
import { checkTopics, toUser } from "../text/checks";

export interface AdmissionOptions {
  readonly limits: Limits;
  readonly registry: Connections;
  readonly registrations: Registrations;
  readonly cluster: Cluster;
  readonly newId: () => string;
  /** Connections that have not said who they are. */
  readonly opened: () => number;
  readonly isShuttingDown: () => boolean;
  readonly end: (connection: Connection, why: CloseName) => void;
}

export class Admission {
  readonly #options: AdmissionOptions;
  /** Handshakes that wait for the engine. */
  #claiming = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    options.cluster.handle("ended", (id: string) => this.#endHere(id, "deleted"));
    options.cluster.handle("replaced", ({ id, term }: { id: string; term: number }) =>
      this.#endHere(id, "replaced", term),
    );
  }

  /**
   * A new registration, to be connected to within the TTL. Refuses what its limits say, and a user or topics that
   * cannot be.
   */
  register(userId: number | string, topics?: readonly string[]): Maybe<Registration | Refusal> {
    if (this.#options.isShuttingDown()) return shuttingDown();
    const user = toUser(userId);
    if (user instanceof Refusal) return user;
    const refusal =
      topics && checkTopics(new Set(topics), this.#options.limits.connectionTopicsMax);
    if (refusal !== undefined) return refusal;
    const registration = { id: this.#options.newId(), user, topics };
    const added = this.#options.registrations.add(registration);
    return then(added, (crowded) => crowded ?? registration);
  }

  /** The engine says that a connection here holds its registration no more: see EngineEvents. */
  ended(id: string, term: number | undefined): void {
    this.#endHere(id, term === undefined ? "deleted" : "replaced", term);
  }

  /** Ends a registration and closes its connection, on any node; false if the id is unknown. */
  unregister(id: string): Maybe<boolean> {
    const wasHere = this.#endHere(id, "deleted");
    return then(this.#options.registrations.remove(id), (removed) => {
      if (removed?.wasRemote === true) this.#options.cluster.notify("ended", id);
      return wasHere || removed !== undefined;
    });
  }

  /** Whether a client may connect with this id. The connection counts from its opening on; without one, `abandon` it. */
  admit(given: string, protocol: Protocol): Maybe<Connection | Refusal> {
    const { registry, registrations } = this.#options;
    if (this.#options.isShuttingDown()) return shuttingDown();
    const full = registry.connection(given) === undefined ? this.#noRoom() : undefined;
    const claimed = registrations.claim(given);
    this.#claiming++;
    if (claimed instanceof Promise) {
      return claimed.then(
        (granted) => this.#admitted(granted, protocol, full),
        (error) => {
          this.#claiming--;
          throw error;
        },
      );
    }
    return this.#admitted(claimed, protocol, full);
  }

  /** An admitted connection will not open. */
  abandon(connection: Connection): void {
    const { registry, registrations } = this.#options;
    const { id, term } = connection;
    registry.unclaim(connection);
    const older = registry.connection(id);
    if (older === undefined) registrations.release(id, term, "wait");
    // It goes on, and holds the registration by the newer claim.
    else older.term = Math.max(older.term, term);
  }

  /** A connection is closed: its registration waits again for the client, or ends. */
  release({ id, term }: Connection, next: AfterRelease): void {
    this.#options.registrations.release(id, term, next);
  }

  /** A connection for a client that will say who it is; refused when there are too many. */
  admitSession(protocol: Protocol): Connection | Refusal {
    if (this.#options.isShuttingDown()) return shuttingDown();
    const full = this.#noRoom();
    if (full !== undefined) return full;
    const connection = new Connection({ id: this.#options.newId(), user: "", term: 0 }, protocol);
    connection.publicId = connection.id;
    return connection;
  }

  #admitted(
    claimed: Claimed | Refusal,
    protocol: Protocol,
    full: Refusal | undefined,
  ): Connection | Refusal {
    this.#claiming--;
    if (claimed instanceof Refusal) return claimed;
    const { id, term, wasRemote } = claimed;
    if (wasRemote) this.#options.cluster.notify("replaced", { id, term });
    const connection = new Connection(claimed, protocol);
    // One whose claim was ended already is closed with its reason when it opens.
    this.#options.registry.claim(id, term);
    if (full === undefined) return connection;
    this.abandon(connection);
    return full;
  }

  /** Connections with a smaller term; false when this node has none. */
  #endHere(id: string, why: "deleted" | "replaced", before = Number.POSITIVE_INFINITY): boolean {
    const { registry, end } = this.#options;
    registry.endClaims(id, before);
    const connection = registry.connection(id);
    if (connection === undefined || connection.term >= before) return false;
    end(connection, why);
    return true;
  }

  /** Those that have not said who they are take descriptors like all others. */
  #noRoom(): Refusal | undefined {
    const { limits, registry, opened } = this.#options;
    const { connectionsMax } = limits;
    const coming = this.#claiming + registry.claims;
    if (registry.size + coming + opened() < connectionsMax) return undefined;
    return tooManyConnections(connectionsMax);
  }
}
