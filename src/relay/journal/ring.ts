// The newest entries of something that happens again and again, at most so many: what is older is forgotten.

export class Ring<Entry> {
  readonly #max: number;
  readonly #entries: Entry[] = [];
  /** Where the next entry goes, once there are as many as there may be. */
  #next = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Whether an entry was, or would have been, forgotten for a newer one. */
  get isFull(): boolean {
    return this.#entries.length >= this.#max;
  }

  push(entry: Entry): void {
    if (this.#entries.length < this.#max) {
      this.#entries.push(entry);
      return;
    }
    if (this.#max === 0) return;
    this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) % this.#max;
  }

  /** The oldest entry. */
  get oldest(): Entry | undefined {
    return this.#entries[this.#next];
  }

  /** From the newest entry to the oldest. */
  *[Symbol.iterator](): IterableIterator<Entry> {
    const count = this.#entries.length;
    for (let i = 1; i <= count; i++) {
      yield this.#entries[(this.#next - i + count) % count] as Entry;
    }
  }
}
