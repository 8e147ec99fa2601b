// What became of publications with a push: who took each, or which devices it went to. Kept in the engine for a while, so that whoever
// asks later, and another node that goes on with its retries, know it.
import type { Position } from "../../relay/contracts/publication";
import type { Records } from "../../relay/contracts/store";

/** A publication with a push. */
interface Pushed {
  readonly id: string;
  readonly topic: string;
  /** Undefined where its topic keeps no history. */
  readonly position: Position | undefined;
}

/** What is kept of a push for one device. "unknown": the relay died while it was being sent, so it is not sent again. */
export type DeviceState =
  | "accepted"
  | "gone"
  | "refused"
  | "unknown"
  | "waiting"
  | "given_up"
  | "collapsed"
  | "withdrawn";

export interface DeviceFate {
  readonly device: string;
  readonly state: DeviceState;
  readonly attempts: number;
  /** What the push service answered last; undefined where it did not. */
  readonly status?: number | undefined;
  /** In ms of Unix time. */
  readonly at: number;
}

/** "taken": a connection of its user got it. "pushed": it went to devices, if there were any. "expired": its time was over before. */
export interface Fate {
  readonly state: "taken" | "pushed" | "expired";
  readonly at: number;
  readonly devices: readonly DeviceFate[];
}

const SET = "push-fates";

/** How long it is kept after the last change. */
const TTL_MS = 3_600_000;

/** Beyond that, what is new is not kept, and not tried again for a while: to look for room costs as much as there are. */
const FATES_MAX = 100_000;
const FULL_MS = 1_000;

export class Fates {
  readonly #records: Records;
  readonly #now: () => number;
  #fullUntil = 0;
  /** The last change of each that is under way: one comes after the other. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(records: Records, now: () => number) {
    this.#records = records;
    this.#now = now;
  }

  /** What became of the publication at a position; undefined where it is not known, or not yet. May reject with EngineUnavailable. */
  at(topic: string, position: Position): Promise<Fate | undefined> {
    return this.of({ id: "", topic, position });
  }

  of(pushed: Pushed): Promise<Fate | undefined> {
    return this.#read(nameOf(pushed));
  }

  async #read(name: string): Promise<Fate | undefined> {
    const value = await this.#records.get(SET, name);
    return value === undefined ? undefined : (JSON.parse(value) as Fate);
  }

  /** Keeps what was decided of a publication. */
  decided(pushed: Pushed, state: Fate["state"], at: number): Promise<Fate> {
    return this.#change(nameOf(pushed), (before) => ({
      state,
      at,
      devices: before?.devices ?? [],
    }));
  }

  /** Keeps what became of it for one device; something more happens to it after `waitMs`, which is kept together with this. */
  reached(pushed: Pushed, one: DeviceFate, waitMs: number): Promise<Fate> {
    const change = (before: Fate | undefined) => {
      const devices = (before?.devices ?? []).filter(({ device }) => device !== one.device);
      return {
        state: before?.state ?? "pushed",
        at: before?.at ?? one.at,
        devices: [...devices, one],
      };
    };
    return this.#change(nameOf(pushed), change, waitMs);
  }

  async #keep(name: string, fate: Fate, ttlMs: number): Promise<void> {
    const bounds = { ttlMs, max: FATES_MAX };
    const kept = await this.#records.put(SET, name, JSON.stringify(fate), bounds);
    if (kept === "full") this.#fullUntil = this.#now() + FULL_MS;
  }

  #change(name: string, change: (before: Fate | undefined) => Fate, waitMs = 0): Promise<Fate> {
    const before = this.#changes.get(name) ?? Promise.resolve();
    const next = before.then(async () => {
      const known = await this.#read(name);
      const fate = change(known);
      if (known !== undefined || this.#now() >= this.#fullUntil) {
        await this.#keep(name, fate, TTL_MS + waitMs);
      }
      return fate;
    });
    const settled = next
      .catch(() => {})
      .then(() => {
        if (this.#changes.get(name) === settled) this.#changes.delete(name);
      });
    this.#changes.set(name, settled);
    return next;
  }
}

/** Whoever asks later knows the position, and the id only while the history has the publication. */
function nameOf({ id, topic, position }: Pushed): string {
  return position === undefined ? id : `${position.epoch}:${position.offset} ${topic}`;
}

/** Whether nothing more happens to it, and nobody has it. */
export function isUndelivered({ state, devices }: Fate): boolean {
  if (state === "taken") return false;
  return devices.every((one) => !REACHED.has(one.state));
}

/** "collapsed": what became of the newer one counts. */
const REACHED: ReadonlySet<DeviceState> = new Set([
  "accepted",
  "waiting",
  "collapsed",
  "withdrawn",
]);
