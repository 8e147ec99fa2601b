// The stream transport, of Server-Sent Events or of lines: opens streams, and fans publications out to them. What they are
// sent in one turn of the event loop is written at its end, as Bun does for sockets: the write is nearly all that it costs.
import type { Server } from "bun";
import type { Log } from "../../log";
import type { PassedHeaders } from "../../relay/contracts/backend/questions";
import { Refusal } from "../../relay/contracts/errors";
import { type Maybe, then } from "../../relay/contracts/maybe";
import {
  type Protocol,
  type SessionProtocol,
  SIZED_POSITIONS_BYTES_MAX,
} from "../../relay/contracts/protocol";
import type { Frame, Socket, Transport } from "../../relay/contracts/transport";
import type { FirstTopics, Relay } from "../../relay/relay";
import type { Connection } from "../../relay/state/connection";
import type { AddressLimits } from "../access/limits/address-limits";
import { noteClose } from "./close-log";
import { type Opener, ReconnectAnswers, retryMs } from "./reconnect-answers";
import { type PositionsIn, Stream, type StreamHost } from "./stream";
import { StreamGroup } from "./stream-group";

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

/** When about so many bytes are collected for streams they are written at once, or when a quarter of the backpressure limit is. */
const COLLECTED_BYTES_MAX = 65_536;

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
  /** What connections keep of the headers of their requests. */
  readonly passedHeaders: (headers: Headers) => PassedHeaders | undefined;
  readonly log: Log;
}

export class Streams implements Transport, StreamHost {
  readonly #log: Log;
  readonly limitBytes: number;
  readonly #collectedBytesMax: number;
  /** Those with streams that are subscribed to each native topic. */
  readonly #groups = new Map<string, Set<StreamGroup>>();
  /** Those that streams with the same topics join, by these topics. */
  readonly #settled = new Map<string, StreamGroup>();
  /** Those that have something to write, or a stream whose topics have changed. */
  readonly #waiting = new Set<StreamGroup>();
  #isFlushDue = false;
  readonly #flush = () => this.#flushWaiting();
  /** Those that are catching up and have read what they were sent. */
  #drained: Connection[] = [];
  readonly #reconnectAnswers: ReconnectAnswers;
  #server: Server<Connection> | undefined;
  #relay: Relay | undefined;
  #addressLimits: AddressLimits | undefined;

  readonly #passedHeaders: StreamsOptions["passedHeaders"];

  constructor({ backpressureBytes, passedHeaders, log }: StreamsOptions) {
    this.#passedHeaders = passedHeaders;
    this.#log = log;
    this.limitBytes = backpressureBytes;
    this.#collectedBytesMax = Math.min(COLLECTED_BYTES_MAX, backpressureBytes / 4);
    this.#reconnectAnswers = new ReconnectAnswers(
      {
        room: () => this.#relay?.connections.room ?? 0,
        count: (refusal) => this.#relay?.tally.refused(refusal),
      },
      EVENTS.headers,
      log,
    );
  }

  attach(server: Server<Connection>, relay: Relay, addressLimits: AddressLimits): void {
    this.#server = server;
    this.#relay = relay;
    this.#addressLimits = addressLimits;
  }

  /** Admits the client of a request for a stream. Refuses what AddressLimits and Admission do. Rejects with EngineUnavailable. */
  admit(request: Request, id: string, protocol: Protocol): Maybe<Connection | Refusal> {
    const headers = this.#passedHeaders(request.headers);
    return this.#admit(request, ({ admission }, address) =>
      admission.admit(id, protocol, address, headers),
    );
  }

  #admit(
    request: Request,
    admission: (relay: Relay, address: string) => Maybe<Connection | Refusal>,
  ): Maybe<Connection | Refusal> {
    const limits = this.#addressLimits as AddressLimits;
    const address = limits.attempt(request);
    if (address instanceof Refusal) return address;
    return then(admission(this.#relay as Relay, address), (admitted) => {
      if (admitted instanceof Refusal) limits.noteConnect(address, admitted);
      return admitted;
    });
  }

  /** Answers an admitted connection with its stream. Refuses `too_many_topics`. */
  open(
    request: Request,
    connection: Connection,
    first: FirstTopics,
    positionsIn: PositionsIn = "block",
  ): Response | Refusal {
    const relay = this.#relay as Relay;
    const refusal = checkPositions(request, connection.protocol, first.names ?? []);
    if (refusal !== undefined) return refusal;
    // Nobody reads the body of an answer to HEAD, so the stream would never end.
    if (request.method !== "GET") {
      relay.admission.abandon(connection);
      return new Response(null, EVENTS);
    }
    const stream = this.#begin(request, connection);
    stream.begin(retryMs(), positionsIn);
    relay.open(connection, stream, first);
    stream.group.flush();
    return new Response(stream.body(), EVENTS);
  }

  /**
   * Answers a client that identifies itself by a command. The first commands came with the request, and the client sends
   * later ones in requests of their own. `first` goes out before anything else. The answer begins when the client is
   * connected. Refuses `shutting_down`, `too_many_connections`, `engine_unavailable`, `keys_unavailable`; any other
   * refusal is in the stream, as the protocol has it.
   */
  async openSession(
    request: Request,
    protocol: SessionProtocol,
    commands: string | Uint8Array,
    { first, type }: { first: string; type: string },
  ): Promise<Response | Refusal> {
    const relay = this.#relay as Relay;
    const headers = { ...EVENTS.headers, "content-type": type };
    // Nobody reads the body of an answer to HEAD, so the session would stay and the request would hang.
    if (request.method === "HEAD") return new Response(null, { headers });
    const passed = this.#passedHeaders(request.headers);
    const connection = await this.#admit(request, ({ admission }, address) =>
      admission.admitSession(protocol, address, passed),
    );
    if (connection instanceof Refusal) return connection;
    const { signal } = request;
    const stream = this.#begin(request, connection);
    if (first !== "") stream.send(first);
    relay.open(connection, stream);
    const answered = relay.answered(connection);
    relay.receive(connection, commands);
    const refusal = await answered;
    if (refusal !== undefined) {
      stream.abandon();
      relay.connections.closed(connection);
      return refusal;
    }
    if (connection.session?.state !== "connected") await this.#reconnectAnswers.beforeRefusal();
    // The body of an answer that nobody takes any more is not cancelled.
    if (signal.aborted) {
      stream.abandon();
      relay.connections.lost(connection);
    }
    return new Response(stream.body(), { headers });
  }

  #begin(request: Request, connection: Connection): Stream {
    // Bun would end a response that is quiet for 10 s; relay/connecting/heartbeat.ts keeps it alive.
    this.#server?.timeout(request, 0);
    return new Stream(this, connection, request);
  }

  /** The answer to a request for a stream that is refused before it is routed; undefined where it is not of an EventSource. */
  reconnectAnswer(request: Request): Response | undefined {
    return this.#reconnectAnswers.atOnce(request);
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
    const groups = this.#groups.get(nativeTopic);
    if (groups === undefined) return;
    for (const group of groups) {
      const stream = except instanceof Stream && except.group === group ? except : undefined;
      group.push(frame, stream);
      this.flushSoon(group);
      if (group.sharedBytes > this.#collectedBytesMax) group.flush();
    }
  }

  firstGroup(): StreamGroup {
    const group = new StreamGroup();
    this.flushSoon(group);
    return group;
  }

  separate(stream: Stream): StreamGroup {
    const { group } = stream;
    if (group.key === undefined) return group;
    group.flush();
    const own = group.copy();
    for (const nativeTopic of own.nativeTopics) this.subscribed(own, nativeTopic);
    group.streams.delete(stream);
    this.left(group);
    stream.group = own;
    own.streams.add(stream);
    this.flushSoon(own);
    return own;
  }

  subscribed(group: StreamGroup, nativeTopic: string): void {
    this.#groups.getOrInsertComputed(nativeTopic, () => new Set()).add(group);
  }

  unsubscribed(group: StreamGroup, nativeTopic: string): void {
    const groups = this.#groups.get(nativeTopic);
    groups?.delete(group);
    if (groups?.size === 0) this.#groups.delete(nativeTopic);
  }

  flushSoon(group: StreamGroup): void {
    this.#waiting.add(group);
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(this.#flush);
  }

  left(group: StreamGroup): void {
    if (group.streams.size > 0) return;
    for (const nativeTopic of group.nativeTopics) this.unsubscribed(group, nativeTopic);
    if (group.key !== undefined) this.#settled.delete(group.key);
  }

  passedOn({ connection }: Stream): void {
    const relay = this.#relay as Relay;
    takeAsPong(relay, connection);
    const isOwedMore =
      connection.session?.awaitsReader === true ||
      (connection.subscriptions?.pending.length ?? 0) > 0;
    if (!isOwedMore) return;
    // In a later turn, so that a client that reads fast and has missed much lets others have theirs.
    if (this.#drained.length === 0) setImmediate(() => this.#continueDrained(relay));
    this.#drained.push(connection);
  }

  drained({ connection }: Stream): void {
    const relay = this.#relay as Relay;
    takeAsPong(relay, connection);
    relay.drained(connection);
  }

  overflowed({ connection }: Stream): void {
    this.#relay?.connections.end(connection, "slow_consumer");
  }

  cancelled({ connection }: Stream): void {
    const relay = this.#relay as Relay;
    relay.connections.lost(connection);
    noteClose({ log: this.#log, tally: relay.tally }, connection);
  }

  closed({ connection, request }: Stream, code: number): void {
    // From here on only Bun watches over this TCP connection.
    this.#server?.timeout(request, ENDED_IDLE_S);
    const { tally } = this.#relay as Relay;
    noteClose({ log: this.#log, tally }, connection, { code });
  }

  #continueDrained(relay: Relay): void {
    const drained = this.#drained;
    this.#drained = [];
    for (const connection of drained) {
      try {
        relay.drained(connection);
      } catch (error) {
        this.#failed(error, [connection]);
      }
    }
  }

  #flushWaiting(): void {
    this.#isFlushDue = false;
    // The set grows in the loop when a stream that is ended causes a push to others.
    for (const group of this.#waiting) {
      this.#waiting.delete(group);
      try {
        group.flush();
        if (group.key === undefined) this.#settle(group);
      } catch (error) {
        const streams = [...group.streams].filter((member) => member instanceof Stream);
        this.#failed(
          error,
          streams.map(({ connection }) => connection),
        );
      }
    }
  }

  /** A fault of ours, after which nobody knows what these clients were sent: they reconnect, and all others go on. */
  #failed(error: unknown, connections: readonly Connection[]): void {
    this.#log.error({ err: error }, "streams could not be written to");
    for (const connection of connections) this.#relay?.connections.end(connection, "internal");
  }

  /** Puts the streams of a group whose topics have changed into the group with the same topics. */
  #settle(group: StreamGroup): void {
    if (group.streams.size === 0) return;
    const key = [...group.nativeTopics].sort().join("\n");
    const settled = this.#settled.get(key);
    if (settled === undefined) {
      group.key = key;
      this.#settled.set(key, group);
      return;
    }
    settled.flush();
    if (!settled.adopt(group)) return;
    group.streams.clear();
    this.left(group);
  }
}

/** Clients that have no pong are alive when they read. */
function takeAsPong(relay: Relay, connection: Connection): void {
  if (connection.awaitingPong && connection.protocol.kind === "topics") relay.pong(connection);
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
