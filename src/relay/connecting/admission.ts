// Who may connect: registrations, and the connections that use them. What all nodes know of registrations is the
// engine's.
import {
  type Denial,
  Dismissal,
  type PassedHeaders,
  type Questions,
} from "../contracts/backend/questions";
import type { Claimed, Registration, Registrations } from "../contracts/engine";
import { Refusal, shuttingDown } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { Limits, RelayOptions } from "../contracts/options";
import type { Protocol } from "../contracts/protocol";
import type { Authority, ConnectionClaims } from "../contracts/tokens";
import type { Cluster } from "../state/cluster";
import { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { expiryOf } from "../state/session";
import { checkTopics, toUser } from "../text/checks";

export class Admission {
  readonly #limits: Limits;
  readonly #newId: () => string;
  readonly #registrations: Registrations;
  readonly #connections: Connections;
  readonly #cluster: Cluster;

  readonly #questions: Questions | undefined;
  readonly #now: () => number;
  /** Until when the backend lets registered clients stay, in ms of the relay's clock, of those of which it has said so. */
  readonly #expiries = new Map<Connection, number>();

  constructor(
    { limits, newId, engine, questions, now }: RelayOptions,
    connections: Connections,
    cluster: Cluster,
  ) {
    this.#questions = questions;
    this.#now = now;
    connections.onEnd((connection) => this.#expiries.delete(connection));
    this.#limits = limits;
    this.#newId = newId;
    this.#registrations = engine.registrations;
    this.#connections = connections;
    this.#cluster = cluster;
    cluster.handle("ended", (id: string) => this.#end(id, "deleted"));
    cluster.handle("replaced", ({ id, term }: { id: string; term: number }) =>
      this.#end(id, "replaced", term),
    );
  }

  /**
   * A new registration, to be connected to within its TTL. Refuses `shutting_down`, `invalid_user`, `invalid_topic`,
   * `too_many_topics`, `too_many_registrations`, `too_many_user_connections`. Rejects with EngineUnavailable.
   */
  register(userId: number | string, topics?: readonly string[]): Maybe<Registration | Refusal> {
    if (this.#connections.isShuttingDown) return shuttingDown();
    const user = toUser(userId);
    if (user instanceof Refusal) return user;
    const refusal = topics && checkTopics(new Set(topics), this.#limits.connectionTopicsMax);
    if (refusal !== undefined) return refusal;
    const registration = { id: this.#newId(), user, topics };
    return then(this.#registrations.add(registration), (refused) => refused ?? registration);
  }

  /** Ends a registration and closes its connection, on any node; false if the id is unknown. Rejects with EngineUnavailable. */
  unregister(id: string): Maybe<boolean> {
    const wasHere = this.#end(id, "deleted");
    return then(this.#registrations.remove(id), (removed) => {
      if (removed?.wasRemote === true) this.#cluster.notify("ended", id);
      return wasHere || removed !== undefined;
    });
  }

  /** The engine says that this node owns a registration no longer; see EngineEvents. */
  registrationRevoked(id: string, term: number | undefined): void {
    this.#end(id, term === undefined ? "deleted" : "replaced", term);
  }

  /**
   * Whether a client may connect with this id. The connection counts from its opening on; if it will not open, `abandon`
   * must be called. `address` is "" where nothing depends on it. Where the backend is asked who connects, this waits for its answer, and
   * refuses `backend_refused`, `backend_busy` and `backend_unavailable` too. Rejects with EngineUnavailable.
   */
  admit(
    id: string,
    protocol: Protocol,
    address = "",
    headers?: PassedHeaders,
  ): Maybe<Connection | Refusal> {
    const admitted = this.#claim(id, protocol, address, headers);
    const questions = this.#questions;
    if (questions?.asksConnect !== true) return admitted;
    return then(admitted, (connection) =>
      connection instanceof Refusal ? connection : this.#ask(questions, connection),
    );
  }

  /** The registration says who the user is, so the backend can only say no, or add topics. */
  async #ask(questions: Questions, connection: Connection): Promise<Connection | Refusal> {
    const claims = await questions.connect(connection, {}, []);
    const refusal = this.#take(connection, claims);
    if (refusal === undefined) return connection;
    this.abandon(connection);
    this.#connections.journal.refused({ user: connection.user, question: "connect", why: refusal });
    return refusal;
  }

  #take(
    connection: Connection,
    claims: ConnectionClaims | Denial | undefined,
  ): Refusal | undefined {
    if (claims instanceof Refusal) return claims;
    if (claims instanceof Dismissal) return refusalOf(claims);
    if (claims === undefined) return undefined;
    if (claims.user !== "" && claims.user !== connection.user) {
      return new Refusal(
        "backend_refused",
        "The backend knows this client as another user than the registration does.",
      );
    }
    if (claims.ttl !== undefined) this.#expiries.set(connection, expiryOf(claims.ttl, this.#now()));
    if (claims.topics.size > 0) {
      const topics = new Set([...(connection.initialTopics ?? []), ...claims.topics.keys()]);
      const refusal = checkTopics(topics, this.#limits.connectionTopicsMax);
      if (refusal !== undefined) return refusal;
      connection.initialTopics = [...topics];
    }
    return undefined;
  }

  #claim(
    id: string,
    protocol: Protocol,
    address: string,
    headers: PassedHeaders | undefined,
  ): Maybe<Connection | Refusal> {
    const connections = this.#connections;
    if (connections.isShuttingDown) return shuttingDown();
    // A client that replaces its own connection takes no more room.
    const older = connections.byId(id);
    const refusal = older === undefined ? connections.checkRoom(address) : undefined;
    // An address that has its share must not cost the engine anything.
    if (refusal?.code === "too_many_address_connections") return refusal;
    const claimed = this.#registrations.claim(id, address);
    const origin = { address, headers };
    if (!(claimed instanceof Promise)) return this.#admitted(claimed, protocol, origin, refusal);
    connections.claiming++;
    return claimed.then(
      (found) => {
        connections.claiming--;
        return this.#admitted(found, protocol, origin, refusal);
      },
      (error) => {
        connections.claiming--;
        throw error;
      },
    );
  }

  #admitted(
    claimed: Claimed | Refusal,
    protocol: Protocol,
    { address, headers }: { address: string; headers: PassedHeaders | undefined },
    refused: Refusal | undefined,
  ): Connection | Refusal {
    if (claimed instanceof Refusal) return claimed;
    const { id, term, wasRemote } = claimed;
    if (wasRemote) this.#cluster.notify("replaced", { id, term });
    const connection = new Connection(claimed, protocol, address, { headers });
    // Others of the address may have connected since the claim was asked for.
    const older = this.#connections.byId(id);
    const refusal =
      refused ?? (older?.address === address ? undefined : this.#connections.checkAddress(address));
    // If the claim was ended already, the connection is closed with the reason when it opens.
    this.#connections.claims.add(id, term);
    if (refusal === undefined) return connection;
    this.abandon(connection);
    return refusal;
  }

  /** To be called often: ends the connections of registered clients whose time is over. Cost: those that have such a time. */
  expire(): void {
    const now = this.#now();
    for (const [connection, at] of this.#expiries) {
      // One that is not open yet is ended when it is.
      if (at <= now && connection.socket !== undefined)
        this.#connections.end(connection, "expired");
    }
  }

  /** An admitted connection will not open. */
  abandon(connection: Connection): void {
    const { id, term } = connection;
    this.#expiries.delete(connection);
    this.#connections.claims.delete(id, term);
    const older = this.#connections.byId(id);
    if (older === undefined) this.#registrations.release(id, term, "wait");
    // The older connection goes on, and owns the registration by the newer claim.
    else older.term = Math.max(older.term, term);
  }

  /** The handshake of an admitted connection is over; why it must not open, if so. */
  checkClaim(connection: Connection): "deleted" | "replaced" | undefined {
    const { id, term } = connection;
    const { claims } = this.#connections;
    const isClaimed = claims.delete(id, term);
    const isReplaced = (this.#connections.byId(id)?.term ?? 0) > term;
    if (isClaimed && !isReplaced) return undefined;
    this.#expiries.delete(connection);
    return isReplaced ? "replaced" : claims.whyEnded(id);
  }

  /**
   * A connection with this id for a client that an authority decides about. `address` is "" where nothing depends on it. Refuses
   * `too_many_connections`, `too_many_address_connections`. In a shutdown too the connection opens, but its client is told nothing:
   * those who come back at once would come back to a process that still refuses them, and stay away for longer.
   */
  admitTo(
    authority: Authority,
    id: string,
    protocol: Protocol,
    address = "",
    headers?: PassedHeaders,
  ): Connection | Refusal {
    const refusal = this.#connections.checkRoom(address);
    if (refusal !== undefined) return refusal;
    const origin = { authority, headers };
    const connection = new Connection({ id, user: "", term: 0 }, protocol, address, origin);
    connection.publicId = id;
    return connection;
  }

  /**
   * A connection for a client that will say who it is. `address` is "" where nothing depends on it. Refuses `shutting_down`,
   * `too_many_connections`, `too_many_address_connections`.
   */
  admitSession(protocol: Protocol, address = "", headers?: PassedHeaders): Connection | Refusal {
    const refusal = this.#connections.isShuttingDown
      ? shuttingDown()
      : this.#connections.checkRoom(address);
    if (refusal !== undefined) return refusal;
    const claimed = { id: this.#newId(), user: "", term: 0 };
    const connection = new Connection(claimed, protocol, address, { headers });
    connection.publicId = connection.id;
    return connection;
  }

  /** Ends claims and the connection of this id with a smaller term; false when this node has no such connection. */
  #end(id: string, why: "deleted" | "replaced", below = Number.POSITIVE_INFINITY): boolean {
    this.#connections.claims.endBelow(id, below);
    const connection = this.#connections.byId(id);
    if (connection === undefined || connection.term >= below) return false;
    this.#connections.end(connection, why);
    return true;
  }
}

/** The codes from which on clients are to stay away. */
const FINAL = 4_500;

/** What ends a connection of a session refuses a handshake: for good, or for now. */
function refusalOf({ code, reason }: Dismissal): Refusal {
  const isFinal = code >= FINAL || (code >= 3_500 && code < 4_000);
  const why = `The backend has refused this connection (${code}): ${reason}.`;
  return new Refusal(isFinal ? "backend_refused" : "backend_unavailable", why);
}
