// All registrations, in this process's memory: those that wait for their clients, and those that a node owns. It also counts the
// connections of each user and of all nodes together. An id is in at most one place, and the newest claim of it wins.
import type {
  AfterRelease,
  Claimed,
  PreviousOwner,
  Registration,
  Registrations,
} from "../../relay/contracts/engine";
import {
  type Refusal,
  tooManyAddressConnections,
  tooManyConnections,
  tooManyRegistrations,
  tooManyUserConnections,
  unknownConnection,
} from "../../relay/contracts/errors";

export interface MemoryRegistrationsOptions {
  /** How long a registration waits for its client. */
  readonly registrationTtlMs: number;
  readonly registrationsMax: number;
  readonly userConnectionsMax: number;
  readonly connectionsMax: number;
  /** Connections that one address may have; 0: any number. */
  readonly addressConnectionsMax: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

interface WaitingRegistration extends Registration {
  readonly expiresAt: number;
}

interface OwnedRegistration extends Registration {
  readonly node: string;
  readonly term: number;
  /** Whether it came from a registration. Otherwise its client proved by a token who its user is. */
  readonly isRegistered: boolean;
  /** Of the client; "" where nothing depends on it. */
  readonly address: string;
}

export class MemoryRegistrations {
  readonly #options: MemoryRegistrationsOptions;
  /** Called with the id of a registration that has ended, so that an engine can forget it in its file too. */
  readonly #onEnd: (id: string) => void;
  /** By id. All wait equally long, so the order of insertion is the order of expiry. */
  readonly #waiting = new Map<string, WaitingRegistration>();
  /** By id. */
  readonly #owned = new Map<string, OwnedRegistration>();
  /** How many connections each user has. Those of the anonymous user are not counted. */
  readonly #connectionsOf = new Map<string, number>();
  /** How many connections each address has. */
  readonly #connectionsFrom = new Map<string, number>();
  #lastTerm = 0;

  constructor(options: MemoryRegistrationsOptions, onEnd: (id: string) => void = () => {}) {
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** How many registrations wait for their clients. */
  get waiting(): number {
    return this.#waiting.size;
  }

  add(registration: Registration): Refusal | undefined {
    const refusal = this.#checkUser(registration.user);
    if (refusal !== undefined) return refusal;
    if (this.#isFull()) this.expire();
    if (this.#isFull()) return tooManyRegistrations(this.#options.registrationsMax);
    this.#wait(registration);
    return undefined;
  }

  remove(id: string, node: string): PreviousOwner | undefined {
    const owned = this.#owned.get(id);
    if (owned !== undefined) {
      this.#disown(owned);
      if (owned.isRegistered) this.#onEnd(id);
      return { wasRemote: owned.node !== node };
    }
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#end(id);
    return waiting.expiresAt > this.#options.now() ? { wasRemote: false } : undefined;
  }

  /** Lets a registration that has outlived the process wait again, even beyond the limit. */
  restore(registration: Registration): void {
    this.#wait(registration);
  }

  /** A node has died, so the registrations that it owned wait again. Cost: all that are owned. */
  releaseAll(node: string): void {
    for (const owned of [...this.#owned.values()]) {
      if (owned.node === node) this.#release(owned.id, owned.term, "wait", node);
    }
  }

  /** Ends the registrations whose time is over. Cost: those, plus one. */
  expire(): void {
    const now = this.#options.now();
    for (const [id, { expiresAt }] of this.#waiting) {
      if (expiresAt > now) break;
      this.#end(id);
    }
  }

  /** The registrations as one node sees them. */
  of(node: string): Registrations {
    const all = this;
    return {
      get waiting() {
        return all.waiting;
      },
      add: (registration) => this.add(registration),
      claim: (id, address) => this.#claim(id, node, address),
      own: (id, user, address) => this.#ownUnregistered(id, user, node, address),
      release: (id, term, next) => this.#release(id, term, next, node),
      remove: (id) => this.remove(id, node),
    };
  }

  #claim(id: string, node: string, address = ""): Claimed | Refusal {
    const term = ++this.#lastTerm;
    const owned = this.#owned.get(id);
    if (owned?.isRegistered === true) {
      if (owned.address !== address) {
        const refusal = this.#checkAddress(address);
        if (refusal !== undefined) return refusal;
        count(this.#connectionsFrom, owned.address, -1);
        count(this.#connectionsFrom, address, 1);
      }
      this.#owned.set(owned.id, { ...owned, node, term, address });
      const { user, topics } = owned;
      return { id: owned.id, user, topics, wasRemote: owned.node !== node, term };
    }
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.expiresAt <= this.#options.now()) {
      return unknownConnection();
    }
    const { user, topics } = waiting;
    const refusal =
      this.#checkUser(user) ?? this.#checkConnections() ?? this.#checkAddress(address);
    if (refusal !== undefined) return refusal;
    this.#waiting.delete(id);
    // The registration's own id is kept: the caller's may be a slice of a URL, which would be kept in memory with it.
    this.#own({ id: waiting.id, user, topics, node, term, isRegistered: true, address });
    return { id: waiting.id, user, topics, wasRemote: false, term };
  }

  #ownUnregistered(id: string, user: string, node: string, address = ""): Refusal | undefined {
    const owned = this.#owned.get(id);
    if (owned?.node === node && !owned.isRegistered) {
      const refusal = owned.user === user ? undefined : this.#checkUser(user);
      if (refusal !== undefined) return refusal;
      this.#disown(owned);
      this.#own({ ...owned, user });
      return undefined;
    }
    const refusal =
      this.#checkUser(user) ?? this.#checkConnections() ?? this.#checkAddress(address);
    if (refusal !== undefined) return refusal;
    this.#own({ id, user, node, term: 0, isRegistered: false, address });
    return undefined;
  }

  /** Does nothing if it was claimed again since. */
  #release(id: string, term: number, next: AfterRelease, node: string): void {
    const owned = this.#owned.get(id);
    if (owned?.node !== node || owned.term !== term) return;
    this.#disown(owned);
    if (!owned.isRegistered) return;
    const { user, topics } = owned;
    if (next === "wait" && !this.#isFull()) this.#wait({ id: owned.id, user, topics });
    else this.#onEnd(id);
  }

  #wait({ id, user, topics }: Registration): void {
    const expiresAt = this.#options.now() + this.#options.registrationTtlMs;
    this.#waiting.set(id, { id, user, topics, expiresAt });
  }

  #end(id: string): void {
    this.#waiting.delete(id);
    this.#onEnd(id);
  }

  #own(owned: OwnedRegistration): void {
    this.#owned.set(owned.id, owned);
    count(this.#connectionsOf, owned.user, 1);
    count(this.#connectionsFrom, owned.address, 1);
  }

  #disown({ id, user, address }: OwnedRegistration): void {
    this.#owned.delete(id);
    count(this.#connectionsOf, user, -1);
    count(this.#connectionsFrom, address, -1);
  }

  /** Whether as many registrations wait as may. */
  #isFull(): boolean {
    return this.#waiting.size >= this.#options.registrationsMax;
  }

  #checkConnections(): Refusal | undefined {
    const { connectionsMax } = this.#options;
    return this.#owned.size < connectionsMax ? undefined : tooManyConnections(connectionsMax);
  }

  #checkAddress(address: string): Refusal | undefined {
    const { addressConnectionsMax: max } = this.#options;
    const isFull = max > 0 && address !== "" && (this.#connectionsFrom.get(address) ?? 0) >= max;
    return isFull ? tooManyAddressConnections(max) : undefined;
  }

  #checkUser(user: string): Refusal | undefined {
    const { userConnectionsMax } = this.#options;
    if ((this.#connectionsOf.get(user) ?? 0) < userConnectionsMax) return undefined;
    return tooManyUserConnections(userConnectionsMax);
  }
}

/** Counts connections of a name up or down; "" is nobody, and who has none leaves nothing behind. */
function count(counts: Map<string, number>, name: string, by: 1 | -1): void {
  if (name === "") return;
  const now = (counts.get(name) ?? 0) + by;
  if (now > 0) counts.set(name, now);
  else counts.delete(name);
}
