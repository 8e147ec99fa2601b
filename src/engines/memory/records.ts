// Small values in named sets, in this process's memory. A value that has expired is gone, though it is removed later.
import type { NamedValue, RecordBounds, Records } from "../../relay/contracts/store";
import { Rounds } from "../rounds";
import type { StoreSize } from "../store-size";

interface KeptValue {
  readonly value: string;
  readonly size: number;
  readonly expiresAt: number;
}

/** By name, in the order of their first put. */
type RecordSet = Map<string, KeptValue>;

/** What a value takes besides its texts. */
const VALUE_BYTES = 200;

/** Values that one sweep looks at: they take less than a millisecond. */
const SWEEP_VALUES_MAX = 10_000;

export class MemoryRecords implements Records {
  readonly #now: () => number;
  readonly #size: StoreSize;
  readonly #sets = new Map<string, RecordSet>();
  readonly #sweeping = new Rounds(() => this.#all());

  constructor(now: () => number, size: StoreSize) {
    this.#now = now;
    this.#size = size;
  }

  put(set: string, name: string, value: string, { ttlMs, max }: RecordBounds): undefined | "full" {
    const values = this.#sets.get(set) ?? new Map<string, KeptValue>();
    // One that has expired is put for the first time.
    const expired = values.get(name);
    if (expired !== undefined && expired.expiresAt <= this.#now()) {
      this.#delete(set, values, name, expired);
    }
    if (!values.has(name)) {
      if (values.size >= max) this.#expire(set, values);
      if (values.size >= max) return "full";
    }
    const size = VALUE_BYTES + 2 * (name.length + value.length);
    if (!this.#size.take(size - (values.get(name)?.size ?? 0))) return "full";
    this.#sets.set(set, values);
    values.set(name, { value, size, expiresAt: this.#now() + ttlMs });
    return undefined;
  }

  get(set: string, name: string): string | undefined {
    const kept = this.#sets.get(set)?.get(name);
    return kept !== undefined && kept.expiresAt > this.#now() ? kept.value : undefined;
  }

  list(set: string): readonly NamedValue[] {
    const now = this.#now();
    const found: NamedValue[] = [];
    for (const [name, { value, expiresAt }] of this.#sets.get(set) ?? []) {
      if (expiresAt > now) found.push({ name, value });
    }
    return found;
  }

  remove(set: string, name: string): boolean {
    const values = this.#sets.get(set);
    const kept = values?.get(name);
    if (values === undefined || kept === undefined) return false;
    this.#delete(set, values, name, kept);
    return kept.expiresAt > this.#now();
  }

  /** Removes some of what has expired. The next call goes on with the values after those that were looked at. */
  expire(): void {
    const now = this.#now();
    for (const { set, values, name, kept } of this.#sweeping.next(SWEEP_VALUES_MAX)) {
      if (kept.expiresAt <= now) this.#delete(set, values, name, kept);
    }
  }

  *#all() {
    for (const [set, values] of this.#sets) {
      for (const [name, kept] of values) yield { set, values, name, kept };
    }
  }

  #expire(set: string, values: RecordSet): void {
    const now = this.#now();
    for (const [name, kept] of values) {
      if (kept.expiresAt <= now) this.#delete(set, values, name, kept);
    }
  }

  #delete(set: string, values: RecordSet, name: string, { size }: KeptValue): void {
    values.delete(name);
    this.#size.release(size);
    if (values.size === 0) this.#sets.delete(set);
  }
}
