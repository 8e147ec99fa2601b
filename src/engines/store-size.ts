// What records and queues take together, and may take (BATON_STORE_BYTES).

export class StoreSize {
  readonly #bytesMax: number;
  #bytes = 0;
  #committed = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Counts what the store has when it is opened. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#committed = this.#bytes;
  }

  /** Counts so many more bytes, or so many fewer, unless that is too much. Answers whether it has. */
  take(bytes: number): boolean {
    if (bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** What has changed is in the store. */
  commit(): void {
    this.#committed = this.#bytes;
  }

  /** What has changed since the last commit is not in the store. */
  rollback(): void {
    this.#bytes = this.#committed;
  }
}
