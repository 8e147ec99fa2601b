// One stream: a response that does not end, which the relay calls a socket. Encoded bytes are shared by all streams
// that have one topic.

import type { Protocol } from "../../relay/contracts/protocol";
import type { Socket } from "../../relay/contracts/transport";

/** For a stream whose id another one has taken: it must not come back and take it again. */
const NEVER_MS = 2 ** 31 - 1;

/**
 * Between the last push of a session and the end of its stream, so that they arrive in two pieces: from one, the npm
 * package eventsource 2 gives an SDK the end first, which then comes back whatever the push said.
 */
const END_MS = 100;

const encoder = new TextEncoder();

export interface StreamEvents {
  /** The peer has taken something. */
  taken(): void;
  /** More waits for the peer than may wait. */
  overflowed(): void;
  /** The peer has ended it. */
  gone(): void;
  /** The relay has ended it. */
  closed(code: number): void;
}

/** One stream: what the relay calls a socket. */
export class Stream implements Socket {
  readonly body: ReadableStream<Uint8Array>;
  readonly #audiences: Map<string, Set<Stream>>;
  readonly #natives = new Set<string>();
  readonly #limit: number;
  readonly #protocol: Protocol;
  readonly #events: StreamEvents;
  /** The position of each topic, as it stands in an id. */
  readonly #positions = new Map<string, string>();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** The peer wants nothing more. */
  #cancelled = false;
  /** What waited for the peer when it was last looked at. */
  #waited = 0;

  constructor(
    audiences: Map<string, Set<Stream>>,
    limit: number,
    protocol: Protocol,
    events: StreamEvents,
  ) {
    this.#audiences = audiences;
    this.#limit = limit;
    this.#protocol = protocol;
    this.#events = events;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        // In a turn of its own: it is called within `enqueue` too, and `taken` may lead to more of that.
        pull: () => queueMicrotask(() => this.#look()),
        cancel: () => {
          this.#cancelled = true;
          if (this.#controller === undefined) return;
          this.#controller = undefined;
          this.#leaveAll();
          events.gone();
        },
      },
      { highWaterMark: limit, size: (chunk) => chunk?.byteLength ?? 0 },
    );
  }

  send(frame: string): number {
    return this.#write(encoder.encode(this.#withPositions(frame)));
  }

  /** The same for a frame that many streams get: `bytes` are its bytes. */
  deliver(frame: string, bytes: Uint8Array): void {
    const alone = this.#positions.size <= 1 && this.#natives.size === 1;
    const own = alone ? bytes : encoder.encode(this.#withPositions(frame));
    const waits = this.getBufferedAmount();
    const fits = waits <= this.#limit / 4 || waits + own.byteLength <= this.#limit;
    if (!fits) this.#events.overflowed();
    else this.#write(own);
  }

  retry(ms: number): void {
    this.#write(encoder.encode(retryBlock(ms)));
  }

  getBufferedAmount(): number {
    return this.#limit - (this.#controller?.desiredSize ?? this.#limit);
  }

  subscribe(native: string): void {
    this.#natives.add(native);
    const audience = this.#audiences.get(native);
    if (audience === undefined) this.#audiences.set(native, new Set([this]));
    else audience.add(this);
  }

  unsubscribe(native: string): void {
    this.#natives.delete(native);
    const audience = this.#audiences.get(native);
    audience?.delete(this);
    if (audience?.size === 0) this.#audiences.delete(native);
  }

  /** A comment; there is no pong, so a peer that takes anything counts as alive. */
  ping(): void {
    this.#write(encoder.encode(":\n\n"));
  }

  /** The wire has no word for a code: EventSource comes back, unless another stream has its id. */
  close(code: number): void {
    const { kind, closes } = this.#protocol;
    const { replaced, slow_consumer, no_pong } = closes;
    // A session has been told by a push, and its code may be any that the backend has chosen.
    if (code === replaced.code && kind === "topics") this.retry(NEVER_MS);
    const controller = this.#controller;
    this.#controller = undefined;
    this.#leaveAll();
    this.#events.closed(code);
    // A peer that does not read would never see the end: what waits for it is thrown away.
    const stalled = code === slow_consumer.code || code === no_pong.code;
    if (stalled) controller?.error(new Error("the client does not read"));
    else if (kind === "topics") controller?.close();
    else setTimeout(() => this.#cancelled || controller?.close(), END_MS);
  }

  #write(bytes: Uint8Array): number {
    if (this.#controller === undefined) return 0;
    this.#controller.enqueue(bytes);
    this.#waited = this.getBufferedAmount();
    return bytes.byteLength;
  }

  /** Whether the peer has taken something: being asked for more does not say so. */
  #look(): void {
    if (this.#controller === undefined) return;
    const waits = this.getBufferedAmount();
    const taken = waits === 0 || waits < this.#waited;
    this.#waited = waits;
    if (taken) this.#events.taken();
  }

  /** A frame whose id has the positions of all topics of this stream. */
  #withPositions(frame: string): string {
    if (!frame.startsWith("id: ")) return frame;
    const end = frame.indexOf("\n");
    for (const position of frame.slice(4, end).split("&")) {
      this.#positions.set(position.slice(0, position.indexOf("=")), position);
    }
    return `id: ${[...this.#positions.values()].join("&")}${frame.slice(end)}`;
  }

  #leaveAll(): void {
    for (const native of [...this.#natives]) this.unsubscribe(native);
  }
}

/** Tells EventSource when to come back. */
export function retryBlock(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`;
}
