// What became of publications with a push: who took each, or which devices it went to. Kept in the engine for a while, so that whoever
// asks later, and another node that goes on with its retries, know it.
import type { Records } from "../../relay/contracts/store";

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

interface DeviceFate {
  readonly device: string;
  readonly state: DeviceState;
  readonly attempts: number;
  /** What the push service answered last; undefined where it did not. */
  readonly status?: number | undefined;
  /** In ms of Unix time. */
  readonly at: number;
}

/** "taken": a connection of its user got it. "pushed": it went to devices, if there were any. "expired": its time was over before. */
interface Fate {
  readonly state: "taken" | "pushed" | "expired";
  readonly at: number;
  readonly devices: readonly DeviceFate[];
}

const SET = "push-fates";

/** How long it is kept after the last change. */
const TTL_MS = 3_600_000;

/** Beyond that, what is new is not kept. */
const FATES_MAX = 100_000;

export class Fates {
  readonly #records: Records;
  /** The last change of each that is under way: one comes after the other. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(records: Records) {
    this.#records = records;
  }

  /** Undefined where it is not known, or not yet. May reject with EngineUnavailable. */
  async of(id: string): Promise<Fate | undefined> {
    const value = await this.#records.get(SET, id);
    return value === undefined ? undefined : (JSON.parse(value) as Fate);
  }

  /** Keeps what was decided of a publication. */
  decided(id: string, state: Fate["state"], at: number): Promise<Fate> {
    return this.#change(id, (before) => ({ state, at, devices: before?.devices ?? [] }));
  }

  /** Keeps what became of it for one device. */
  reached(id: string, one: DeviceFate): Promise<Fate> {
    return this.#change(id, (before) => {
      const devices = (before?.devices ?? []).filter(({ device }) => device !== one.device);
      return {
        state: before?.state ?? "pushed",
        at: before?.at ?? one.at,
        devices: [...devices, one],
      };
    });
  }

  #change(id: string, change: (before: Fate | undefined) => Fate): Promise<Fate> {
    const before = this.#changes.get(id) ?? Promise.resolve();
    const next = before.then(async () => {
      const fate = change(await this.of(id));
      await this.#records.put(SET, id, JSON.stringify(fate), { ttlMs: TTL_MS, max: FATES_MAX });
      return fate;
    });
    const settled = next
      .catch(() => {})
      .then(() => {
        if (this.#changes.get(id) === settled) this.#changes.delete(id);
      });
    this.#changes.set(id, settled);
    return next;
  }
}
