// The body of a response that does not end: passes on what is written to it as fast as the client reads, and keeps the rest.
// It is what Bun calls a direct stream, which costs 4 KB and one system call for each write, where other streams cost 12 KB.

/** Chunks that wait are joined up to about this size, since each write costs a system call. */
const WRITE_BYTES = 65_536;

/** What Bun passes to `pull`. `write` answers with a promise when the client reads more slowly than it is sent to. */
interface Sink {
  write(bytes: Uint8Array): number | Promise<unknown>;
  flush(): unknown;
  end(): void;
  close(error: Error): void;
}

/** Whoever writes to it. */
export interface BodyWriter {
  /** The client has read what was passed on. */
  drained(): void;
  /** The client has closed the connection. */
  cancelled(): void;
}

export class StreamBody {
  readonly #writer: BodyWriter;
  /** Undefined until Bun asks for the body, and from its end on. */
  #sink: Sink | undefined;
  #state: "open" | "ending" | "ended" = "open";
  /** What waits for the sink; undefined for nothing. */
  #queue: Uint8Array[] | undefined;
  /** The client reads more slowly than it is sent to: what was given to the sink last is not passed on yet. */
  #isStalled = false;
  /** The bytes that wait in the queue or the sink. */
  waitingBytes = 0;

  constructor(writer: BodyWriter) {
    this.#writer = writer;
  }

  /** To be called once. */
  open(): ReadableStream<Uint8Array> {
    return new ReadableStream({
      type: "direct",
      pull: (sink) => this.#start(sink as Sink),
      cancel: () => this.#cancelled(),
    });
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    this.waitingBytes += bytes.byteLength;
    if (this.#sink !== undefined && !this.#isStalled) this.#give(this.#sink, bytes);
    else if (this.#queue === undefined) this.#queue = [bytes];
    else this.#queue.push(bytes);
  }

  /** Ends the response when what waits has been passed on. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#pass();
  }

  /** Discards what waits, and closes the connection so that the client sees that the response is not complete. */
  cut(): void {
    if (this.#state === "ended") return;
    const sink = this.#forget();
    sink?.close(new Error("the client does not read"));
  }

  /** Bun asks for the body. As this is no promise, the response goes on until the sink is ended or closed. */
  #start(sink: Sink): void {
    if (this.#state === "ended") {
      sink.close(new Error("the client does not read"));
      return;
    }
    this.#sink = sink;
    this.#pass();
    if (this.#state === "open" && !this.#isStalled) this.#writer.drained();
  }

  #cancelled(): void {
    if (this.#state === "ended") return;
    this.#forget();
    this.#writer.cancelled();
  }

  #give(sink: Sink, bytes: Uint8Array): void {
    const passed = sink.write(bytes);
    sink.flush();
    if (typeof passed === "number") {
      this.waitingBytes -= bytes.byteLength;
      return;
    }
    this.#isStalled = true;
    void passed.then(() => {
      if (this.#sink === undefined) return;
      this.#isStalled = false;
      this.waitingBytes -= bytes.byteLength;
      this.#pass();
      if (this.#state === "open") this.#writer.drained();
    });
  }

  /** Passes on what waits, as far as the client reads. */
  #pass(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    while (this.#queue !== undefined && !this.#isStalled) this.#give(sink, this.#take(this.#queue));
    if (this.#state !== "ending" || this.#isStalled) return;
    this.#forget();
    sink.end();
  }

  /** Takes the oldest chunks out of the queue. */
  #take(queue: Uint8Array[]): Uint8Array {
    let count = 1;
    let size = (queue[0] as Uint8Array).byteLength;
    for (; count < queue.length; count++) {
      const { byteLength } = queue[count] as Uint8Array;
      if (size + byteLength > WRITE_BYTES) break;
      size += byteLength;
    }
    if (count === queue.length) this.#queue = undefined;
    const taken = queue.splice(0, count);
    return count === 1 ? (taken[0] as Uint8Array) : Buffer.concat(taken, size);
  }

  #forget(): Sink | undefined {
    const sink = this.#sink;
    this.#state = "ended";
    this.#sink = undefined;
    this.#queue = undefined;
    this.waitingBytes = 0;
    return sink;
  }
}
