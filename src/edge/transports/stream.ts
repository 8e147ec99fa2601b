// One stream: a response that does not end, which behaves like a socket to the relay. A publication is encoded once for
// all streams that have only its topic.
import type { Protocol } from "../../relay/contracts/protocol";
import { type Frame, fits, type Socket } from "../../relay/contracts/transport";

/** The retry time of a stream whose id a newer one has taken: its client must not reconnect and take the id back. */
const NEVER_MS = 2 ** 31 - 1;

/**
 * The pause between the last push of a session and the end of its stream, so that they arrive in two pieces. From one
 * piece, the npm package eventsource 2 gives an SDK the end first, which then reconnects whatever the push said.
 */
const END_DELAY_MS = 100;

const encoder = new TextEncoder();

/** With the space, because RESTEasy 6.2 takes the line after an empty comment, which may be an id, for its text. */
const COMMENT = encoder.encode(": \n");

export interface StreamEvents {
  /** The client has read something. */
  progressed(): void;
  /** More would wait for the client than may wait. */
  overflowed(): void;
  /** The client has ended the stream. */
  cancelled(): void;
  /** The relay has ended the stream. */
  closed(code: number): void;
}

/** The streams that are subscribed to each native topic. */
type Audiences = Map<string, Set<Stream>>;

interface StreamOptions {
  readonly audiences: Audiences;
  /** The most bytes that may wait for the client. */
  readonly limitBytes: number;
  readonly protocol: Protocol;
  readonly events: StreamEvents;
}

export class Stream implements Socket {
  readonly body: ReadableStream<Uint8Array>;
  readonly #audiences: Audiences;
  readonly #nativeTopics = new Set<string>();
  readonly #limitBytes: number;
  readonly #protocol: Protocol;
  readonly #events: StreamEvents;
  /** The position of each topic, in the form that an event id has. */
  readonly #positions = new Map<string, string>();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #isCancelled = false;
  /** The first block, which `begin` has opened, is not ended yet. */
  #isFirstBlockOpen = false;
  /** The line that the first event with data repeats; "" when that is done, or there is none. */
  #retryLine = "";
  /** The bytes that waited for the client at the last check or write. */
  #waitedBytes = 0;

  constructor({ audiences, limitBytes, protocol, events }: StreamOptions) {
    this.#audiences = audiences;
    this.#limitBytes = limitBytes;
    this.#protocol = protocol;
    this.#events = events;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        // The check has a turn of its own, because `enqueue` calls this too, and progress may lead to more writes.
        pull: () => queueMicrotask(() => this.#checkProgress()),
        cancel: () => {
          this.#isCancelled = true;
          if (this.#controller === undefined) return;
          this.#controller = undefined;
          this.#unsubscribeAll();
          events.cancelled();
        },
      },
      { highWaterMark: limitBytes, size: (chunk) => chunk?.byteLength ?? 0 },
    );
  }

  send(frame: Frame): number {
    return this.#write(typeof frame === "string" ? encoder.encode(this.#own(frame)) : frame);
  }

  /** Sends a frame that many streams get; `bytes` is the same frame encoded. */
  deliver(frame: Frame, bytes: Uint8Array): void {
    const hasOneTopic = this.#positions.size <= 1 && this.#nativeTopics.size === 1;
    const isShared = hasOneTopic && this.#retryLine === "";
    const own = isShared || typeof frame !== "string" ? bytes : encoder.encode(this.#own(frame));
    const hasRoom = fits(this.getBufferedAmount(), own.byteLength, this.#limitBytes);
    if (hasRoom) this.#write(own);
    else this.#events.overflowed();
  }

  /**
   * Tells EventSource at once when to reconnect. The next frame ends the block: each block without data is an empty
   * event to some clients. Others ignore a time that comes without data, so the first event with data repeats it.
   */
  begin(retryMs: number): void {
    const line = retryLine(retryMs);
    this.#write(encoder.encode(line));
    this.#isFirstBlockOpen = true;
    this.#retryLine = line;
  }

  getBufferedAmount(): number {
    return this.#limitBytes - (this.#controller?.desiredSize ?? this.#limitBytes);
  }

  subscribe(nativeTopic: string): void {
    this.#nativeTopics.add(nativeTopic);
    const audience = this.#audiences.get(nativeTopic);
    if (audience === undefined) this.#audiences.set(nativeTopic, new Set([this]));
    else audience.add(this);
  }

  unsubscribe(nativeTopic: string): void {
    this.#nativeTopics.delete(nativeTopic);
    const audience = this.#audiences.get(nativeTopic);
    audience?.delete(this);
    if (audience?.size === 0) this.#audiences.delete(nativeTopic);
  }

  /**
   * Sends a comment. A stream has no pong, so a client that reads anything counts as alive. There is no empty line after
   * it, which several clients would take for the end of an event without data (WHATWG HTML, section 9.2.6 needs none).
   */
  ping(): void {
    this.#write(COMMENT);
  }

  /** The wire has no place for a code: EventSource reconnects, unless another stream has taken its id. */
  close(code: number): void {
    const { kind, closes } = this.#protocol;
    const { replaced, slow_consumer, no_pong } = closes;
    // A session has already got a push that says why, and its code may be any that the backend has chosen.
    if (code === replaced.code && kind === "topics")
      this.#write(encoder.encode(retryBlock(NEVER_MS)));
    else if (this.#isFirstBlockOpen) this.#write(encoder.encode("\n"));
    const controller = this.#controller;
    this.#controller = undefined;
    this.#unsubscribeAll();
    this.#events.closed(code);
    // A client that does not read would never see the end, so what waits for it is discarded.
    const isStalled = code === slow_consumer.code || code === no_pong.code;
    if (isStalled) controller?.error(new Error("the client does not read"));
    else if (kind === "topics") controller?.close();
    else setTimeout(() => this.#isCancelled || controller?.close(), END_DELAY_MS);
  }

  #write(bytes: Uint8Array): number {
    if (this.#controller === undefined) return 0;
    this.#controller.enqueue(bytes);
    this.#waitedBytes = this.getBufferedAmount();
    return bytes.byteLength;
  }

  /** Finds out whether the client has read something, which being asked for more does not tell. */
  #checkProgress(): void {
    if (this.#controller === undefined) return;
    const waitingBytes = this.getBufferedAmount();
    const hasProgressed = waitingBytes === 0 || waitingBytes < this.#waitedBytes;
    this.#waitedBytes = waitingBytes;
    if (hasProgressed) this.#events.progressed();
  }

  /** The frame as this stream sends it. */
  #own(frame: string): string {
    const hasRetryLine = this.#isFirstBlockOpen;
    this.#isFirstBlockOpen = false;
    const withPositions = this.#withPositions(frame);
    if (this.#retryLine === "" || !hasData(frame)) return withPositions;
    const line = hasRetryLine ? "" : this.#retryLine;
    this.#retryLine = "";
    return line + withPositions;
  }

  /** The frame with an id that has the positions of all topics of this stream. */
  #withPositions(frame: string): string {
    if (!frame.startsWith("id: ")) return frame;
    const end = frame.indexOf("\n");
    for (const position of frame.slice(4, end).split("&")) {
      this.#positions.set(position.slice(0, position.indexOf("=")), position);
    }
    return `id: ${[...this.#positions.values()].join("&")}${frame.slice(end)}`;
  }

  #unsubscribeAll(): void {
    for (const nativeTopic of [...this.#nativeTopics]) this.unsubscribe(nativeTopic);
  }
}

function hasData(frame: string): boolean {
  return frame.startsWith("data: ") || frame.includes("\ndata: ");
}

function retryLine(ms: number): string {
  return `retry: ${Math.round(ms)}\n`;
}

/** The block that tells EventSource when to reconnect. */
export function retryBlock(ms: number): string {
  return `${retryLine(ms)}\n`;
}
