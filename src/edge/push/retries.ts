// Pushes that a service did not take now, until they are tried again. The node that leads has them in memory and in the engine, where the
// next one finds them.
import type { Records } from "../../relay/contracts/store";
import type { DeviceCipher } from "./devices/device-cipher";
import type { PendingPush } from "./outbox";

const SET = "push-retries";

/** The pause after the first attempt; it is doubled after each further one, and made up to a fifth longer at random. */
const PAUSE_MS = 5_000;
const PAUSE_MAX_MS = 3_600_000;

export interface Retry {
  readonly pending: PendingPush;
  readonly device: string;
  /** How often it was tried. */
  readonly attempts: number;
  /** In ms of Unix time. */
  readonly notBefore: number;
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
  #retries = new Map<string, Retry>();
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
    this.#isLoaded = false;
  }

  /** Reads what the last leader has left, once. */
  async load(): Promise<void> {
    if (this.#isLoaded) return;
    const { records, cipher } = this.#options;
    for (const { name, value } of await records.list(SET)) {
      const opened = await cipher.open(value, SET);
      if (opened !== undefined) this.#retries.set(name, JSON.parse(opened.text));
    }
    this.#isLoaded = true;
  }

  /** Those whose time has come. They stay until they are removed or kept again. */
  due(): readonly Retry[] {
    const now = this.#options.now();
    return [...this.#retries.values()].filter(({ notBefore }) => notBefore <= now);
  }

  /** When to try again after so many attempts, if the service has named no longer time. */
  nextAt(attempts: number, waitMs: number | undefined): number {
    const { now, random } = this.#options;
    const pause = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** (attempts - 1));
    return now() + Math.max(waitMs ?? 0, pause * (1 + random() / 5));
  }

  /** False when there is no room for it. */
  async keep(retry: Retry): Promise<boolean> {
    const { records, cipher, max, now } = this.#options;
    const name = nameOf(retry);
    const sealed = await cipher.seal(JSON.stringify(retry), SET);
    const ttlMs = Math.max(1, retry.deadline - now());
    if ((await records.put(SET, name, sealed, { ttlMs, max })) === "full") return false;
    this.#retries.set(name, retry);
    return true;
  }

  async remove(retry: Retry): Promise<void> {
    this.#retries.delete(nameOf(retry));
    await this.#options.records.remove(SET, nameOf(retry));
  }

  /** Older pushes for the same device and of the same topic: a newer one takes their place. Cost: all retries. */
  replacedBy({ id, collapse, acceptedAt }: PendingPush, device: string): readonly Retry[] {
    if (collapse === undefined) return [];
    return [...this.#retries.values()].filter(
      ({ pending, device: other }) =>
        other === device &&
        pending.collapse === collapse &&
        pending.id !== id &&
        pending.acceptedAt <= acceptedAt,
    );
  }
}

function nameOf({ pending, device }: Retry): string {
  return `${pending.id}/${device}`;
}
