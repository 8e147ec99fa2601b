// Streams out, of Server-Sent Events or lines: who gets one, and what is published to all of them. Fan-out is a loop
// here: what a stream is sent has the stream's own positions in it.
import type { Server } from "bun";
import { type Log, sanitized, shortId } from "../../log";
import { Refusal } from "../../relay/contracts/errors";
import type { ResumableProtocol, SessionProtocol } from "../../relay/contracts/protocol";
import type { Socket, Transport } from "../../relay/contracts/transport";
import type { FirstTopics, Relay } from "../../relay/relay";
import type { Connection } from "../../relay/state/connection";
import { retryBlock, Stream } from "./stream";

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

/** Protocols of registered clients by the value of `format`; "" when it is not given. */
export type StreamFormats = Readonly<Record<string, ResumableProtocol>>;

export interface StreamsOptions {
  readonly backpressureBytes: number;
  readonly log: Log;
}

export class Streams implements Transport {
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

  /** Answers an admitted connection with its stream. Refuses `too_many_topics`. */
  open(request: Request, connection: Connection, first: FirstTopics): Response | Refusal {
    const relay = this.#relay as Relay;
    const idBytes = (first.names ?? []).reduce(
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
    relay.open(connection, stream, first);
    return new Response(stream.body, EVENTS);
  }

  /**
   * Answers a client that says who it is by commands, which came with the request; those that follow come by another
   * way. `first` goes out before anything else.
   */
  openSession(
    request: Request,
    protocol: SessionProtocol,
    commands: string,
    { first, type }: { first: string; type: string },
  ): Response | Refusal {
    const relay = this.#relay as Relay;
    const headers = { ...EVENTS.headers, "content-type": type };
    // Nobody would read the body, so the session would stay, and the request hang.
    if (request.method === "HEAD") return new Response(null, { headers });
    const connection = relay.admission.admitSession(protocol);
    if (connection instanceof Refusal) return connection;
    const stream = this.#begin(request, connection, relay);
    if (first !== "") stream.send(first);
    relay.open(connection, stream);
    relay.receive(connection, commands);
    return new Response(stream.body, { headers });
  }

  #begin(request: Request, connection: Connection, relay: Relay): Stream {
    // Bun ends a response that is quiet for 10 s; relay/connecting/heartbeat.ts keeps it alive.
    this.#server?.timeout(request, 0);
    const { protocol } = connection;
    const hasPongs = protocol.kind === "session";
    return new Stream(this.#audiences, this.#options.backpressureBytes, protocol, {
      taken: () => {
        if (connection.awaitingPong && !hasPongs) relay.pong(connection);
        relay.drained(connection);
      },
      overflowed: () => relay.connections.end(connection, "slow_consumer"),
      gone: () => {
        relay.connections.lost(connection);
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
  reconnectLater(): Response {
    return new Response(retryBlock(RETRY_MS * (1 + Math.random())), EVENTS);
  }

  fanOut(nativeTopic: string, frame: string, except?: Socket): void {
    const audience = this.#audiences.get(nativeTopic);
    if (audience === undefined) return;
    const bytes = new TextEncoder().encode(frame);
    // A copy: a slow consumer is taken out meanwhile.
    for (const stream of [...audience]) if (stream !== except) stream.deliver(frame, bytes);
  }

  /** Without a code when the peer has ended it. */
  #logClose({ id, user, protocol }: Connection, code?: number): void {
    const { log } = this.#options;
    const { closes } = protocol;
    const fields = { connection: shortId(id), user: sanitized(user) };
    if (code === closes.slow_consumer.code) log.warn(fields, "slow consumer closed");
    else if (log.isLevelEnabled("debug")) log.debug({ ...fields, code }, "stream closed");
  }
}
