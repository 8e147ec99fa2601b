// Publications leave for the workers in waves: the next one when all workers have taken the last. In the same way a node
// hands on what it hears of Redis. What is taken in one turn of a loop leaves in one send for each socket, and sends are
// nearly all that a delivery costs. Handed over as they come, those of 16 publishers on 4 workers left in twice as many
// sends as from one process; in waves in as many, if each waits for the publishers that the last one has answered.

/** The longest that a publication waits for a worker to have taken the last wave, and then for others. */
const WAIT_MAX_MS = 25;

/** How long the next one waits once the last was taken: the publishers that were answered last have not come back yet. */
const PAUSE_MS = 1;

/** Where fewer are back than there were, it waits for them for at most this part of the time that the last wave took. */
const SHARE = 0.5;

/** A worker that takes its part in less is not waited for: there is little to gain. */
const WORTH_MS = 0.5;

/**
 * How a wave is known to be taken, by who was handed it at `begunAt` of the clock `now`: at the end of the turn the loop sends what
 * it caused, and `sent` is told how many ms that took in all; `taken` is called a turn later, with what came of it read.
 */
export function watchTaking(
  now: () => number,
  begunAt: number,
  sent: (ms: number) => void,
  taken: () => void,
): void {
  setImmediate(() => {
    sent(now() - begunAt);
    setImmediate(taken);
  });
}

/** Who hands them to one worker, or what a node heard to its own sockets. */
export interface Flushable {
  /** Hands over what it holds. */
  flush(): void;
}

export class Batcher {
  /** Those whose workers have not taken the last wave yet. */
  readonly #taking = new Set<Flushable>();
  /** Those that hold something for the next. */
  readonly #holding = new Set<Flushable>();
  /** How much they hold, and how much left in the last wave and in the one before. */
  #held = 0;
  #last = 0;
  #before = 0;
  /** How long the slowest takes for a wave, in ms. */
  #tookMs = 0;
  /** The next one is about to leave. */
  #isLeaving = false;
  /** It would leave, but holds less than those before. */
  #isShort = false;
  /** For how long it waits at most. */
  #waiting: ReturnType<typeof setTimeout> | undefined;

  /** This one has one more for the next wave, and is flushed with it: at the end of this turn, or when it may leave. */
  join(one: Flushable): void {
    this.#holding.add(one);
    this.#held++;
    if (this.#taking.size > 0) this.#waiting ??= setTimeout(() => this.#next(), WAIT_MAX_MS);
    else if (this.#waiting === undefined || (this.#isShort && this.#isFull())) this.#leave();
  }

  /** This one has handed over publications; its worker took so long for the last. */
  given(one: Flushable, ms: number): void {
    this.#holding.delete(one);
    this.#tookMs = Math.max(this.#tookMs, ms);
    if (ms >= WORTH_MS) this.#taking.add(one);
  }

  /** This one's worker has gone. */
  left(one: Flushable): void {
    this.#holding.delete(one);
    this.taken(one);
  }

  /** This one's worker has taken all. */
  taken(one: Flushable): void {
    if (!this.#taking.delete(one) || this.#taking.size > 0) return;
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.#paused(), PAUSE_MS);
  }

  /** Whether it is as large as those before: their publishers are back. */
  #isFull(): boolean {
    return this.#held >= Math.max(this.#last, this.#before);
  }

  #paused(): void {
    const moreMs = Math.min(this.#tookMs * SHARE, WAIT_MAX_MS) - PAUSE_MS;
    if (moreMs <= 0 || this.#isFull()) {
      this.#next();
      return;
    }
    this.#isShort = true;
    this.#waiting = setTimeout(() => this.#next(), moreMs);
  }

  #leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    clearTimeout(this.#waiting);
    setImmediate(() => this.#next());
  }

  #next(): void {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    this.#isLeaving = false;
    this.#isShort = false;
    this.#taking.clear();
    this.#before = this.#last;
    this.#last = this.#held;
    this.#held = 0;
    this.#tookMs = 0;
    for (const one of [...this.#holding]) one.flush();
  }
}
