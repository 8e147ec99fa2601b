// The WebSocket transport: handshakes and frames come in, and native fan-out goes out. The handlers are Bun's own, without
// a wrapper for each socket. They must stay synchronous: Bun would run async ones for the same socket concurrently.
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import { type Log, shortId } from "../../log";
import type { PassedHeaders } from "../../relay/contracts/backend/questions";
import { Refusal } from "../../relay/contracts/errors";
import { type Maybe, then } from "../../relay/contracts/maybe";
import type { Protocol } from "../../relay/contracts/protocol";
import type { Frame, Socket, Transport } from "../../relay/contracts/transport";
import type { Relay } from "../../relay/relay";
import type { Connection } from "../../relay/state/connection";
import { searchOf } from "../access/address";
import type { AddressLimits } from "../access/limits/address-limits";
import { noteClose, noteCutOff } from "./close-log";
import { FrameTurns } from "./frame-turns";
import { TOO_LARGE, TooLargeLog } from "./too-large-log";

/**
 * Upgrades a request of the client with this registration. Undefined means that the request has become a socket. The
 * client may ask for a heartbeat of its own.
 */
export type Handshake = (
  request: Request,
  id: string,
  protocol: Protocol,
  heartbeatMs?: number,
) => Maybe<Refusal | undefined>;

/** Upgrades a request of a client that will identify itself by a command. */
export type SessionHandshake = (request: Request) => Refusal | undefined;

const SUBPROTOCOL_HEADER = "sec-websocket-protocol";

/** The subprotocols that a Centrifuge client may offer. Those that speak JSON mostly offer none. */
const SUBPROTOCOLS = { "centrifuge-json": "text", "centrifuge-protobuf": "binary" } as const;

const INVALID_HANDSHAKE = "The WebSocket handshake is not valid (RFC 6455, section 4.2.1).";

interface SocketOptions extends SocketLimits {
  /** What connections keep of the headers of their requests. */
  readonly passedHeaders: (headers: Headers) => PassedHeaders | undefined;
}

interface SocketLimits {
  readonly frameBytes: number;
  readonly backpressureBytes: number;
  /** Whether the sockets speak TLS. */
  readonly isTls: boolean;
}

/** What Bun's `publish` results in when a subscriber is over its limit, and also when there is none. */
const OVER_LIMIT = 0;

/** More than can wait for a socket before it is found. */
const NEVER_DROPPED_BYTES = 2 ** 31 - 1;

/** What Bun's sockets are limited to, which is the same for all of a server. */
export function socketLimits({ frameBytes, backpressureBytes, isTls }: SocketLimits) {
  return {
    maxPayloadLength: frameBytes,
    backpressureLimit: isTls ? NEVER_DROPPED_BYTES : backpressureBytes,
    // Otherwise Bun would drop what does not fit and keep the socket, which leaves a silent gap.
    closeOnBackpressureLimit: true,
    // Each send would re-arm it, so it is off, and relay/connecting/heartbeat.ts finds dead peers.
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
  };
}

/** Each socket carries its connection as its data, so that no map between the two is needed. */
export class Sockets implements Transport {
  readonly #log: Log;
  readonly #tooLarge: TooLargeLog;
  readonly #limits: SocketLimits;
  readonly passedHeaders: SocketOptions["passedHeaders"];
  #server: Server<Connection> | undefined;
  /** Those with an older certificate, which take no new TCP connections. */
  readonly #olderServers: Server<Connection>[] = [];
  /** Whether a subscriber could not keep up with the fan-out of a moment ago. */
  #congested = false;
  /** With TLS: how much was sent while a subscriber could not keep up, since slow consumers were looked for. */
  #uncheckedBytes = 0;
  #relay: Relay | undefined;

  constructor(options: SocketOptions, log: Log) {
    this.#limits = options;
    this.passedHeaders = options.passedHeaders;
    this.#log = log;
    this.#tooLarge = new TooLargeLog(log);
  }

  /** From now on this server takes the new connections. */
  attach(server: Server<Connection>): void {
    if (this.#server !== undefined) this.#olderServers.push(this.#server);
    this.#server = server;
  }

  fanOut(nativeTopic: string, frame: Frame, except?: Socket): void {
    this.#tooLarge.sent(frame);
    // A socket's own publish reaches every subscriber except itself.
    let sent: number | undefined;
    if (this.#olderServers.length > 0) sent = this.#publishToAll(nativeTopic, frame, except);
    else if (except === undefined) sent = this.#server?.publish(nativeTopic, frame, false);
    else sent = (except as ServerWebSocket<Connection>).publish(nativeTopic, frame, false);
    // Which subscriber is over its limit is not said, so this only helps the close handler to tell it from a peer that has gone.
    if (sent === OVER_LIMIT && !this.#congested && this.#hasReceivers(nativeTopic, except)) {
      this.#congested = true;
      setImmediate(() => setImmediate(() => (this.#congested = false)));
    }
    if (sent !== undefined && sent <= 0 && this.#limits.isTls) {
      this.#uncheckedBytes += frame.length;
      if (this.#uncheckedBytes < this.#limits.backpressureBytes / 4) return;
      this.#uncheckedBytes = 0;
      // Not within a fan-out, since the connections change.
      setImmediate(() => this.#endSlowConsumers());
    }
  }

  /**
   * Over TLS Bun does not close a socket that is over the limit, and silently drops what it would have to send to it. So it is
   * given no limit there, and this does what Bun does without TLS. Cost: all connections, at most once for each quarter of the limit.
   */
  #endSlowConsumers(): void {
    this.#congested = true;
    for (const { socket } of this.#relay?.connections.all() ?? []) {
      if (socket === undefined || !("terminate" in socket)) continue;
      if (socket.getBufferedAmount() <= this.#limits.backpressureBytes) continue;
      (socket as ServerWebSocket<Connection>).terminate();
    }
    this.#congested = false;
  }

  /** Each server has subscribers of its own. The result is OVER_LIMIT if it is that of any of them. */
  #publishToAll(nativeTopic: string, frame: Frame, except?: Socket): number | undefined {
    const given = except as ServerWebSocket<Connection> | undefined;
    // Its topic may have it in another audience, such as that of subscribers with deltas.
    const excepted = given?.isSubscribed(nativeTopic) === true ? given : undefined;
    excepted?.unsubscribe(nativeTopic);
    let result: number | undefined;
    for (const server of this.#servers) {
      if (server.subscriberCount(nativeTopic) === 0) continue;
      const sent = server.publish(nativeTopic, frame, false);
      if (sent === OVER_LIMIT) result = sent;
    }
    excepted?.subscribe(nativeTopic);
    return result;
  }

  /** Whether a fan-out has anybody to reach: Bun gives the same result for nobody as for one that is over its limit. */
  #hasReceivers(nativeTopic: string, except?: Socket): boolean {
    const excepted = except as ServerWebSocket<Connection> | undefined;
    let count = excepted?.isSubscribed(nativeTopic) === true ? -1 : 0;
    for (const server of this.#servers) count += server.subscriberCount(nativeTopic);
    return count > 0;
  }

  get #servers(): readonly Server<Connection>[] {
    return [this.#server as Server<Connection>, ...this.#olderServers];
  }

  /** Whether the request has become a socket. */
  #upgrade(request: Request, connection: Connection): boolean {
    const server = this.#server as Server<Connection>;
    const options = { data: connection };
    if (this.#olderServers.length === 0) return server.upgrade(request, options);
    // Only the server that has received a request can upgrade it, and Bun does not say which one that is.
    return [server, ...this.#olderServers].some((one) => {
      try {
        return one.upgrade(request, options);
      } catch (error) {
        if ((error as { code?: unknown }).code === "ERR_INVALID_ARG_TYPE") return false;
        throw error;
      }
    });
  }

  handshake(relay: Relay, addressLimits: AddressLimits): Handshake {
    const upgrade = (request: Request, connection: Connection): Refusal | undefined => {
      const first = new Set(relay.initialTopics(connection));
      const refusal = checkHandshake(request) ?? relay.checkRoom(connection, first);
      if (refusal === undefined) {
        // Otherwise Bun would agree to the first subprotocol that the client offers, whatever it is.
        request.headers.delete(SUBPROTOCOL_HEADER);
        if (this.#upgrade(request, connection)) return undefined;
      }
      relay.admission.abandon(connection);
      return refusal ?? new Refusal("bad_request", INVALID_HANDSHAKE);
    };
    return (request, id, protocol, heartbeatMs) => {
      const address = addressLimits.attempt(request);
      if (address instanceof Refusal) return address;
      const headers = this.passedHeaders(request.headers);
      return then(relay.admission.admit(id, protocol, address, headers), (admitted) => {
        if (admitted instanceof Refusal) {
          addressLimits.noteConnect(address, admitted);
          return admitted;
        }
        if (heartbeatMs !== undefined) relay.setHeartbeat(admitted, heartbeatMs);
        return upgrade(request, admitted);
      });
    };
  }

  sessionHandshake(
    relay: Relay,
    addressLimits: AddressLimits,
    protocols: Readonly<Record<"text" | "binary", Protocol>>,
  ): SessionHandshake {
    return (request) => {
      const agreed = agreedSubprotocol(request.headers.get(SUBPROTOCOL_HEADER));
      const form = asksForBinary(request.url)
        ? "binary"
        : SUBPROTOCOLS[agreed ?? "centrifuge-json"];
      const passed = this.passedHeaders(request.headers);
      const admit = (address: string) =>
        relay.admission.admitSession(protocols[form], address, passed);
      return this.openSession(request, addressLimits, admit, agreed);
    };
  }

  /** Upgrades a request of a client that has no registration, once its address may and `admit` has made its connection. */
  openSession(
    request: Request,
    addressLimits: AddressLimits,
    admit: (address: string) => Connection | Refusal,
    agreedSubprotocol?: string,
  ): Refusal | undefined {
    const { headers } = request;
    const refusal = checkHandshake(request);
    if (refusal !== undefined) return refusal;
    const address = addressLimits.attempt(request);
    if (address instanceof Refusal) return address;
    const connection = admit(address);
    if (connection instanceof Refusal) {
      addressLimits.noteConnect(address, connection);
      return connection;
    }
    // Bun agrees to the first subprotocol of the request, whatever that is.
    if (agreedSubprotocol === undefined) headers.delete(SUBPROTOCOL_HEADER);
    else headers.set(SUBPROTOCOL_HEADER, agreedSubprotocol);
    if (this.#upgrade(request, connection)) return undefined;
    return new Refusal("bad_request", INVALID_HANDSHAKE);
  }

  handlers(relay: Relay): WebSocketHandler<Connection> {
    this.#relay = relay;
    const { backpressureBytes } = this.#limits;
    const notes = { log: this.#log, tally: relay.tally };
    const turns = new FrameTurns({
      bytesMax: backpressureBytes,
      receive: (ws, frame) => this.#guarded(ws, () => relay.receive(ws.data, frame)),
      overflow: (ws) => relay.connections.end(ws.data, "too_many_frames"),
    });
    return {
      ...socketLimits(this.#limits),
      open: (ws) =>
        this.#guarded(ws, () => {
          relay.open(ws.data, ws);
        }),
      message: (ws, frame) =>
        this.#guarded(ws, () => {
          if (relay.countFrame(ws.data, bytesOf(frame))) turns.receive(ws, frame);
        }),
      ping: (ws, data) => this.#guarded(ws, () => relay.countFrame(ws.data, data.byteLength)),
      pong: (ws, data) =>
        this.#guarded(ws, () => {
          if (relay.countFrame(ws.data, data.byteLength)) relay.pong(ws.data);
        }),
      drain: (ws) => this.#guarded(ws, () => relay.drained(ws.data)),
      close: (ws, code, reason) => {
        turns.closed(ws);
        // Bun closes a socket over the backpressure limit with 1006 and no reason, as when the peer just goes.
        const wasCutOff = code === 1006 && reason === "" && this.#congested;
        // 1006 is a close without a close frame: the client may not know of it, and will reconnect.
        this.#guarded(ws, () => {
          const { connections } = relay;
          if (code !== 1006) connections.closed(ws.data, code);
          else connections.lost(ws.data, wasCutOff ? "slow_consumer" : "lost", code);
        });
        if (code === TOO_LARGE) this.#tooLarge.closed(ws.data, reason);
        if (wasCutOff) noteCutOff(notes, ws.data);
        else noteClose(notes, ws.data, { code, reason });
      },
    };
  }

  /** A fault in a handler costs that one connection and not the process. */
  #guarded(ws: ServerWebSocket<Connection>, handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#log.error({ err: error, connection: shortId(ws.data.id) }, "a socket handler failed");
      ws.close(1011, "internal error");
    }
  }
}

function bytesOf(frame: string | Uint8Array): number {
  return typeof frame === "string" ? Buffer.byteLength(frame) : frame.byteLength;
}

// Bun checks the key, but accepts any version and ignores the header Connection (RFC 6455, section 4.2.1).
function checkHandshake(request: Request): Refusal | undefined {
  const { headers } = request;
  if (request.method !== "GET" || !hasToken(headers.get("upgrade"), "websocket")) {
    return new Refusal(
      "upgrade_required",
      "This address is for WebSocket clients only: send the header Upgrade: websocket.",
    );
  }
  if (headers.get("sec-websocket-version") !== "13") {
    return new Refusal("upgrade_required", "The WebSocket version must be 13.");
  }
  if (!hasToken(headers.get("connection"), "upgrade")) {
    return new Refusal(
      "bad_request",
      "The handshake has no header Connection: Upgrade; a proxy may have removed it.",
    );
  }
  return undefined;
}

/** Of the subprotocols that a client offers, the first one that is known: the client's order counts (RFC 6455, 4.1). */
function agreedSubprotocol(offered: string | null): keyof typeof SUBPROTOCOLS | undefined {
  if (offered === null) return undefined;
  const names = offered.split(",").map((name) => name.trim());
  return names.find((name): name is keyof typeof SUBPROTOCOLS => Object.hasOwn(SUBPROTOCOLS, name));
}

/** Whether the address asks for the binary form, for clients that offer no subprotocol. */
function asksForBinary(url: string): boolean {
  if (!url.includes("?")) return false;
  const searchParams = new URLSearchParams(searchOf(url));
  return (
    searchParams.get("format") === "protobuf" || searchParams.get("cf_protocol") === "protobuf"
  );
}

/** Whether a list of tokens contains this one, in upper or lower case (RFC 9110, section 5.6.1). */
function hasToken(header: string | null, token: string): boolean {
  if (header === null) return false;
  const lower = header.toLowerCase();
  return lower === token || lower.split(",").some((item) => item.trim() === token);
}
