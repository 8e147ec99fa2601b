// One stream: a response that does not end, which behaves like a socket to the relay. What it is sent goes through the group
// of streams with the same topics. Kept small: a node has tens of thousands of them.
import { SIZED_COMMENTS_MAX } from "../../relay/contracts/protocol";
import { type Frame, fits, type Socket } from "../../relay/contracts/transport";
import type { Connection } from "../../relay/state/connection";
import { type BodyWriter, StreamBody } from "./stream-body";
import type { GroupMember, StreamGroup } from "./stream-group";

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

/** Ends the block too, which to many clients is an event without data. */
const LAST_COMMENT = encoder.encode(": \n\n");

/** An event that no program listens to: its id is kept by libraries that ignore the id of a block without data. */
const POSITIONS_EVENT = "event: $positions\ndata:\n";

/** What positions come in when there is nothing else to send: in a block without data, or in an event. */
export type PositionsIn = "block" | "event";

/** What a stream needs of its transport. */
export interface StreamHost {
  /** The most bytes that may wait for a client. */
  readonly limitBytes: number;
  /** The group of a stream without topics. */
  firstGroup(): StreamGroup;
  /** Puts the stream into a group of its own, whose topics it may change. */
  separate(stream: Stream): StreamGroup;
  subscribed(group: StreamGroup, nativeTopic: string): void;
  unsubscribed(group: StreamGroup, nativeTopic: string): void;
  /** The group is written to at the end of this turn of the event loop. */
  flushSoon(group: StreamGroup): void;
  /** A stream has left the group. */
  left(group: StreamGroup): void;
  /** All that the stream was sent has been passed on at once. */
  passedOn(stream: Stream): void;
  /** The client has read what had to wait for it. */
  drained(stream: Stream): void;
  /** More would wait for the client than may wait. */
  overflowed(stream: Stream): void;
  /** The client has ended the stream. */
  cancelled(stream: Stream): void;
  /** The relay has ended the stream. */
  closed(stream: Stream, code: number): void;
}

export class Stream implements Socket, BodyWriter, GroupMember {
  readonly connection: Connection;
  readonly request: Request;
  readonly #host: StreamHost;
  readonly #body = new StreamBody(this);
  /** The streams that have the same topics. */
  group: StreamGroup;
  #isOpen = true;
  #comments = 0;
  /** The bytes that wait in the group for this stream alone. */
  #pendingBytes = 0;
  /** The positions of topics that it is still catching up with. */
  #positions: Map<string, string> | undefined;
  /** The same in the form that an event id has; "" for none. */
  ids = "";
  /** The first block, which `begin` has opened, is not ended yet. */
  #isFirstBlockOpen = false;
  /** The line that the first event with data repeats; "" when that is done, or there is none. */
  #retryLine = "";
  #positionsIn: PositionsIn = "block";

  constructor(host: StreamHost, connection: Connection, request: Request) {
    this.#host = host;
    this.connection = connection;
    this.request = request;
    this.group = host.firstGroup();
    this.group.streams.add(this);
  }

  /** The body of its response; to be called once. */
  body(): ReadableStream<Uint8Array> {
    return this.#body.open();
  }

  /** Sends a frame at the end of this turn of the event loop, in one write with all else that it is sent in this turn. */
  send(frame: Frame): number {
    if (!this.#isOpen) return 0;
    this.#pendingBytes += frame.length;
    this.group.pushTo(this, frame);
    this.#host.flushSoon(this.group);
    return Math.max(1, frame.length);
  }

  /**
   * Tells EventSource at once when to reconnect. The next frame ends the block: each block without data is an empty
   * event to some clients. Others ignore a time that comes without data, so the first event with data repeats it.
   */
  begin(retryMs: number, positionsIn: PositionsIn): void {
    this.#positionsIn = positionsIn;
    const line = retryLine(retryMs);
    this.#body.write(encoder.encode(line));
    this.#isFirstBlockOpen = true;
    this.#retryLine = line;
  }

  getBufferedAmount(): number {
    if (!this.#isOpen) return 0;
    return this.#body.waitingBytes + this.#pendingBytes + this.group.sharedBytes;
  }

  subscribe(nativeTopic: string): void {
    const group = this.#host.separate(this);
    group.addTopic(nativeTopic, this);
    this.#host.subscribed(group, nativeTopic);
  }

  unsubscribe(nativeTopic: string): void {
    const group = this.#host.separate(this);
    group.removeTopic(nativeTopic);
    this.#host.unsubscribed(group, nativeTopic);
  }

  /**
   * Sends a comment. A stream has no pong, so a client that reads anything counts as alive. There is no empty line after
   * it, which several clients would take for the end of an event without data (WHATWG HTML, section 9.2.6 needs none).
   * But a client that takes no large events counts comments too, so it gets such an end now and then.
   */
  ping(): void {
    const { protocol } = this.connection;
    const isSized = "maxBytes" in protocol && protocol.maxBytes !== undefined;
    const isLast = isSized && ++this.#comments % SIZED_COMMENTS_MAX === 0;
    this.#write(isLast ? LAST_COMMENT : COMMENT);
  }

  /** The wire has no place for a code: EventSource reconnects, unless another stream has taken its id. */
  close(code: number): void {
    if (!this.#isOpen) return;
    const { kind, closes } = this.connection.protocol;
    const { replaced, slow_consumer, no_pong } = closes;
    // A client that does not read would never see the end, so what waits for it is discarded.
    const doesNotRead = code === slow_consumer.code || code === no_pong.code;
    if (!doesNotRead) this.group.flush();
    this.#leave();
    // A session has already got a push that says why, and its code may be any that the backend has chosen.
    if (code === replaced.code && kind === "topics")
      this.#body.write(encoder.encode(retryBlock(NEVER_MS)));
    else if (this.#isFirstBlockOpen) this.#body.write(encoder.encode("\n"));
    this.#host.closed(this, code);
    if (doesNotRead) this.#body.cut();
    else if (kind === "topics") this.#body.end();
    else setTimeout(() => this.#body.end(), END_DELAY_MS);
  }

  /** It has not become a response, or one that nobody takes. */
  abandon(): void {
    if (this.#isOpen) this.#leave();
  }

  /** Writes what its group has collected. */
  deliver(bytes: Uint8Array): void {
    if (!this.#isOpen) return;
    if (fits(this.#body.waitingBytes, bytes.byteLength, this.#host.limitBytes)) this.#write(bytes);
    else this.#host.overflowed(this);
  }

  /** Whether it may be sent the same bytes as others with its topics. */
  get isLikeOthers(): boolean {
    return this.#retryLine === "" && !this.#isFirstBlockOpen && this.#positions === undefined;
  }

  /** The frame as this stream sends it; to be called for each in their order. */
  own(frame: Frame): Frame {
    if (typeof frame !== "string") return frame;
    const hasRetryLine = this.#isFirstBlockOpen;
    this.#isFirstBlockOpen = false;
    if (this.#positionsIn === "event" && frame.startsWith("id: ")) return POSITIONS_EVENT + frame;
    if (this.#retryLine === "" || !hasData(frame)) return frame;
    const line = hasRetryLine ? "" : this.#retryLine;
    this.#retryLine = "";
    return line + frame;
  }

  /** Notes where it is in a topic that it is not subscribed to yet. */
  setPosition(name: string, position: string): void {
    this.#positions ??= new Map();
    this.#positions.set(name, position);
    this.ids = [...this.#positions.values()].join("&");
  }

  /** Where it was in a topic that it is subscribed to from now on; "" when it has no position there. */
  takePosition(name: string): string {
    const position = this.#positions?.get(name);
    if (this.#positions === undefined || position === undefined) return "";
    this.#positions.delete(name);
    this.ids = [...this.#positions.values()].join("&");
    if (this.#positions.size === 0) this.#positions = undefined;
    return position;
  }

  /** What waits for it in the group is about to be written. */
  taken(): void {
    this.#pendingBytes = 0;
  }

  /** The client has read what waited for it. */
  drained(): void {
    if (this.#isOpen) this.#host.drained(this);
  }

  /** The client has closed the connection. */
  cancelled(): void {
    if (!this.#isOpen) return;
    this.#leave();
    this.#host.cancelled(this);
  }

  #write(bytes: Uint8Array): void {
    this.#body.write(bytes);
    if (this.#body.waitingBytes === 0) this.#host.passedOn(this);
  }

  #leave(): void {
    this.#isOpen = false;
    this.group.streams.delete(this);
    this.#host.left(this.group);
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
