// All that is there of one kind over all nodes, and what of it the witness was told. One node leads: it sees the changes of the kind's
// group in their order, and tells each coming at once and each going after a grace. What was told is kept by the engine, so that
// another leader, also after a restart of everything, tells what has changed since, and nothing twice.
import { type Engine, EngineUnavailable, type GroupChange } from "../contracts/engine";
import type { RelayEvent, RelayOptions, Witness } from "../contracts/options";
import { MemberList } from "./member-list";

/** What was told is spread over so many sets, because adding to a set costs its size. */
const SETS = 256;

/** More than ever are in one set; and so long that nobody is there for longer. */
const KEPT = { max: 1_000_000, ttlMs: 31_536_000_000 };

/** How many are told before the engine has answered. */
const TOLD_AT_ONCE = 256;

interface RollOptions extends Pick<RelayOptions, "now"> {
  readonly engine: Pick<Engine, "groups" | "records">;
  readonly witness: Witness;
  readonly group: string;
  /** This node in the group: nodes are told of the changes of groups in which they have something. */
  readonly marker: string;
  /** How long what has gone may come back unnoticed; and what a new leader does not find. */
  readonly graceMs: number;
  readonly firstGraceMs: number;
  /** What the witness is told of a change. `key` is another one for each, and the same when it is told again. */
  eventOf(change: GroupChange["change"], name: string, key: string): RelayEvent;
}

export class Roll {
  readonly #options: RollOptions;
  #list = new MemberList("");
  /** What the witness knows to be there, with the keys of those events. */
  #told = new Map<string, string>();
  /** What has gone, and when that is told. */
  readonly #leaving = new Map<string, number>();
  /** "unsure": what was told or who is there must be read again. */
  #state: "waiting" | "reading" | "leading" | "unsure" = "waiting";
  /** How often this node began to read: only the last time counts. */
  #reads = 0;

  constructor(options: RollOptions) {
    this.#options = options;
  }

  /** To be called about once a second while this node leads. Cost: what has gone and was not told, and at first everything. */
  lead(): void {
    if (this.#state === "waiting" || this.#state === "unsure") void this.#read();
    if (this.#state !== "leading") return;
    const now = this.#options.now();
    for (const [name, at] of this.#leaving) {
      if (at > now) continue;
      this.#leaving.delete(name);
      void this.#tell("went", name, `${this.#told.get(name)} went`);
    }
  }

  /** Another node leads. */
  wait(): void {
    if (this.#state === "waiting") return;
    const { engine, group, marker } = this.#options;
    this.#state = "waiting";
    this.#reads++;
    this.#told = new Map();
    this.#leaving.clear();
    engine.groups.leave(group, marker);
  }

  /** The next change of the group, from the engine. */
  changed(change: GroupChange): void {
    if (this.#state === "waiting") return;
    const applied = this.#list.apply(change);
    if (applied === "gap") this.unsure();
    if (applied === "applied") this.#changed(change.change, change.name, change.version);
  }

  /** Changes may have been missed. */
  unsure(): void {
    if (this.#state === "leading") this.#state = "unsure";
  }

  #changed(change: GroupChange["change"], name: string, version: number): void {
    const { group, now, graceMs } = this.#options;
    if (isMarker(name)) return;
    if (change === "went") {
      if (this.#told.has(name)) this.#leaving.set(name, now() + graceMs);
      return;
    }
    this.#leaving.delete(name);
    if (!this.#told.has(name)) void this.#tell("came", name, `${group} ${version} ${name}`);
  }

  /** Reads who is there and what was told, and tells the difference. What fails is tried again by the next `lead`. */
  async #read(): Promise<void> {
    const read = ++this.#reads;
    const isLast = () => this.#reads === read;
    this.#state = "reading";
    const { engine, group, marker, now, firstGraceMs } = this.#options;
    try {
      // From here on changes wait for the state.
      this.#list = new MemberList("");
      this.#list.stateRequested();
      await engine.groups.enter(group, { name: marker }, 0);
      const told = await this.#readTold();
      const state = await engine.groups.state(group);
      if (!isLast()) return;
      const leaving = new Map(this.#leaving);
      this.#leaving.clear();
      this.#told = told;
      const { isWhole } = this.#list.load(state);
      this.#state = isWhole ? "leading" : "unsure";
      const { members } = this.#list;
      for (const name of told.keys()) {
        if (!members.has(name)) this.#leaving.set(name, leaving.get(name) ?? now() + firstGraceMs);
      }
      const untold = [...members.keys()].filter((name) => !told.has(name) && !isMarker(name));
      for (let i = 0; i < untold.length && isLast(); i += TOLD_AT_ONCE) {
        const some = untold.slice(i, i + TOLD_AT_ONCE);
        // Whoever has gone meanwhile was there, and nobody was told.
        const there = some.filter((name) => members.has(name) && !this.#told.has(name));
        const keyOf = (name: string) => `${group} ${state.version} ${name}`;
        await Promise.all(there.map((name) => this.#tell("came", name, keyOf(name))));
      }
    } catch (error) {
      if (isLast()) this.#state = "unsure";
      if (!(error instanceof EngineUnavailable)) throw error;
    }
  }

  async #readTold(): Promise<Map<string, string>> {
    const { records } = this.#options.engine;
    const sets = Array.from({ length: SETS }, async (_, i) => records.list(this.#setName(i)));
    const found = await Promise.all(sets);
    return new Map(found.flat().map(({ name, value }) => [name, value]));
  }

  /**
   * The event and that it was told are kept in the same turn, so that an engine with transactions keeps both or neither. Where that
   * fails, what was told is read again. `key` is that of the event.
   */
  async #tell(change: GroupChange["change"], name: string, key: string): Promise<void> {
    const { witness, engine, eventOf } = this.#options;
    if (change === "came") this.#told.set(name, key);
    else this.#told.delete(name);
    const set = this.#setName(hashOf(name) % SETS);
    try {
      await Promise.all([
        witness.keep(eventOf(change, name, key)),
        change === "came"
          ? engine.records.put(set, name, key, KEPT)
          : engine.records.remove(set, name),
      ]);
    } catch (error) {
      this.unsure();
      if (!(error instanceof EngineUnavailable)) throw error;
    }
  }

  #setName(number: number): string {
    return `told ${this.#options.group} ${number}`;
  }
}

/** What stands in front of the name that a node has in a group. No topic and no user has it in its name. */
export const MARK = "\u0001";

function isMarker(name: string): boolean {
  return name.startsWith(MARK);
}

function hashOf(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0;
  return hash;
}
