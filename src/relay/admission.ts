// Who may come in: registrations, and the connections that use them.
import { Connection } from "./connection";
import { Refusal } from "./errors";
import type { Limits } from "./limits";
import type { Protocol } from "./protocol";
import type { Registration, Registry } from "./registry";
import { checkTopics, toUser } from "./text";

export interface AdmissionOptions {
  readonly limits: Limits;
  readonly now: () => number;
  readonly newId: () => string;
}

export class Admission {
  readonly #registry: Registry;
  readonly #options: AdmissionOptions;
  readonly #limits: Limits;

  constructor(registry: Registry, options: AdmissionOptions) {
    this.#registry = registry;
    this.#options = options;
    this.#limits = options.limits;
  }

  /** A new registration. Refuses what its limits say, and a user or topics that cannot be. */
  register(userId: number | string, topics?: readonly string[]): Registration | Refusal {
    const user = toUser(userId);
    if (user instanceof Refusal) return user;
    const refusal = topics && checkTopics(new Set(topics), this.#limits.connectionTopicsMax);
    if (refusal !== undefined) return refusal;
    const crowded = this.#userIsFull(user);
    if (crowded !== undefined) return crowded;
    const { registrationsMax } = this.#limits;
    if (this.#isFull()) this.#registry.expire(this.#options.now());
    if (this.#isFull()) {
      return new Refusal(
        "too_many_registrations",
        `${registrationsMax} registrations wait for their clients to connect (BATON_REGISTRATIONS_MAX); try again when some have connected or expired.`,
      );
    }
    return this.#wait(this.#options.newId(), user, topics);
  }

  /** Ends a waiting registration; false if there is none with this id. */
  unregister(id: string): boolean {
    const live = this.#registry.waitingFor(id, this.#options.now()) !== undefined;
    this.#registry.stopWaiting(id);
    return live;
  }

  /** A registration whose connection was lost waits again, if there is room. */
  readmit(id: string, user: string, topics: readonly string[] | undefined): void {
    if (!this.#isFull()) this.#wait(id, user, topics);
  }

  /** Whether a client may connect with this id; its connection is not open yet. */
  admit(id: string, protocol: Protocol): Connection | Refusal {
    const open = this.#registry.connection(id);
    // A session's id is no secret: others in its topics are told it.
    const replaced = open?.session === undefined ? open : undefined;
    // The registry's own id: the caller's may be a part of a URL, which would be kept with it.
    if (replaced !== undefined) {
      return new Connection(replaced.id, replaced.user, protocol, replaced.initial);
    }
    const registration = this.#registry.waitingFor(id, this.#options.now());
    if (registration === undefined) {
      return new Refusal(
        "unknown_connection",
        "No registration has this id; it may have expired, been deleted or been used up. POST /register gives a new one.",
      );
    }
    const crowded = this.#userIsFull(registration.user);
    if (crowded !== undefined) return crowded;
    const full = this.#noRoom(0);
    if (full !== undefined) return full;
    return new Connection(registration.id, registration.user, protocol, registration.topics);
  }

  /** The same for a client that will say who it is; `opened` are those that have not done so. */
  admitSession(protocol: Protocol, opened: number): Connection | Refusal {
    const full = this.#noRoom(opened);
    if (full !== undefined) return full;
    const connection = new Connection(this.#options.newId(), "", protocol);
    connection.publicId = connection.id;
    return connection;
  }

  #noRoom(opened: number): Refusal | undefined {
    const { connectionsMax } = this.#limits;
    if (this.#registry.size + opened < connectionsMax) return undefined;
    return new Refusal(
      "too_many_connections",
      `The relay holds as many connections as it may, ${connectionsMax} (BATON_CONNECTIONS_MAX); try again later.`,
    );
  }

  #wait(id: string, user: string, topics: readonly string[] | undefined): Registration {
    const expiresAt = this.#options.now() + this.#limits.registrationTtlMs;
    const registration = { id, user, expiresAt, topics };
    this.#registry.wait(registration);
    return registration;
  }

  #isFull(): boolean {
    return this.#registry.waiting >= this.#limits.registrationsMax;
  }

  #userIsFull(user: string): Refusal | undefined {
    const { userConnectionsMax } = this.#limits;
    if (this.#registry.ofUser(user).length < userConnectionsMax) return undefined;
    return new Refusal(
      "too_many_user_connections",
      `This user has ${userConnectionsMax} open connections, the most allowed (BATON_USER_CONNECTIONS_MAX); close or DELETE one first.`,
    );
  }
}
