// Messages between the supervisor and a worker, as JSON texts: those of a loop turn leave together, and what the other
// side has not read is counted, since neither Bun's send() nor the pipe pushes back.
import { type Batcher, watchBatch } from "../engines/batcher";

/** Characters that the other side may leave unread: one that reads leaves less than a second's worth. */
export const UNACKNOWLEDGED_MAX = 67_108_864;

/** How long an acknowledgement waits for a batch to go with; of publications it waits for what they caused to be sent. */
const ACKNOWLEDGE_MS = 20;

export interface PipeOptions {
  /** Sends one text to the other side. */
  readonly send: (text: string) => void;
  /** A message of the other side. What it throws is told to `failed`, and the messages after it are heard. */
  readonly receive: (message: unknown) => void;
  /** A fault of ours in `receive`. */
  readonly failed: (error: unknown) => void;
  /** Monotonic, in ms. */
  readonly now: () => number;
  /** The other side has read some. */
  readonly read?: () => void;
  /** The other side has left more than UNREAD_MAX characters unread. */
  readonly full?: () => void;
  /** That its publications leave in; without one they leave at the end of the turn. */
  readonly wave?: Batcher;
}

/**
 * Its number (0: none, it only acknowledges); the other side's newest batch that was read; how long the last one with
 * publications took, with all that it caused, in ms; how many publications are in it; its messages.
 */
type Batch = readonly [
  number: number,
  read: number,
  spentMs: number,
  publications: number,
  messages: readonly unknown[],
];

export class Pipe {
  readonly #options: PipeOptions;
  #queue: string[] = [];
  /** Publications in the queue. */
  #publications = 0;
  #number = 0;
  /** Sent and not yet read by the other side: numbers of batches and their lengths, oldest first. */
  readonly #unread: (readonly [number: number, length: number])[] = [];
  #unreadSize = 0;
  /** The other side's newest batch, and up to which one it was told. */
  #read = 0;
  #acknowledged = 0;
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
  #spentMs = 0;
  /** What the other side has said of itself. */
  #othersMs = 0;
  /** The last batch with publications. */
  #lastPublications = 0;
  #isClosed = false;

  constructor(options: PipeOptions) {
    this.#options = options;
  }

  /** Characters that the other side has not read. */
  get unreadSize(): number {
    return this.#unreadSize;
  }

  /** Whether the other side is so far behind that nothing should be added that can be refused. */
  get isFull(): boolean {
    return this.#unreadSize > UNACKNOWLEDGED_MAX;
  }

  push(message: unknown): void {
    this.pushText(JSON.stringify(message));
  }

  /** The same with JSON text, for what goes to many. */
  pushText(message: string, isPublication = false): void {
    if (this.#isClosed) return;
    const { wave } = this.#options;
    const isFirst = this.#queue.push(message) === 1;
    if (isPublication) this.#publications++;
    if (isPublication && wave !== undefined) wave.schedule(this);
    else if (isFirst) setImmediate(() => this.#leave());
  }

  /** Sends what waits at once. */
  flush(): void {
    if (this.#queue.length === 0 || this.#isClosed) return;
    const text = this.#batch(++this.#number, this.#queue.join(","));
    if (this.#publications > 0) {
      this.#lastPublications = this.#number;
      this.#options.wave?.flushed(this, this.#othersMs);
    }
    this.#queue = [];
    this.#publications = 0;
    this.#unread.push([this.#number, text.length]);
    this.#unreadSize += text.length;
    this.#send(text);
    if (this.isFull) this.#options.full?.();
  }

  /** A text that the other side has sent. */
  heard(text: string): void {
    const { receive, failed, now, wave } = this.#options;
    const begunAt = now();
    const [number, read, spentMs, publications, messages] = JSON.parse(text) as Batch;
    const before = this.#unreadSize;
    while (this.#unread[0] !== undefined && this.#unread[0][0] <= read) {
      this.#unreadSize -= this.#unread.shift()?.[1] ?? 0;
    }
    if (this.#unreadSize < before) this.#options.read?.();
    this.#othersMs = spentMs;
    if (read >= this.#lastPublications) wave?.acknowledged(this);
    for (const message of messages) {
      try {
        receive(message);
      } catch (error) {
        failed(error);
      }
    }
    if (number === 0) return;
    if (publications === 0) {
      this.#read = number;
      this.#acknowledging ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_MS);
      return;
    }
    const sent = (ms: number) => {
      this.#spentMs = ms;
    };
    watchBatch(now, begunAt, sent, () => {
      this.#read = Math.max(this.#read, number);
      if (this.#queue.length > 0) this.flush();
      else this.#acknowledge();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    clearTimeout(this.#acknowledging);
    this.#options.wave?.removed(this);
  }

  /** At the end of the turn: with publications it leaves in their wave. */
  #leave(): void {
    if (this.#publications === 0 || this.#options.wave === undefined) this.flush();
  }

  #acknowledge(): void {
    if (this.#read > this.#acknowledged && !this.#isClosed) this.#send(this.#batch(0, ""));
  }

  #batch(number: number, messages: string): string {
    this.#acknowledged = this.#read;
    clearTimeout(this.#acknowledging);
    this.#acknowledging = undefined;
    const spentMs = Math.round(this.#spentMs * 1_000) / 1_000;
    return `[${number},${this.#read},${spentMs},${this.#publications},[${messages}]]`;
  }

  #send(text: string): void {
    try {
      this.#options.send(text);
    } catch {
      // The other side has gone; its owner hears of that by itself.
      this.close();
    }
  }
}
