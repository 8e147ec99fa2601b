// One end of the pipe between a supervisor and a worker. Messages are JSON texts; those of one turn of the loop leave as one
// batch, and what the other side has not acknowledged is counted: neither Bun's send() nor the pipe itself ever pushes back.
import { type Batcher, watchBatch } from "../engines/batcher";

/** How many characters may be unacknowledged: a side that reads at all leaves less than a second's worth. */
export const UNACKNOWLEDGED_MAX = 67_108_864;

/**
 * How long an acknowledgement waits for a batch that it can travel with. For a batch with publications it waits until all
 * that they caused has been sent.
 */
const ACKNOWLEDGE_MS = 20;

export interface PipeOptions {
  /** Sends one text to the other side. */
  readonly send: (text: string) => void;
  /** Takes in a message of the other side. If it throws, `onFault` is called, and the next message is taken in. */
  readonly onMessage: (message: unknown) => void;
  readonly onFault: (error: unknown) => void;
  /** Monotonic, in ms. */
  readonly now: () => number;
  /** The other side has acknowledged something. */
  readonly onAcknowledged?: () => void;
  /** More than UNACKNOWLEDGED_MAX characters are unacknowledged. */
  readonly onFull?: () => void;
  /** Decides when publications leave; without one they leave at the end of the turn, like everything else. */
  readonly batcher?: Batcher;
}

/** The content of one text. */
type Batch = readonly [
  /** 1, 2, 3…; or 0 for a text that only acknowledges, and is not acknowledged itself. */
  number: number,
  /** The newest batch of the other side that was taken in. */
  acknowledged: number,
  /** How long the last batch with publications took the sender of this one, with all that it caused, in ms. */
  spentMs: number,
  /** How many of the messages are publications. */
  publications: number,
  messages: readonly unknown[],
];

export class Pipe {
  readonly #options: PipeOptions;
  /** What leaves with the next batch. */
  #queue: string[] = [];
  #queuedPublications = 0;
  #lastNumber = 0;
  /** The last batch with publications. */
  #lastPublications = 0;
  /** The batches that the other side has not acknowledged, oldest first. */
  readonly #unacknowledged: (readonly [number: number, length: number])[] = [];
  #unacknowledgedSize = 0;
  /** The other side's newest batch that was taken in here, and the newest that was acknowledged. */
  #takenIn = 0;
  #acknowledged = 0;
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
  /** How long the last batch with publications took: here, and according to the other side. */
  #spentMs = 0;
  #otherSpentMs = 0;
  #isClosed = false;

  constructor(options: PipeOptions) {
    this.#options = options;
  }

  /** How many characters the other side has not acknowledged. */
  get unacknowledgedSize(): number {
    return this.#unacknowledgedSize;
  }

  /** Whether the other side lags so far behind that nothing should be added that can be refused. */
  get isFull(): boolean {
    return this.#unacknowledgedSize > UNACKNOWLEDGED_MAX;
  }

  push(message: unknown): void {
    this.pushText(JSON.stringify(message));
  }

  /** Pushes a message that is JSON text already, so that what goes to many workers is encoded once. */
  pushText(message: string): void {
    if (this.#isClosed) return;
    if (this.#queue.push(message) === 1) setImmediate(() => this.#endTurn());
  }

  /** Pushes a publication, as JSON text. It leaves when the batcher says so, together with all that was pushed before it. */
  pushPublication(message: string): void {
    if (this.#isClosed) return;
    const isFirst = this.#queue.push(message) === 1;
    this.#queuedPublications++;
    const { batcher } = this.#options;
    if (batcher !== undefined) batcher.schedule(this);
    else if (isFirst) setImmediate(() => this.#endTurn());
  }

  /** Sends what is queued at once. */
  flush(): void {
    if (this.#queue.length === 0 || this.#isClosed) return;
    const text = this.#encode(++this.#lastNumber, this.#queue.join(","));
    if (this.#queuedPublications > 0) {
      this.#lastPublications = this.#lastNumber;
      this.#options.batcher?.flushed(this, this.#otherSpentMs);
    }
    this.#queue = [];
    this.#queuedPublications = 0;
    this.#unacknowledged.push([this.#lastNumber, text.length]);
    this.#unacknowledgedSize += text.length;
    this.#send(text);
    if (this.isFull) this.#options.onFull?.();
  }

  /** Takes in a text that the other side has sent. */
  receive(text: string): void {
    const { onMessage, onFault, now } = this.#options;
    const begunAt = now();
    const [number, acknowledged, spentMs, publications, messages] = JSON.parse(text) as Batch;
    this.#settle(acknowledged, spentMs);
    for (const message of messages) {
      try {
        onMessage(message);
      } catch (error) {
        onFault(error);
      }
    }
    if (number === 0) return;
    if (publications === 0) {
      this.#takenIn = number;
      this.#acknowledging ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_MS);
      return;
    }
    const sent = (ms: number) => {
      this.#spentMs = ms;
    };
    watchBatch(now, begunAt, sent, () => {
      this.#takenIn = Math.max(this.#takenIn, number);
      if (this.#queue.length > 0) this.flush();
      else this.#acknowledge();
    });
  }

  /** Drops what is queued. From now on nothing is sent. */
  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    clearTimeout(this.#acknowledging);
    this.#options.batcher?.removed(this);
  }

  /** The other side has taken in our batches up to this one. */
  #settle(acknowledged: number, spentMs: number): void {
    const before = this.#unacknowledgedSize;
    let oldest = this.#unacknowledged[0];
    while (oldest !== undefined && oldest[0] <= acknowledged) {
      this.#unacknowledgedSize -= oldest[1];
      this.#unacknowledged.shift();
      oldest = this.#unacknowledged[0];
    }
    if (this.#unacknowledgedSize < before) this.#options.onAcknowledged?.();
    this.#otherSpentMs = spentMs;
    if (acknowledged >= this.#lastPublications) this.#options.batcher?.acknowledged(this);
  }

  /** Sends the queue, unless it has publications that leave when the batcher says so. */
  #endTurn(): void {
    if (this.#queuedPublications === 0 || this.#options.batcher === undefined) this.flush();
  }

  #acknowledge(): void {
    if (this.#takenIn > this.#acknowledged && !this.#isClosed) this.#send(this.#encode(0, ""));
  }

  #encode(number: number, messages: string): string {
    this.#acknowledged = this.#takenIn;
    clearTimeout(this.#acknowledging);
    this.#acknowledging = undefined;
    const spentMs = Math.round(this.#spentMs * 1_000) / 1_000;
    return `[${number},${this.#takenIn},${spentMs},${this.#queuedPublications},[${messages}]]`;
  }

  #send(text: string): void {
    try {
      this.#options.send(text);
    } catch {
      // The other side has gone. The owner of this pipe learns that from the system.
      this.close();
    }
  }
}
