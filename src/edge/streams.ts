// Server-Sent Events: streams out, each a response that does not end. Fan-out is a loop here: what a stream is sent
// has the stream's own positions in it. Encoded bytes are shared by all streams that have one topic.
import type { Server } from "bun";
import type { Connection, Outlet, Socket } from "../relay/connection";
import { CLOSES, Refusal } from "../relay/errors";
import type { Protocol } from "../relay/protocol";
import type { Relay } from "../relay/relay";
import type { Beginning } from "../relay/relay-options";
import { type Log, shown } from "./log";
import { originAllowed } from "./origins";

/** Bytes that the positions of a stream's topics may take in its id: it comes back in a header, and proxies take 8 KB of one. */
const ID_BYTES_MAX = 8_192;

/**
 * The same with the address. Of a request Bun reads 16 KB of headers, and EventSource gives up for good when it is
 * refused; the rest is for cookies and what browsers send of themselves.
 */
const REQUEST_BYTES_MAX = 12_288;

/** An epoch, an offset and the marks between. */
const POSITION_BYTES_MAX = 32;

/** When EventSource comes back by itself: not all at once. */
const RETRY_MS = 1_000;

/** For a stream whose id another one has taken: it must not come back and take it again. */
const NEVER_MS = 2 ** 31 - 1;

/** How long the peer of a stream that has ended may take nothing of the rest, or ask for nothing more. */
const ENDED_IDLE_S = 10;

const EVENTS = {
  headers: {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // nginx would hold the events back.
    "x-accel-buffering": "no",
  },
};

const encoder = new TextEncoder();

export interface StreamsOptions {
  readonly backpressureBytes: number;
  readonly origins: readonly string[];
  readonly log: Log;
}

export class Streams implements Outlet {
  readonly #options: StreamsOptions;
  readonly #audiences = new Map<string, Set<Stream>>();
  #server: Server<Connection> | undefined;
  #relay: Relay | undefined;

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  attach(server: Server<Connection>, relay: Relay): void {
    this.#server = server;
    this.#relay = relay;
  }

  /** Answers an admitted connection with its stream. Refuses `forbidden_origin`, `too_many_topics`. */
  open(request: Request, connection: Connection, beginning: Beginning): Response | Refusal {
    const relay = this.#relay as Relay;
    if (!originAllowed(request.headers.get("origin"), this.#options.origins)) {
      return new Refusal("forbidden_origin", "This page's origin is not in BATON_ORIGINS.");
    }
    const idBytes = (beginning.topics ?? []).reduce(
      (sum, name) => sum + encodeURIComponent(name).length + POSITION_BYTES_MAX,
      0,
    );
    if (idBytes > ID_BYTES_MAX || idBytes + request.url.length > REQUEST_BYTES_MAX) {
      return new Refusal(
        "too_many_topics",
        `The positions of a stream's topics go into one header, at most ${ID_BYTES_MAX} bytes of it, with the address at most ${REQUEST_BYTES_MAX}: take fewer topics for each stream, or a WebSocket.`,
      );
    }
    // HEAD: nobody would read the body, so the stream would never end.
    if (request.method !== "GET") {
      relay.admission.abandon(connection);
      return new Response(null, EVENTS);
    }
    const stream = this.#begin(request, connection, relay);
    stream.retry(RETRY_MS * (1 + Math.random()));
    relay.open(connection, stream, beginning);
    return new Response(stream.body, EVENTS);
  }

  /**
   * Answers a client that says who it is by commands, which came with the request; those that follow come by another
   * way. `first` goes out before anything else.
   */
  openSession(
    request: Request,
    protocol: Protocol,
    commands: string,
    { first, type }: { first: string; type: string },
  ): Response | Refusal {
    const relay = this.#relay as Relay;
    if (!originAllowed(request.headers.get("origin"), this.#options.origins)) {
      return new Refusal("forbidden_origin", "This page's origin is not in BATON_ORIGINS.");
    }
    const connection = relay.admission.admitSession(protocol);
    if (connection instanceof Refusal) return connection;
    const stream = this.#begin(request, connection, relay);
    if (first !== "") stream.send(first);
    relay.open(connection, stream);
    relay.receive(connection, commands);
    const headers = { ...EVENTS.headers, "content-type": type };
    return new Response(stream.body, { headers });
  }

  #begin(request: Request, connection: Connection, relay: Relay): Stream {
    // Bun ends a response that is quiet for 10 s; relay/heartbeat.ts keeps it alive.
    this.#server?.timeout(request, 0);
    const hasPongs = connection.protocol.session !== undefined;
    return new Stream(this.#audiences, this.#options.backpressureBytes, {
      taken: () => {
        if (connection.awaitingPong && !hasPongs) relay.pong(connection);
        relay.drained(connection);
      },
      overflowed: () => relay.end(connection, "slow_consumer"),
      gone: () => {
        relay.closed(connection, true);
        this.#logClose(connection);
      },
      closed: (code) => {
        // From here on nobody looks after this TCP connection but Bun.
        this.#server?.timeout(request, ENDED_IDLE_S);
        this.#logClose(connection, code);
      },
    });
  }

  /** For EventSource while the relay cannot serve: an error would make it give up, a stream that ends does not. */
  comeBack(): Response {
    return new Response(retryBlock(RETRY_MS * (1 + Math.random())), EVENTS);
  }

  publish(native: string, frame: string, except?: Socket): void {
    const audience = this.#audiences.get(native);
    if (audience === undefined) return;
    const bytes = encoder.encode(frame);
    // A copy: a slow consumer is taken out meanwhile.
    for (const stream of [...audience]) if (stream !== except) stream.deliver(frame, bytes);
  }

  /** Without a code when the peer has ended it. */
  #logClose({ id, user }: Connection, code?: number): void {
    const { log } = this.#options;
    const fields = { connection: id, user: shown(user) };
    if (code === CLOSES.slow_consumer.code) log.warn(fields, "slow consumer closed");
    else if (log.isLevelEnabled("debug")) log.debug({ ...fields, code }, "stream closed");
  }
}

interface StreamEvents {
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
class Stream implements Socket {
  readonly body: ReadableStream<Uint8Array>;
  readonly #audiences: Map<string, Set<Stream>>;
  readonly #natives = new Set<string>();
  readonly #limit: number;
  readonly #events: StreamEvents;
  /** The position of each topic, as it stands in an id. */
  readonly #positions = new Map<string, string>();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** What waited for the peer when it was last looked at. */
  #waited = 0;

  constructor(audiences: Map<string, Set<Stream>>, limit: number, events: StreamEvents) {
    this.#audiences = audiences;
    this.#limit = limit;
    this.#events = events;
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        // In a turn of its own: it is called within `enqueue` too, and `taken` may lead to more of that.
        pull: () => queueMicrotask(() => this.#look()),
        cancel: () => {
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
    if (code === CLOSES.replaced.code) this.retry(NEVER_MS);
    const controller = this.#controller;
    this.#controller = undefined;
    this.#leaveAll();
    this.#events.closed(code);
    // A peer that does not read would never see the end: what waits for it is thrown away.
    const stalled = code === CLOSES.slow_consumer.code || code === CLOSES.no_pong.code;
    if (stalled) controller?.error(new Error("the client does not read"));
    else controller?.close();
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

function retryBlock(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`;
}
