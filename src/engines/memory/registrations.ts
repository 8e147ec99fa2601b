// Registrations in this process's memory: those that wait for their clients, and which node holds the others.
import type { Claimed, Elsewhere, Registered, Registrations } from "../../relay/contracts/engine";
import { Refusal, tooManyConnections } from "../../relay/contracts/errors";

export interface DirectoryOptions {
  /** How long a registration waits for its client. */
  readonly registrationTtlMs: number;
  readonly registrationsMax: number;
  readonly userConnectionsMax: number;
  readonly connectionsMax: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

interface Waiting extends Registered {
  readonly expiresAt: number;
}

interface Held extends Registered {
  readonly node: string;
  readonly term: number;
  /** Whether it is a registration, and not just a connection of somebody. */
  readonly isRegistered: boolean;
}

/** Hears of what must outlive the process. */
export interface DirectoryJournal {
  added(registration: Registered): void;
  removed(id: string): void;
}

export class Directory {
  readonly #options: DirectoryOptions;
  readonly #journal: DirectoryJournal | undefined;
  // All wait equally long, so a Map's insertion order is also the order of expiry.
  readonly #waiting = new Map<string, Waiting>();
  readonly #held = new Map<string, Held>();
  #terms = 0;
  /** How many each user has of those that are held; the anonymous user is not counted. */
  readonly #users = new Map<string, number>();

  constructor(options: DirectoryOptions, journal?: DirectoryJournal) {
    this.#options = options;
    this.#journal = journal;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(registration: Registered): Refusal | undefined {
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
  restore(registration: Registered): void {
    this.#wait(registration);
  }

  claim(id: string, node: string): Claimed | Refusal {
    const held = this.#held.get(id);
    const term = ++this.#terms;
    if (held?.isRegistered === true) {
      this.#held.set(held.id, { ...held, node, term });
      const { user, topics } = held;
      return { id: held.id, user, topics, elsewhere: held.node !== node, term };
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
    return { id: waiting.id, user, topics, elsewhere: false, term };
  }

  hold(id: string, user: string, node: string): Refusal | undefined {
    const crowded = this.#userIsFull(user) ?? this.#allAreFull();
    if (crowded !== undefined) return crowded;
    this.#hold({ id, user, node, term: 0, isRegistered: false });
    return undefined;
  }

  /** Ignored when it was claimed again since. */
  release(id: string, term: number, waits: boolean, node: string): void {
    const held = this.#held.get(id);
    if (held?.node !== node || held.term !== term) return;
    this.#letGo(held);
    if (!held.isRegistered) return;
    const { user, topics } = held;
    if (waits && !this.#isFull()) this.#wait({ id: held.id, user, topics });
    else this.#journal?.removed(id);
  }

  remove(id: string, node: string): Elsewhere | undefined {
    const held = this.#held.get(id);
    if (held !== undefined) {
      this.#letGo(held);
      if (held.isRegistered) this.#journal?.removed(id);
      return { elsewhere: held.node !== node };
    }
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#end(id);
    return waiting.expiresAt > this.#options.now() ? { elsewhere: false } : undefined;
  }

  /** A node has died: what it held waits again. Cost: all that are held. */
  releaseAll(node: string): void {
    for (const held of [...this.#held.values()]) {
      if (held.node === node) this.release(held.id, held.term, true, node);
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
      hold: (id, user) => this.hold(id, user, node),
      release: (id, term, waits) => this.release(id, term, waits, node),
      remove: (id) => this.remove(id, node),
    };
  }

  #wait({ id, user, topics }: Registered): void {
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

export function unknownConnection(): Refusal {
  return new Refusal(
    "unknown_connection",
    "No registration has this id; it may have expired, been deleted or been used up. POST /register gives a new one.",
  );
}

export function tooManyRegistrations(most: number): Refusal {
  return new Refusal(
    "too_many_registrations",
    `${most} registrations wait for their clients to connect (BATON_REGISTRATIONS_MAX); try again when some have connected or expired.`,
  );
}

export function tooManyUserConnections(most: number): Refusal {
  return new Refusal(
    "too_many_user_connections",
    `This user has ${most} open connections, the most allowed (BATON_USER_CONNECTIONS_MAX); close or DELETE one first.`,
  );
}
