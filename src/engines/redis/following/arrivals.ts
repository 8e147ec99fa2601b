// What a node hears of the topics that it follows, handed on in waves, as a supervisor hands it to its workers: while the
// sockets take one wave, what arrives is kept for the next, and leaves in one send for each socket.
import { type Batcher, type Flushable, watchBatch } from "../../batcher";

const now = () => performance.now();

export class Arrivals implements Flushable {
  readonly #wave: Batcher;
  #waiting: (() => void)[] = [];
  /** How long the last one took, with all that was sent, in ms. */
  #spentMs = 0;

  constructor(wave: Batcher) {
    this.#wave = wave;
  }

  /** `take` is called after those that were added before it, in this turn or with the next wave. */
  add(take: () => void): void {
    this.#waiting.push(take);
    this.#wave.schedule(this);
  }

  flush(): void {
    if (this.#waiting.length === 0) return;
    const begunAt = now();
    this.#wave.flushed(this, this.#spentMs);
    for (const take of this.#waiting.splice(0)) take();
    const sent = (ms: number) => {
      this.#spentMs = ms;
    };
    watchBatch(now, begunAt, sent, () => this.#wave.acknowledged(this));
  }
}
