// Messages between the supervisor and a worker, as JSON texts: those of a loop turn leave together, and what the other
// side has not read is counted, since neither Bun's send() nor the pipe pushes back.

/** Characters that the other side may leave unread: one that reads leaves less than a second's worth. */
export const UNREAD_MAX = 67_108_864;

export interface ChannelOptions {
  /** Sends one text to the other side. */
  readonly send: (text: string) => void;
  /** A message of the other side. What it throws is told to `failed`, and the messages after it are heard. */
  readonly receive: (message: unknown) => void;
  /** A fault of ours in `receive`. */
  readonly failed: (error: unknown) => void;
  /** The other side has left more than UNREAD_MAX characters unread, again with each batch. */
  readonly full?: () => void;
}

/** [number of the batch, its messages]; an acknowledgement is the number alone. */
type Batch = readonly [number, readonly unknown[]];

export class Channel {
  readonly #options: ChannelOptions;
  #queue: string[] = [];
  #number = 0;
  /** Sent and not yet read by the other side: numbers of batches and their lengths, oldest first. */
  readonly #unread = new Map<number, number>();
  #unreadSize = 0;
  #isClosed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** Characters that the other side has not read. */
  get unreadSize(): number {
    return this.#unreadSize;
  }

  /** Whether the other side is so far behind that nothing should be added that can be refused. */
  get isFull(): boolean {
    return this.#unreadSize > UNREAD_MAX;
  }

  push(message: unknown): void {
    this.pushText(JSON.stringify(message));
  }

  /** The same with JSON text, for what goes to many. */
  pushText(message: string): void {
    if (this.#isClosed) return;
    this.#queue.push(message);
    if (this.#queue.length === 1) setImmediate(() => this.flush());
  }

  /** Sends what waits at once. */
  flush(): void {
    if (this.#queue.length === 0 || this.#isClosed) return;
    const text = `[${++this.#number},[${this.#queue.join(",")}]]`;
    this.#queue = [];
    this.#unread.set(this.#number, text.length);
    this.#unreadSize += text.length;
    this.#send(text);
    if (this.isFull) this.#options.full?.();
  }

  /** A text that the other side has sent. */
  heard(text: string): void {
    const batch = JSON.parse(text) as Batch | number;
    if (typeof batch === "number") {
      this.#unreadSize -= this.#unread.get(batch) ?? 0;
      this.#unread.delete(batch);
      return;
    }
    const { receive, failed } = this.#options;
    const [number, messages] = batch;
    for (const message of messages) {
      try {
        receive(message);
      } catch (error) {
        failed(error);
      }
    }
    this.#send(String(number));
  }

  close(): void {
    this.#isClosed = true;
    this.#queue = [];
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
