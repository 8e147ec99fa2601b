// The pace at which a worker takes what the supervisor sends. Publications of one turn of the loop leave in one send for
// each socket, and those sends are nearly all that a delivery costs. Several workers' publications come one by one, so a
// worker that expects more of them soon waits for as long as its last sends took, and takes all that came at once.

/** The longest wait, in ms; a shorter one than the least is none, since timers cannot do it. */
const WAIT_MAX_MS = 10;
const WAIT_MIN_MS = 0.5;

export interface PaceOptions {
  readonly take: (text: string) => void;
  /** Publications that were taken until now. */
  readonly taken: () => number;
  /** Monotonic, in ms. */
  readonly now: () => number;
}

export class Pace {
  readonly #options: PaceOptions;
  #waiting: string[] = [];
  /** Of the last turn that took publications: when it began, how many, and how long it took with its sends. */
  #begunAt = 0;
  #count = 0;
  #spentMs = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** Takes it now or some ms later, in order. */
  heard(text: string): void {
    this.#waiting.push(text);
    if (this.#waiting.length > 1) return;
    const wait = this.#wait();
    if (wait < WAIT_MIN_MS) this.flush();
    else setTimeout(() => this.flush(), wait);
  }

  /** Takes what waits, at once. */
  flush(): void {
    const texts = this.#waiting;
    this.#waiting = [];
    const { take, taken, now } = this.#options;
    const begunAt = now();
    const before = taken();
    for (const text of texts) take(text);
    const count = taken() - before;
    if (count === 0) return;
    this.#begunAt = begunAt;
    this.#count = count;
    // The loop sends between the two, whether this was called by the pipe or by a timer.
    setImmediate(() =>
      setImmediate(() => {
        if (this.#begunAt === begunAt) this.#spentMs = now() - begunAt;
      }),
    );
  }

  /** None, when at the rate of late nothing more would come meanwhile. */
  #wait(): number {
    const expected = (this.#count * this.#spentMs) / (this.#options.now() - this.#begunAt);
    return expected < 1 ? 0 : Math.min(WAIT_MAX_MS, this.#spentMs);
  }
}
