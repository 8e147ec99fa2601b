// Whose turn it is to ask one address of the backend: so many ask at once, and so many others wait, each for a while at most.

/** Why somebody gets no turn, as a sentence about the question. */
type NoTurn = string;

export interface TurnLimits {
  readonly proxyCallsMax: number;
  readonly proxyWaitingMax: number;
  readonly proxyWaitMs: number;
}

interface WaitingQuestion {
  /** In characters. */
  readonly size: number;
  readonly settle: (why: NoTurn | undefined) => void;
  readonly until: number;
}

/** What the bodies may have together that wait: clients choose how long they are. */
const WAITING_CHARACTERS_MAX = 67_108_864;

export class Turns {
  #limits: TurnLimits;
  readonly #waiting: WaitingQuestion[] = [];
  /** How many of `waiting`, from its beginning on, wait no longer. */
  #taken = 0;
  #waitingCharacters = 0;
  #running = 0;
  #timer: Timer | undefined;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#waiting.length - this.#taken;
  }

  get running(): number {
    return this.#running;
  }

  /** Takes new limits; who waits already keeps the old ones. */
  limit(limits: TurnLimits): void {
    this.#limits = limits;
  }

  /** Undefined when it is one's turn, which `end` must end; or why there is none. `size` is that of the body, in characters. */
  begin(size: number): Promise<NoTurn | undefined> | undefined {
    const { proxyCallsMax, proxyWaitingMax, proxyWaitMs } = this.#limits;
    if (this.#running < proxyCallsMax && this.waiting === 0) {
      this.#running++;
      return undefined;
    }
    const isFull = this.#waitingCharacters + size > WAITING_CHARACTERS_MAX;
    if (this.waiting >= proxyWaitingMax || isFull) {
      return Promise.resolve(`${proxyWaitingMax} questions wait already (BATON_PROXY_WAITING_MAX)`);
    }
    return new Promise((settle) => {
      this.#waitingCharacters += size;
      this.#waiting.push({ size, settle, until: performance.now() + proxyWaitMs });
      this.#setTimer();
    });
  }

  end(): void {
    this.#running--;
    this.#giveUpLate();
    while (this.waiting > 0 && this.#running < this.#limits.proxyCallsMax) {
      this.#running++;
      this.#takeFirst()?.settle(undefined);
    }
  }

  #giveUpLate(): void {
    const now = performance.now();
    while ((this.#waiting[this.#taken]?.until ?? Number.POSITIVE_INFINITY) <= now) {
      this.#takeFirst()?.settle("it has waited for too long behind others (BATON_PROXY_WAIT_MS)");
    }
  }

  #takeFirst(): WaitingQuestion | undefined {
    const first = this.#waiting[this.#taken++];
    this.#waitingCharacters -= first?.size ?? 0;
    // Not each time, since that would move all the others.
    if (this.#taken > this.#waiting.length / 2) {
      this.#waiting.splice(0, this.#taken);
      this.#taken = 0;
    }
    return first;
  }

  /** Who waits is told in time, also while no turn ends. */
  #setTimer(): void {
    const first = this.#waiting[this.#taken];
    if (this.#timer !== undefined || first === undefined) return;
    const work = () => {
      this.#timer = undefined;
      this.#giveUpLate();
      this.#setTimer();
    };
    this.#timer = setTimeout(work, Math.max(1, first.until - performance.now())).unref();
  }
}
