// Publications leave in batches: the next one leaves once every receiver has acknowledged the last. The supervisor batches what
// it sends to its workers, and a node that uses Redis what it hands to its sockets. Whatever a loop takes in one turn leaves in
// one send for each socket, and sends are nearly all that a delivery costs. Without batches, the publications of 16 publishers on
// 4 workers left in twice as many sends as from one process. In batches they leave in as few, provided that each batch waits for
// the publishers whose requests the previous batch has answered.

/** The longest that a publication waits for the last batch to be acknowledged and then for other publications. */
const WAIT_MAX_MS = 25;

/** The pause after an acknowledgement: the publishers that have just been answered need this long to publish again. */
const PAUSE_MS = 1;

/** While fewer publications wait than the last batches had, the wait goes on for this share of the last batch's time. */
const EXTRA_WAIT_SHARE = 0.5;

/** A receiver that needs less time than this for a batch is not waited for, because there is little to gain. */
const WORTH_WAITING_MS = 0.5;

/**
 * Measures a batch that this loop began to handle at `begunAt`, by the clock `now`. The loop sends what the batch caused at the
 * end of the turn; then `sent` gets the time that all of it took. `done` is called one turn later, when the answers to what was
 * sent have been read.
 */
export function watchBatch(
  now: () => number,
  begunAt: number,
  sent: (ms: number) => void,
  done: () => void,
): void {
  setImmediate(() => {
    sent(now() - begunAt);
    setImmediate(done);
  });
}

/** Keeps publications for one receiver: for a worker, or for the sockets of this node. */
export interface Flushable {
  /** Sends all that it keeps. */
  flush(): void;
}

export class Batcher {
  /** Flushed in the last batch, and not acknowledged yet. */
  readonly #unacknowledged = new Set<Flushable>();
  /** To be flushed in the next batch. */
  readonly #scheduled = new Set<Flushable>();
  /** Publications that wait for the next batch, that were in the last one, and in the one before it. */
  #waitingCount = 0;
  #lastCount = 0;
  #previousCount = 0;
  /** How long the slowest receiver needs for a batch. */
  #slowestMs = 0;
  /** The next batch leaves at the end of this turn. */
  #isLeaving = false;
  /** The pause is over, but the batch is still smaller than the last ones. */
  #isUndersized = false;
  /** Ends the wait for the next batch. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** To be called for each publication that a receiver keeps: it is flushed at the end of this turn or with the next batch. */
  schedule(receiver: Flushable): void {
    this.#scheduled.add(receiver);
    this.#waitingCount++;
    if (this.#unacknowledged.size > 0) this.#timer ??= setTimeout(() => this.#next(), WAIT_MAX_MS);
    else if (this.#timer === undefined || (this.#isUndersized && this.#isFull())) this.#leave();
  }

  /** A receiver has sent what it kept. `lastMs` is how long its last batch took at the other end. */
  flushed(receiver: Flushable, lastMs: number): void {
    this.#scheduled.delete(receiver);
    this.#slowestMs = Math.max(this.#slowestMs, lastMs);
    if (lastMs >= WORTH_WAITING_MS) this.#unacknowledged.add(receiver);
  }

  /** The other end has handled all that it was sent. */
  acknowledged(receiver: Flushable): void {
    if (!this.#unacknowledged.delete(receiver) || this.#unacknowledged.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#pauseIsOver(), PAUSE_MS);
  }

  /** A receiver is gone, and nobody waits for it any more. */
  removed(receiver: Flushable): void {
    this.#scheduled.delete(receiver);
    this.acknowledged(receiver);
  }

  /** Whether the next batch is as large as the last ones: then their publishers have all published again. */
  #isFull(): boolean {
    return this.#waitingCount >= Math.max(this.#lastCount, this.#previousCount);
  }

  #pauseIsOver(): void {
    const moreMs = Math.min(this.#slowestMs * EXTRA_WAIT_SHARE, WAIT_MAX_MS) - PAUSE_MS;
    if (moreMs <= 0 || this.#isFull()) {
      this.#next();
      return;
    }
    this.#isUndersized = true;
    this.#timer = setTimeout(() => this.#next(), moreMs);
  }

  #leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    clearTimeout(this.#timer);
    setImmediate(() => this.#next());
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isLeaving = false;
    this.#isUndersized = false;
    this.#unacknowledged.clear();
    this.#previousCount = this.#lastCount;
    this.#lastCount = this.#waitingCount;
    this.#waitingCount = 0;
    this.#slowestMs = 0;
    for (const receiver of [...this.#scheduled]) receiver.flush();
  }
}
