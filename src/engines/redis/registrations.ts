// Registrations over Redis: those that wait, and which node holds the others. What this node holds it says again and again,
// so that what a dead node held comes to an end, and what a server has lost comes back.
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
import type { EngineOptions } from "../options";
import type { ServerClock } from "./server/clock";
import type { Keys } from "./server/keys";
import type { RedisLink } from "./server/link";
import { REGISTRATIONS } from "./server/registration-scripts";
import type { Script } from "./server/script";

/** In how many sweeps all that is held is said again, and how much of it in one call. */
const KEEP_SWEEPS = 60;
const KEEP_MAX = 250;

/** How many ends are said again in one sweep. */
const AGAIN_MAX = 1_000;

/** A node without a sign of life for so long is dead: what it held can be claimed, and does not count. */
const ALIVE_MS = 10_000;

interface RedisRegistrationsOptions extends EngineOptions {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock: ServerClock;
  /** A connection of this node holds its registration no more: removed, or claimed with this term. */
  readonly ended: (id: string, term: number | undefined) => void;
}

interface Held extends Registration {
  /** 0 for a session. */
  readonly term: number;
  readonly isRegistered: boolean;
}

/** A registration that this node holds no more, of which the server has not taken note. */
interface Ending {
  /** Not known where the answer to a claim was lost. */
  readonly term: number | undefined;
  readonly waits: boolean;
  isUnderWay: boolean;
}

export class RedisRegistrations implements Registrations {
  readonly #options: RedisRegistrationsOptions;
  readonly #held = new Map<string, Held>();
  readonly #endings = new Map<string, Ending>();
  /** Claims that are under way. */
  #claiming = 0;
  #keeping: IterableIterator<Held> = this.#held.values();
  waiting = 0;

  constructor(options: RedisRegistrationsOptions) {
    this.#options = options;
  }

  async add({ id, user, topics }: Registration): Promise<undefined | Refusal> {
    const { registrationTtlMs, registrationsMax, userConnectionsMax } = this.#options;
    const [why, waiting] = await this.#run<["" | "user" | "full", number]>(REGISTRATIONS.ADD, id, [
      user,
      topics === undefined ? "" : JSON.stringify(topics),
      registrationTtlMs,
      registrationsMax,
      userConnectionsMax,
    ]);
    this.waiting = waiting;
    if (why === "user") return tooManyUserConnections(userConnectionsMax);
    return why === "full" ? tooManyRegistrations(registrationsMax) : undefined;
  }

  async claim(id: string): Promise<Claimed | Refusal> {
    const { userConnectionsMax, connectionsMax } = this.#options;
    const [why, waiting, user, topics, term, elsewhere] = await this.#claim<
      ["" | "unknown" | "user" | "machine", number, string, string, number, string]
    >(REGISTRATIONS.CLAIM, id, true, [userConnectionsMax, connectionsMax]);
    this.waiting = waiting;
    if (why === "unknown") return unknownConnection();
    if (why === "user") return tooManyUserConnections(userConnectionsMax);
    if (why === "machine") return tooManyConnections(connectionsMax);
    const registered = {
      id,
      user,
      topics: topics === "" ? undefined : (JSON.parse(topics) as string[]),
    };
    this.#held.set(id, { ...registered, term, isRegistered: true });
    return { ...registered, term, wasRemote: elsewhere === "1" };
  }

  async own(id: string, user: string): Promise<undefined | Refusal> {
    const { userConnectionsMax, connectionsMax } = this.#options;
    const [why] = await this.#claim<["" | "user" | "machine"]>(REGISTRATIONS.HOLD, id, false, [
      user,
      userConnectionsMax,
      connectionsMax,
    ]);
    if (why === "user") return tooManyUserConnections(userConnectionsMax);
    if (why === "machine") return tooManyConnections(connectionsMax);
    this.#held.set(id, { id, user, term: 0, isRegistered: false });
    return undefined;
  }

  release(id: string, term: number, next: AfterRelease): void {
    if (this.#held.get(id)?.term === term) this.#held.delete(id);
    this.#end(id, { term, waits: next === "wait", isUnderWay: false });
  }

  async remove(id: string): Promise<PreviousOwner | undefined> {
    const [waiting, where] = await this.#run<[number, "" | "here" | "elsewhere"]>(
      REGISTRATIONS.REMOVE,
      id,
    );
    this.waiting = waiting;
    if (where === "here") this.#held.delete(id);
    return where === "" ? undefined : { wasRemote: where === "elsewhere" };
  }

  /** The server can be reached: it is told what changed meanwhile, and all that is held. */
  up(): void {
    for (const [id, ending] of this.#endings) this.#end(id, ending);
    this.#beat();
    void this.#keepAll();
  }

  /** To be called about once a second, while the server can be reached. Cost: a part of what is held. */
  sweep(): void {
    this.#beat();
    let again = AGAIN_MAX;
    for (const [id, ending] of this.#endings) {
      if (ending.isUnderWay) continue;
      if (again-- === 0) break;
      this.#end(id, ending);
    }
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
  #run<Answer>(
    script: Script,
    id: string,
    args: readonly (string | number)[] = [],
  ): Promise<Answer> {
    const { keys, link, node, clock, machine = "" } = this.#options;
    return link.run<Answer>(
      script,
      [keys.registration(id), keys.waiting, keys.terms],
      [String(clock.micros), node, keys.prefix, machine, this.#number, id, ...args.map(String)],
    );
  }

  /** How many this node has, with those that it may get. */
  get #number(): string {
    return String(this.#held.size + this.#claiming);
  }

  /** The same for one that this node holds from then on. Where the answer is lost it does not, and the server must hear of that. */
  async #claim<Answer>(
    script: Script,
    id: string,
    waits: boolean,
    args: readonly (string | number)[],
  ): Promise<Answer> {
    const { link } = this.#options;
    const wasUp = link.isUp;
    if (this.#endings.get(id)?.term === undefined) this.#endings.delete(id);
    this.#claiming++;
    try {
      return await this.#run<Answer>(script, id, args);
    } catch (error) {
      const isLost = wasUp && !link.isUp;
      const isKnown = this.#endings.has(id) || this.#held.get(id) !== undefined;
      if (isLost && !isKnown) this.#end(id, { term: undefined, waits, isUnderWay: false });
      throw error;
    } finally {
      this.#claiming--;
    }
  }

  /** Tells the server that this node does not hold it any more, again and again until that is heard. */
  #end(id: string, ending: Ending): void {
    const { registrationTtlMs, registrationsMax } = this.#options;
    const { term, waits } = ending;
    this.#endings.set(id, ending);
    ending.isUnderWay = true;
    this.#run<number>(REGISTRATIONS.RELEASE, id, [
      term ?? "",
      waits ? "1" : "",
      registrationTtlMs,
      registrationsMax,
    ]).then(
      (waiting) => {
        this.waiting = waiting;
        if (this.#endings.get(id) === ending) this.#endings.delete(id);
      },
      () => {
        ending.isUnderWay = false;
      },
    );
  }

  #beat(): void {
    const { keys, link, node, clock } = this.#options;
    const args = [String(clock.micros), String(ALIVE_MS)];
    link.run<number>(REGISTRATIONS.BEAT, [keys.node(node), keys.waiting], args).then(
      (waiting) => {
        this.waiting = waiting;
      },
      () => {},
    );
  }

  async #keepAll(): Promise<void> {
    const all = [...this.#held.values()];
    for (let from = 0; from < all.length; from += KEEP_MAX) {
      await this.#keep(all.slice(from, from + KEEP_MAX));
    }
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
    ]);
    const lost = await link
      .run<string[]>(
        REGISTRATIONS.KEEP,
        [keys.waiting, keys.terms],
        [node, keys.prefix, machine, this.#number, ...args],
      )
      .catch(() => []);
    for (let i = 0; i < lost.length; i += 2) {
      const id = lost[i] as string;
      const term = lost[i + 1] === "" ? undefined : Number(lost[i + 1]);
      const now = this.#held.get(id);
      // Unless it was claimed here since.
      if (now === undefined || (term !== undefined && now.term >= term)) continue;
      this.#held.delete(id);
      this.#options.ended(id, term);
    }
  }
}
