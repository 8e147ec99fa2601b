// One end of the pipe between a supervisor and a worker. Messages are JSON texts; those of one turn of the loop leave as one
// text, and what the other side has not acknowledged is counted: neither Bun's send() nor the pipe itself ever pushes back.

/** How many characters may be unacknowledged: a side that reads at all leaves less than a second's worth. */
export const UNACKNOWLEDGED_MAX = 67_108_864;

/** How long an acknowledgement waits for a text that it can travel with. */
const ACKNOWLEDGE_MS = 20;

const CHECK_MS = 10;

export interface PipeOptions {
  /** Sends one text to the other side. */
  readonly send: (text: string) => void;
  /** Takes in a message of the other side. If it throws, `onFault` is called, and the next message is taken in. */
  readonly onMessage: (message: unknown) => void;
  readonly onFault: (error: unknown) => void;
  /** The other side has acknowledged something. */
  readonly onAcknowledged?: () => void;
  /** More than UNACKNOWLEDGED_MAX characters are unacknowledged. */
  readonly onFull?: () => void;
}

/** The content of one text. */
type Content = readonly [
  /** 1, 2, 3…; or 0 for a text that only acknowledges, and is not acknowledged itself. */
  number: number,
  /** The newest text of the other side that was taken in. */
  acknowledged: number,
  /** 0, for supervisors of older versions, which began the workers of this one. */
  unused: 0,
  alsoUnused: 0,
  messages: readonly unknown[],
];

export class Pipe {
  readonly #options: PipeOptions;
  /** What leaves with the next text. */
  #queue: string[] = [];
  #lastNumber = 0;
  /** The texts that the other side has not acknowledged, oldest first. */
  readonly #unacknowledged: (readonly [number: number, length: number])[] = [];
  #unacknowledgedSize = 0;
  /** The other side's newest text that was taken in here, and the newest that was acknowledged. */
  #takenIn = 0;
  #acknowledged = 0;
  #acknowledging: ReturnType<typeof setTimeout> | undefined;
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
    if (this.#queue.push(message) === 1) setImmediate(() => this.flush());
  }

  /** Sends what is queued at once. */
  flush(): void {
    if (this.#queue.length === 0 || this.#isClosed) return;
    const text = this.#encode(++this.#lastNumber, this.#queue.join(","));
    this.#queue = [];
    this.#unacknowledged.push([this.#lastNumber, text.length]);
    this.#unacknowledgedSize += text.length;
    this.#send(text);
    if (this.isFull) this.#options.onFull?.();
  }

  /** Resolves when the other side has taken in all that was sent so far, has gone, or has not answered within this time. */
  async acknowledged(withinMs: number): Promise<void> {
    const number = this.#lastNumber;
    const deadline = performance.now() + withinMs;
    while ((this.#unacknowledged[0]?.[0] ?? Number.POSITIVE_INFINITY) <= number) {
      if (this.#isClosed || performance.now() > deadline) return;
      await Bun.sleep(CHECK_MS);
    }
  }

  /** Takes in a text that the other side has sent. */
  receive(text: string): void {
    const { onMessage, onFault } = this.#options;
    const [number, acknowledged, , , messages] = JSON.parse(text) as Content;
    this.#settle(acknowledged);
    for (const message of messages) {
      try {
        onMessage(message);
      } catch (error) {
        onFault(error);
      }
    }
    if (number === 0) return;
    this.#takenIn = number;
    this.#acknowledging ??= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_MS);
  }

  /** Drops what is queued. From now on nothing is sent. */
  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    clearTimeout(this.#acknowledging);
  }

  /** The other side has taken in our texts up to this one. */
  #settle(acknowledged: number): void {
    const before = this.#unacknowledgedSize;
    let oldest = this.#unacknowledged[0];
    while (oldest !== undefined && oldest[0] <= acknowledged) {
      this.#unacknowledgedSize -= oldest[1];
      this.#unacknowledged.shift();
      oldest = this.#unacknowledged[0];
    }
    if (this.#unacknowledgedSize < before) this.#options.onAcknowledged?.();
  }

  #acknowledge(): void {
    if (this.#takenIn > this.#acknowledged && !this.#isClosed) this.#send(this.#encode(0, ""));
  }

  #encode(number: number, messages: string): string {
    this.#acknowledged = this.#takenIn;
    clearTimeout(this.#acknowledging);
    this.#acknowledging = undefined;
    return `[${number},${this.#takenIn},0,0,[${messages}]]`;
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
