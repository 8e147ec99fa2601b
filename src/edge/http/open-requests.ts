// The requests whose bodies stay open for as long as their senders like. There are only so many at once, each is dropped when its
// sender is gone or has been silent for long, since it may have died without a sign, and all are ended at a shutdown.

/** How often it is looked who is gone. */
const CHECK_MS = 1_000;

/** How long a line may take from its first byte to its last: as long as any other request may take to arrive. */
const LINE_MS = 10_000;

/** A request that somebody can end. */
export interface OpenRequest {
  /** When the last bytes of it were read, on the clock of `performance.now`. */
  readonly readAt: number;
  /** When the line was begun that has not ended yet, on the same clock; undefined where there is none. */
  readonly lineBegunAt: number | undefined;
  /** Whether its connection is closed. */
  readonly isGone: boolean;
  /** Ends it after what was read of it has been answered. */
  end(): void;
  /** Ends it at once, because nobody is there. It must call `remove`. */
  drop(): void;
}

interface OpenRequestsOptions {
  readonly publishStreamsMax: number;
  readonly publishIdleMs: number;
}

export class OpenRequests {
  readonly #options: OpenRequestsOptions;
  readonly #open = new Set<OpenRequest>();
  /** Runs while there are any. */
  #checking: Timer | undefined;

  constructor(options: OpenRequestsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether there is a place for one more. */
  hasRoom(): boolean {
    if (this.#open.size >= this.#options.publishStreamsMax) this.#check();
    return this.#open.size < this.#options.publishStreamsMax;
  }

  add(request: OpenRequest): void {
    this.#open.add(request);
    if (this.#checking !== undefined) return;
    this.#checking = setInterval(() => this.#check(), CHECK_MS);
    this.#checking.unref();
  }

  remove(request: OpenRequest): void {
    this.#open.delete(request);
    if (this.#open.size > 0) return;
    clearInterval(this.#checking);
    this.#checking = undefined;
  }

  endAll(): void {
    for (const request of [...this.#open]) request.end();
  }

  #check(): void {
    const now = performance.now();
    const { publishIdleMs } = this.#options;
    const oldest = now - publishIdleMs;
    const oldestLine = now - Math.min(LINE_MS, publishIdleMs);
    for (const request of [...this.#open]) {
      const { isGone, readAt, lineBegunAt = now } = request;
      if (isGone || readAt <= oldest || lineBegunAt <= oldestLine) request.drop();
    }
  }
}
