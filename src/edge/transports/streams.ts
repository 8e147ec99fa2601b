// The stream transport, of Server-Sent Events or of lines: opens streams, and fans publications out to them. Fan-out is
// a loop here, because what a stream is sent contains that stream's own positions.
import type { Server } from "bun";
import type { Log } from "../../log";
import { Refusal } from "../../relay/contracts/errors";
import {
  type Protocol,
  type SessionProtocol,
  SIZED_POSITIONS_BYTES_MAX,
} from "../../relay/contracts/protocol";
import type { Frame, Socket, Transport } from "../../relay/contracts/transport";
import type { FirstTopics, Relay } from "../../relay/relay";
import type { Connection } from "../../relay/state/connection";
import { logClose } from "./close-log";
import { type Opener, ReconnectAnswers, retryMs } from "./reconnect-answers";
import { Stream, type StreamEvents } from "./stream";

/** The positions of a stream's topics make its event id. Clients send it back in a header, of which proxies accept 8 KB. */
const ID_BYTES_MAX = 8_192;

/**
 * The event id together with the address. Bun reads 16 KB of headers of a request, and an EventSource whose request is
 * refused never tries again. The rest is for cookies and for the headers that browsers add.
 */
const REQUEST_BYTES_MAX = 12_288;

/** The id of a polyfill, which the next one replaces: it does not count a second time. */
const ID_IN_ADDRESS = /[?&]last[-_]?event[-_]?id=[^&]*/gi;

/** The size of an epoch, an offset and the marks between them. */
const POSITION_BYTES_MAX = 32;

/** How long the connection of an ended stream stays open while its client neither reads the rest nor sends a request. */
const ENDED_IDLE_S = 10;

const EVENTS = {
  headers: {
    "content-type": "text/event-stream; charset=utf-8",
    // Compressors and proxies that see no-transform pass each event on at once (RFC 9111, section 5.2.2.6).
    "cache-control": "no-store, no-transform",
    "x-content-type-options": "nosniff",
    // Otherwise nginx would buffer the events.
    "x-accel-buffering": "no",
  },
};

interface StreamsOptions {
  readonly backpressureBytes: number;
  readonly log: Log;
}

export class Streams implements Transport {
  readonly #options: StreamsOptions;
  readonly #audiences = new Map<string, Set<Stream>>();
  readonly #reconnectAnswers: ReconnectAnswers;
  #server: Server<Connection> | undefined;
  #relay: Relay | undefined;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#reconnectAnswers = new ReconnectAnswers(
      () => this.#relay?.connections.room ?? 0,
      EVENTS.headers,
      options.log,
    );
  }

  attach(server: Server<Connection>, relay: Relay): void {
    this.#server = server;
    this.#relay = relay;
  }

  /** Answers an admitted connection with its stream. Refuses `too_many_topics`. */
  open(request: Request, connection: Connection, first: FirstTopics): Response | Refusal {
    const relay = this.#relay as Relay;
    const refusal = checkPositions(request, connection.protocol, first.names ?? []);
    if (refusal !== undefined) return refusal;
    // Nobody reads the body of an answer to HEAD, so the stream would never end.
    if (request.method !== "GET") {
      relay.admission.abandon(connection);
      return new Response(null, EVENTS);
    }
    const stream = this.#begin(request, connection, relay);
    stream.begin(retryMs());
    relay.open(connection, stream, first);
    return new Response(stream.body, EVENTS);
  }

  /**
   * Answers a client that identifies itself by a command. The first commands came with the request, and the client sends
   * later ones in requests of their own. `first` goes out before anything else.
   */
  openSession(
    request: Request,
    protocol: SessionProtocol,
    commands: string,
    { first, type }: { first: string; type: string },
  ): Response | Refusal {
    const relay = this.#relay as Relay;
    const headers = { ...EVENTS.headers, "content-type": type };
    // Nobody reads the body of an answer to HEAD, so the session would stay and the request would hang.
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
    // Bun would end a response that is quiet for 10 s; relay/connecting/heartbeat.ts keeps it alive.
    this.#server?.timeout(request, 0);
    const { protocol } = connection;
    const hasPongs = protocol.kind === "session";
    const { backpressureBytes: limitBytes, log } = this.#options;
    const events: StreamEvents = {
      progressed: () => {
        if (connection.awaitingPong && !hasPongs) relay.pong(connection);
        relay.drained(connection);
      },
      overflowed: () => relay.connections.end(connection, "slow_consumer"),
      cancelled: () => {
        relay.connections.lost(connection);
        logClose(log, connection);
      },
      closed: (code) => {
        // From here on only Bun watches over this TCP connection.
        this.#server?.timeout(request, ENDED_IDLE_S);
        logClose(log, connection, { code });
      },
    };
    return new Stream({ audiences: this.#audiences, limitBytes, protocol, events });
  }

  /** The stream that `open` opens. Where it cannot be opened now, an EventSource is told to reconnect. */
  orLater(request: Request, open: Opener): Promise<Response | Refusal> {
    return this.#reconnectAnswers.orLater(request, open);
  }

  /** Ends the streams of clients that were told to reconnect. */
  endReconnectAnswers(): void {
    this.#reconnectAnswers.end();
  }

  fanOut(nativeTopic: string, frame: Frame, except?: Socket): void {
    const audience = this.#audiences.get(nativeTopic);
    if (audience === undefined) return;
    const bytes = typeof frame === "string" ? new TextEncoder().encode(frame) : frame;
    // A copy, since slow consumers are removed from the audience during the loop.
    for (const stream of [...audience]) if (stream !== except) stream.deliver(frame, bytes);
  }
}

/** Refuses (`too_many_topics`) topics whose positions would not fit into an event id, which the client sends back. */
function checkPositions(
  request: Request,
  protocol: Protocol,
  names: readonly string[],
): Refusal | undefined {
  const idBytes = names.reduce(
    (sum, name) => sum + encodeURIComponent(name).length + POSITION_BYTES_MAX,
    0,
  );
  const isSized = "maxBytes" in protocol && protocol.maxBytes !== undefined;
  if (isSized && names.length > 1 && idBytes > SIZED_POSITIONS_BYTES_MAX) {
    return new Refusal(
      "too_many_topics",
      `With max_bytes, the positions of a stream's topics must fit into ${SIZED_POSITIONS_BYTES_MAX} bytes: use fewer topics for each stream, or a WebSocket.`,
    );
  }
  const addressBytes = request.url.replace(ID_IN_ADDRESS, "").length;
  if (idBytes <= ID_BYTES_MAX && idBytes + addressBytes <= REQUEST_BYTES_MAX) return undefined;
  return new Refusal(
    "too_many_topics",
    `The positions of a stream's topics must fit into a header of ${ID_BYTES_MAX} bytes, and together with the address into ${REQUEST_BYTES_MAX} bytes: use fewer topics for each stream, or a WebSocket.`,
  );
}
