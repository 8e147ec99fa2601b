// What has arrived at a reader whose server sends ahead, and is not read yet.
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX, type InboundRecord, READ_WAIT_MS } from "./contract";

export class Arrivals<Kept extends InboundRecord> {
  #records: Kept[] = [];
  #failure: Error | undefined;
  #bytes = 0;
  #wake = () => {};

  get count(): number {
    return this.#records.length;
  }

  /** Those of the bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  add(record: Kept): void {
    this.#records.push(record);
    this.#bytes += record.size ?? 0;
    this.#wake();
  }

  clear(): void {
    this.#records = [];
    this.#bytes = 0;
  }

  /** Has `waited` look again, though nothing has arrived. */
  wake(): void {
    this.#wake();
  }

  /** From now on nothing can be read. Of several failures the first counts. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  /** Throws what the reader has failed with. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when there is a record, after `wake`, or after READ_WAIT_MS. Rejects when the reader fails or has failed. */
  async waited(): Promise<void> {
    if (this.#records.length === 0 && !this.hasFailed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, READ_WAIT_MS);
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
    }
    this.check();
  }

  /** Hands out as many as a batch may have, the oldest first. */
  take(): readonly Kept[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#records.length && count < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX) {
      bytes += this.#records[count++]?.size ?? 0;
    }
    this.#bytes -= bytes;
    return this.#records.splice(0, count);
  }
}
