// Reads of histories that somebody else answers: a server, or the supervisor over its pipe. All clients may come back at the
// same moment, and each page of theirs may be large, so only a few pages are under way at once. The others wait their turn.
import { EngineUnavailable, type HistoryPage } from "../relay/contracts/engine";

interface WaitingRead extends PromiseWithResolvers<HistoryPage> {
  readonly size: number;
  readonly read: () => Promise<HistoryPage>;
}

export class HistoryReads {
  readonly #sizeMax: number;
  /** What the reads that are under way may bring, in characters. */
  #size = 0;
  #waiting: WaitingRead[] = [];

  /** At most so many characters are under way, or one read that may bring more. */
  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  /** Does a read that brings at most about `size` characters; one that brings none never waits. */
  run(size: number, read: () => Promise<HistoryPage>): Promise<HistoryPage> {
    if (size === 0 || (this.#waiting.length === 0 && this.#hasRoom(size))) {
      return this.#start(size, read);
    }
    const waiting = { ...Promise.withResolvers<HistoryPage>(), size, read };
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  #hasRoom(size: number): boolean {
    return this.#size === 0 || this.#size + size <= this.#sizeMax;
  }

  #start(size: number, read: () => Promise<HistoryPage>): Promise<HistoryPage> {
    this.#size += size;
    const page = read();
    page.then(
      () => this.#ended(size),
      (error) => {
        // Whoever waits would find out the same, one after the other.
        if (error instanceof EngineUnavailable) this.#rejectWaiting(error);
        this.#ended(size);
      },
    );
    return page;
  }

  #ended(size: number): void {
    this.#size -= size;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#hasRoom(next.size)) return;
      this.#waiting.shift();
      this.#start(next.size, next.read).then(next.resolve, next.reject);
    }
  }

  #rejectWaiting(error: EngineUnavailable): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
  }
}
