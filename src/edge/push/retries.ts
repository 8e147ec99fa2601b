// Pushes that a service did not take now, until they are tried again. The node that leads has them in memory and in the engine, where the
// next one finds them.
import type { Records } from "../../relay/contracts/store";
import type { DeviceCipher } from "./devices/device-cipher";
import type { PendingPush } from "./outbox";

const SET = "push-retries";

/** The pause after the first attempt; it is doubled after each further one. */
const PAUSE_MS = 5_000;
const PAUSE_MAX_MS = 3_600_000;

/** A pause is made longer at random by up to this part of it, so that not all come back at once to a service that has named a time. */
const JITTER = 0.2;

/** How many are looked at together. */
const DUE_MAX = 1_000;

export interface Retry {
  readonly pending: PendingPush;
  readonly device: string;
  /** How often it was tried. */
  readonly attempts: number;
  /** In ms of Unix time. */
  readonly notBefore: number;
  readonly deadline: number;
}

interface Pause {
  readonly attempts: number;
  readonly waitMs: number | undefined;
  readonly deadline: number;
}

interface RetriesOptions {
  readonly records: Records;
  readonly cipher: DeviceCipher;
  readonly max: number;
  readonly now: () => number;
  readonly random: () => number;
}

export class Retries {
  readonly #options: RetriesOptions;
  readonly #retries = new Map<string, Retry>();
  /** Those that a newer push may replace, by what `replaceable` says. Nearly always one each. */
  readonly #replaceable = new Map<string, Set<Retry>>();
  #isLoaded = false;

  constructor(options: RetriesOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#retries.size;
  }

  /** This node leads no longer: another one goes on. */
  forget(): void {
    this.#retries.clear();
    this.#replaceable.clear();
    this.#isLoaded = false;
  }

  /** Reads what the last leader has left, once. */
  async load(): Promise<void> {
    if (this.#isLoaded) return;
    const { records, cipher } = this.#options;
    for (const { name, value } of await records.list(SET)) {
      const opened = await cipher.open(value, SET);
      if (opened !== undefined) this.#add(name, JSON.parse(opened.text));
    }
    this.#isLoaded = true;
  }

  /** Some of those whose time has come, apart from those `underWay`. They stay until they are removed or kept again. Cost: all. */
  due(underWay: ReadonlySet<Retry>): readonly Retry[] {
    const now = this.#options.now();
    const due: Retry[] = [];
    for (const retry of this.#retries.values()) {
      if (retry.notBefore > now || underWay.has(retry)) continue;
      if (due.push(retry) === DUE_MAX) break;
    }
    return due;
  }

  /** Whether the push waits to be tried again for the device. */
  has(pending: PendingPush, device: string): boolean {
    return this.#retries.has(nameOf({ pending, device }));
  }

  /**
   * When to try again after so many attempts, if its service has not named a longer time: not before that. Undefined where the
   * deadline is over by then. All times in ms.
   */
  nextAt({ attempts, waitMs = 0, deadline }: Pause): number | undefined {
    const { now, random } = this.#options;
    const pause = Math.max(waitMs, Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** (attempts - 1)));
    if (now() + pause > deadline) return undefined;
    return Math.min(deadline, now() + pause * (1 + JITTER * random()));
  }

  /** False when there is no room for it. */
  async keep(retry: Retry): Promise<boolean> {
    const { records, cipher, max, now } = this.#options;
    const name = nameOf(retry);
    const sealed = await cipher.seal(JSON.stringify(retry), SET);
    const ttlMs = Math.max(1, retry.deadline - now());
    if ((await records.put(SET, name, sealed, { ttlMs, max })) === "full") return false;
    this.#add(name, retry);
    return true;
  }

  async remove(retry: Retry): Promise<void> {
    const name = nameOf(retry);
    this.#drop(name);
    await this.#options.records.remove(SET, name);
  }

  /** Older pushes for the same device and of the same topic: a newer one takes their place. */
  replacedBy({ id, collapse, acceptedAt }: PendingPush, device: string): readonly Retry[] {
    if (collapse === undefined) return [];
    const others = this.#replaceable.get(replaceable(device, collapse)) ?? [];
    return [...others].filter(
      ({ pending }) => pending.id !== id && pending.acceptedAt <= acceptedAt,
    );
  }

  #add(name: string, retry: Retry): void {
    this.#drop(name);
    this.#retries.set(name, retry);
    const { pending, device } = retry;
    if (pending.collapse === undefined) return;
    const key = replaceable(device, pending.collapse);
    this.#replaceable.getOrInsertComputed(key, () => new Set()).add(retry);
  }

  #drop(name: string): void {
    const retry = this.#retries.get(name);
    if (retry === undefined) return;
    this.#retries.delete(name);
    const { pending, device } = retry;
    if (pending.collapse === undefined) return;
    const key = replaceable(device, pending.collapse);
    const others = this.#replaceable.get(key);
    if (others?.delete(retry) && others.size === 0) this.#replaceable.delete(key);
  }
}

function nameOf({ pending, device }: Pick<Retry, "pending" | "device">): string {
  return `${pending.id}/${device}`;
}

function replaceable(device: string, collapse: string): string {
  return `${collapse}/${device}`;
}
