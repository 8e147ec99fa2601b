// Registrations over Redis: those that wait, and which node holds the others. What this node holds it says again and again,
// so that what a dead node held comes to an end, and what a server has lost comes back.
import type { Claimed, Elsewhere, Registered, Registrations } from "../relay/engine";
import { type Refusal, tooManyConnections } from "../relay/errors";
import { tooManyRegistrations, tooManyUserConnections, unknownConnection } from "./directory";
import type { EngineOptions } from "./options";
import type { Keys } from "./redis-keys";
import type { RedisLink } from "./redis-link";
import { REGISTRATIONS } from "./redis-registration-scripts";
import type { Script } from "./redis-script";
import type { ServerClock } from "./redis-server-clock";

/** What a node holds lives so long without a word of it; and so long a removed one is remembered for a node out of reach. */
const HELD_MS = 600_000;

/** In how many sweeps all that is held is said again, and how much of it in one call. */
const KEEP_SWEEPS = 60;
const KEEP_MAX = 250;

/** A node without a sign of life for so long is dead: what it held can be claimed, and does not count. */
const ALIVE_MS = 10_000;

/** What may wait beyond its time, since clocks differ. */
const SLACK_MS = 60_000;

export interface RedisRegistrationsOptions extends EngineOptions {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock: ServerClock;
  /** A connection of this node holds its registration no more: removed, or claimed with this term. */
  readonly ended: (id: string, term: number | undefined) => void;
}

interface Held extends Registered {
  readonly term: number;
  readonly isRegistered: boolean;
}

export class RedisRegistrations implements Registrations {
  readonly #options: RedisRegistrationsOptions;
  readonly #held = new Map<string, Held>();
  /** How many of them each user has. */
  readonly #users = new Map<string, number>();
  /** Ended, but the server has not taken note. */
  readonly #releasing = new Map<string, { term: number; waits: boolean }>();
  #keeping: IterableIterator<Held> = this.#held.values();
  waiting = 0;

  constructor(options: RedisRegistrationsOptions) {
    this.#options = options;
  }

  async add({ id, user, topics }: Registered): Promise<undefined | Refusal> {
    const { registrationTtlMs, registrationsMax, userConnectionsMax } = this.#options;
    const [why, waiting] = await this.#run<["" | "user" | "full", number]>(REGISTRATIONS.ADD, id, [
      user,
      topics === undefined ? "" : JSON.stringify(topics),
      registrationTtlMs,
      registrationsMax,
      userConnectionsMax,
      SLACK_MS,
    ]);
    this.waiting = waiting;
    if (why === "user") return tooManyUserConnections(userConnectionsMax);
    return why === "full" ? tooManyRegistrations(registrationsMax) : undefined;
  }

  async claim(id: string): Promise<Claimed | Refusal> {
    const { userConnectionsMax, connectionsMax, machine = "" } = this.#options;
    const [why, waiting, user, topics, term, elsewhere] = await this.#run<
      ["" | "unknown" | "user" | "machine", number, string, string, number, string]
    >(REGISTRATIONS.CLAIM, id, [userConnectionsMax, machine, connectionsMax, HELD_MS]);
    this.waiting = waiting;
    if (why === "unknown") return unknownConnection();
    if (why === "user") return tooManyUserConnections(userConnectionsMax);
    if (why === "machine") return tooManyConnections(connectionsMax);
    const registered = {
      id,
      user,
      topics: topics === "" ? undefined : (JSON.parse(topics) as string[]),
    };
    this.#hold({ ...registered, term, isRegistered: true });
    return { ...registered, term, elsewhere: elsewhere === "1" };
  }

  async hold(id: string, user: string): Promise<undefined | Refusal> {
    const { userConnectionsMax, connectionsMax, machine = "" } = this.#options;
    const [why] = await this.#run<["" | "user" | "machine"]>(REGISTRATIONS.HOLD, id, [
      user,
      userConnectionsMax,
      machine,
      connectionsMax,
      HELD_MS,
    ]);
    if (why === "user") return tooManyUserConnections(userConnectionsMax);
    if (why === "machine") return tooManyConnections(connectionsMax);
    this.#hold({ id, user, term: 0, isRegistered: false });
    return undefined;
  }

  release(id: string, term: number, waits: boolean): void {
    if (this.#held.get(id)?.term === term) this.#letGo(id);
    this.#releasing.set(id, { term, waits });
    this.#release(id, term, waits);
  }

  async remove(id: string): Promise<Elsewhere | undefined> {
    const [waiting, where] = await this.#run<[number, "" | "here" | "elsewhere"]>(
      REGISTRATIONS.REMOVE,
      id,
      [HELD_MS],
    );
    this.waiting = waiting;
    if (where === "here") this.#letGo(id);
    return where === "" ? undefined : { elsewhere: where === "elsewhere" };
  }

  /** The server can be reached: it is told what changed meanwhile, and all that is held. Never rejects. */
  async up(): Promise<void> {
    for (const [id, { term, waits }] of this.#releasing) this.#release(id, term, waits);
    this.#beat();
    const all = [...this.#held.values()];
    for (let from = 0; from < all.length; from += KEEP_MAX) {
      await this.#keep(all.slice(from, from + KEEP_MAX));
    }
  }

  /** To be called about once a second. Cost: a part of what is held. */
  sweep(): void {
    this.#beat();
    const due: Held[] = [];
    for (let left = Math.ceil(this.#held.size / KEEP_SWEEPS); left > 0; left--) {
      const { done, value } = this.#keeping.next();
      if (done === true) {
        this.#keeping = this.#held.values();
        break;
      }
      due.push(value);
      if (due.length === KEEP_MAX) void this.#keep(due.splice(0));
    }
    if (due.length > 0) void this.#keep(due);
  }

  /** Resolves when the server has taken note of all that ended, or cannot. */
  async close(): Promise<void> {
    const { link, keys, node } = this.#options;
    // After all releases that are under way, since calls keep their order.
    await link.call("DEL", [keys.node(node)]).catch(() => {});
  }

  /** A script about one registration. */
  #run<Answer>(script: Script, id: string, args: readonly (string | number)[]): Promise<Answer> {
    const { keys, link, node, clock } = this.#options;
    return link.run<Answer>(
      script,
      [keys.registration(id), keys.waiting, keys.terms],
      [String(clock.ms), node, keys.prefix, id, ...args.map(String)],
    );
  }

  #release(id: string, term: number, waits: boolean): void {
    const { registrationTtlMs, registrationsMax, machine = "" } = this.#options;
    this.#run<number>(REGISTRATIONS.RELEASE, id, [
      term,
      waits ? "1" : "",
      registrationTtlMs,
      registrationsMax,
      SLACK_MS,
      machine,
      HELD_MS,
    ]).then(
      (waiting) => {
        this.waiting = waiting;
        if (this.#releasing.get(id)?.term === term) this.#releasing.delete(id);
      },
      // Said again as soon as the server can be reached.
      () => {},
    );
  }

  #beat(): void {
    const { keys, link, node, clock } = this.#options;
    link
      .run<number>(
        REGISTRATIONS.BEAT,
        [keys.node(node), keys.waiting],
        [String(clock.ms), String(ALIVE_MS)],
      )
      .then(
        (waiting) => {
          this.waiting = waiting;
        },
        () => {},
      );
  }

  async #keep(some: readonly Held[]): Promise<void> {
    const { keys, link, node, machine = "" } = this.#options;
    const held = some.filter((one) => this.#held.get(one.id) === one);
    const args = held.flatMap(({ id, user, topics, term, isRegistered }) => [
      id,
      user,
      topics === undefined ? "" : JSON.stringify(topics),
      String(term),
      isRegistered ? "r" : "s",
      String(this.#users.get(user) ?? 0),
    ]);
    const lost = await link
      .run<string[]>(
        REGISTRATIONS.KEEP,
        [keys.waiting, keys.terms, keys.machine(machine)],
        [node, keys.prefix, String(HELD_MS), machine, String(this.#held.size), ...args],
      )
      .catch(() => []);
    for (let i = 0; i < lost.length; i += 2) {
      const id = lost[i] as string;
      const term = lost[i + 1] === "" ? undefined : Number(lost[i + 1]);
      const now = this.#held.get(id);
      // Unless it was claimed here since.
      if (now === undefined || (term !== undefined && now.term >= term)) continue;
      this.#letGo(id);
      this.#options.ended(id, term);
    }
  }

  #hold(held: Held): void {
    this.#letGo(held.id);
    this.#held.set(held.id, held);
    if (held.user !== "") this.#users.set(held.user, (this.#users.get(held.user) ?? 0) + 1);
  }

  #letGo(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    if (held.user === "") return;
    const left = (this.#users.get(held.user) ?? 1) - 1;
    if (left === 0) this.#users.delete(held.user);
    else this.#users.set(held.user, left);
  }
}
