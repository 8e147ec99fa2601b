// Registrations in this process's memory: those that wait for their clients, and which node holds the others.

import type {
  AfterRelease,
  Claimed,
  PreviousOwner,
  Registration,
  Registrations,
} from "../../relay/contracts/engine";
import {
  type Refusal,
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
  /** Monotonic, in ms. */
  readonly now: () => number;
}

interface Waiting extends Registration {
  readonly expiresAt: number;
}

interface Held extends Registration {
  readonly node: string;
  readonly term: number;
  /** Whether it is a registration, and not just a connection of somebody. */
  readonly isRegistered: boolean;
}

/** Hears of what must outlive the process. */
export interface RegistrationJournal {
  added(registration: Registration): void;
  removed(id: string): void;
}

export class MemoryRegistrations {
  readonly #options: MemoryRegistrationsOptions;
  readonly #journal: RegistrationJournal | undefined;
  // All wait equally long, so a Map's insertion order is also the order of expiry.
  readonly #waiting = new Map<string, Waiting>();
  readonly #held = new Map<string, Held>();
  #terms = 0;
  /** How many each user has of those that are held; the anonymous user is not counted. */
  readonly #users = new Map<string, number>();

  constructor(options: MemoryRegistrationsOptions, journal?: RegistrationJournal) {
    this.#options = options;
    this.#journal = journal;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(registration: Registration): Refusal | undefined {
    const crowded = this.#userIsFull(registration.user);
    if (crowded !== undefined) return crowded;
    const { registrationsMax } = this.#options;
    if (this.#isFull()) this.expire();
    if (this.#isFull()) return tooManyRegistrations(registrationsMax);
    this.#journal?.added(registration);
    this.#wait(registration);
    return undefined;
  }

  /** What outlived the process: it waits, however many there are. */
  restore(registration: Registration): void {
    this.#wait(registration);
  }

  claim(id: string, node: string): Claimed | Refusal {
    const held = this.#held.get(id);
    const term = ++this.#terms;
    if (held?.isRegistered === true) {
      this.#held.set(held.id, { ...held, node, term });
      const { user, topics } = held;
      return { id: held.id, user, topics, wasRemote: held.node !== node, term };
    }
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.expiresAt <= this.#options.now()) {
      return unknownConnection();
    }
    const { user, topics } = waiting;
    const crowded = this.#userIsFull(user) ?? this.#allAreFull();
    if (crowded !== undefined) return crowded;
    this.#waiting.delete(id);
    // The registration's own id: the caller's may be a part of a URL, which would be kept with it.
    this.#hold({ id: waiting.id, user, topics, node, term, isRegistered: true });
    return { id: waiting.id, user, topics, wasRemote: false, term };
  }

  hold(id: string, user: string, node: string): Refusal | undefined {
    const crowded = this.#userIsFull(user) ?? this.#allAreFull();
    if (crowded !== undefined) return crowded;
    this.#hold({ id, user, node, term: 0, isRegistered: false });
    return undefined;
  }

  /** Ignored when it was claimed again since. */
  release(id: string, term: number, next: AfterRelease, node: string): void {
    const held = this.#held.get(id);
    if (held?.node !== node || held.term !== term) return;
    this.#letGo(held);
    if (!held.isRegistered) return;
    const { user, topics } = held;
    if (next === "wait" && !this.#isFull()) this.#wait({ id: held.id, user, topics });
    else this.#journal?.removed(id);
  }

  remove(id: string, node: string): PreviousOwner | undefined {
    const held = this.#held.get(id);
    if (held !== undefined) {
      this.#letGo(held);
      if (held.isRegistered) this.#journal?.removed(id);
      return { wasRemote: held.node !== node };
    }
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#end(id);
    return waiting.expiresAt > this.#options.now() ? { wasRemote: false } : undefined;
  }

  /** A node has died: what it held waits again. Cost: all that are held. */
  releaseAll(node: string): void {
    for (const held of [...this.#held.values()]) {
      if (held.node === node) this.release(held.id, held.term, "wait", node);
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

  /** As one node sees it. */
  of(node: string): Registrations {
    const directory = this;
    return {
      get waiting() {
        return directory.waiting;
      },
      add: (registration) => this.add(registration),
      claim: (id) => this.claim(id, node),
      own: (id, user) => this.hold(id, user, node),
      release: (id, term, next) => this.release(id, term, next, node),
      remove: (id) => this.remove(id, node),
    };
  }

  #wait({ id, user, topics }: Registration): void {
    const expiresAt = this.#options.now() + this.#options.registrationTtlMs;
    this.#waiting.set(id, { id, user, topics, expiresAt });
  }

  #end(id: string): void {
    this.#waiting.delete(id);
    this.#journal?.removed(id);
  }

  #hold(held: Held): void {
    this.#held.set(held.id, held);
    if (held.user !== "") this.#users.set(held.user, (this.#users.get(held.user) ?? 0) + 1);
  }

  #letGo({ id, user }: Held): void {
    this.#held.delete(id);
    if (user === "") return;
    const left = (this.#users.get(user) ?? 1) - 1;
    if (left === 0) this.#users.delete(user);
    else this.#users.set(user, left);
  }

  #isFull(): boolean {
    return this.#waiting.size >= this.#options.registrationsMax;
  }

  #allAreFull(): Refusal | undefined {
    const { connectionsMax } = this.#options;
    return this.#held.size < connectionsMax ? undefined : tooManyConnections(connectionsMax);
  }

  #userIsFull(user: string): Refusal | undefined {
    const { userConnectionsMax } = this.#options;
    if ((this.#users.get(user) ?? 0) < userConnectionsMax) return undefined;
    return tooManyUserConnections(userConnectionsMax);
  }
}
