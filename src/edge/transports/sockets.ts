// The WebSocket side: handshakes in, frames in, native fan-out out. The handlers are Bun's own, without
// a wrapper for each socket, and synchronous: Bun would start async ones side by side for one socket.
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import { type Log, sanitized, shortId } from "../../log";
import { Refusal } from "../../relay/contracts/errors";
import type { Protocol } from "../../relay/contracts/protocol";
import type { Socket, Transport } from "../../relay/contracts/transport";
import type { Relay } from "../../relay/relay";
import type { Connection } from "../../relay/state/connection";

/** Makes a socket of a request for this id; a refusal, or undefined when it was upgraded. */
export type Handshake = (
  request: Request,
  id: string,
  protocol: Protocol,
) => Refusal | undefined | Promise<Refusal | undefined>;

export type SessionHandshake = (request: Request) => Refusal | undefined;

/** What a Centrifuge client may offer; most offer nothing. */
const SUBPROTOCOL = "centrifuge-json";
const BINARY_SUBPROTOCOL = "centrifuge-protobuf";

const NOT_VALID = "The WebSocket handshake is not valid (RFC 6455, 4.2.1).";

/** Protocols by the value of `format`; "" when it is not given. */
export type Formats = Readonly<Record<string, Protocol>>;

export interface SocketLimits {
  readonly frameBytes: number;
  readonly backpressureBytes: number;
}

/** The relay's connections are the sockets' own data: no map between the two. */
export class Sockets implements Transport {
  readonly #log: Log;
  readonly #limits: SocketLimits;
  #server: Server<Connection> | undefined;
  #congested = false;
  /** Between their handshake and their opening: those that will not understand what the relay says. */
  readonly #binary = new WeakSet<Connection>();

  constructor(limits: SocketLimits, log: Log) {
    this.#limits = limits;
    this.#log = log;
  }

  attach(server: Server<Connection>): void {
    this.#server = server;
  }

  fanOut(nativeTopic: string, frame: string, except?: Socket): void {
    // The number is that of the worst subscriber: at most 0 when one cannot keep up. It names nobody,
    // so it only helps to tell, in `close`, a slow consumer from a peer that has gone.
    // A socket's own publish reaches all but itself.
    const sent =
      except === undefined
        ? this.#server?.publish(nativeTopic, frame, false)
        : (except as ServerWebSocket<Connection>).publish(nativeTopic, frame, false);
    if (sent !== undefined && sent <= 0 && !this.#congested) {
      this.#congested = true;
      setImmediate(() => setImmediate(() => (this.#congested = false)));
    }
  }

  handshake(relay: Relay): Handshake {
    const upgrade = (request: Request, connection: Connection): Refusal | undefined => {
      const refusal = checkHandshake(request);
      if (refusal === undefined) {
        // Bun would agree to the first subprotocol that the client names, whatever it is.
        request.headers.delete("sec-websocket-protocol");
        if (this.#server?.upgrade(request, { data: connection }) === true) return undefined;
      }
      relay.admission.abandon(connection);
      return refusal ?? new Refusal("bad_request", NOT_VALID);
    };
    return (request, id, protocol) => {
      const admitted = relay.admission.admit(id, protocol);
      const goOn = (found: Connection | Refusal) =>
        found instanceof Refusal ? found : upgrade(request, found);
      return admitted instanceof Promise ? admitted.then(goOn) : goOn(admitted);
    };
  }

  /** The same for clients that will say who they are. */
  sessionHandshake(relay: Relay, protocol: Protocol): SessionHandshake {
    return (request) => {
      const refusal = checkHandshake(request);
      if (refusal !== undefined) return refusal;
      const connection = relay.admission.admitSession(protocol);
      if (connection instanceof Refusal) return connection;
      const offered = request.headers.get("sec-websocket-protocol");
      const agreed = [SUBPROTOCOL, BINARY_SUBPROTOCOL].find((name) => hasToken(offered, name));
      if (agreed === BINARY_SUBPROTOCOL || asksForBinary(request.url)) this.#binary.add(connection);
      request.headers.delete("sec-websocket-protocol");
      const headers = agreed === undefined ? {} : { "sec-websocket-protocol": agreed };
      if (this.#server?.upgrade(request, { data: connection, headers }) === true) return undefined;
      return new Refusal("bad_request", NOT_VALID);
    };
  }

  handlers(relay: Relay): WebSocketHandler<Connection> {
    return {
      maxPayloadLength: this.#limits.frameBytes,
      backpressureLimit: this.#limits.backpressureBytes,
      // Otherwise Bun drops what does not fit and keeps the socket: a silent gap.
      closeOnBackpressureLimit: true,
      // Off: it is re-armed by each send, so relay/connecting/heartbeat.ts does its work.
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (ws) =>
        this.#guarded(ws, () => {
          relay.open(ws.data, ws);
          // By a code that its SDK knows: after a refused handshake it would try again for ever.
          if (this.#binary.delete(ws.data)) relay.connections.end(ws.data, "wrong_format");
        }),
      message: (ws, frame) =>
        this.#guarded(ws, () => {
          if (relay.countFrame(ws.data)) relay.receive(ws.data, frame);
        }),
      ping: (ws) => this.#guarded(ws, () => relay.countFrame(ws.data)),
      pong: (ws) =>
        this.#guarded(ws, () => {
          if (relay.countFrame(ws.data)) relay.pong(ws.data);
        }),
      drain: (ws) => this.#guarded(ws, () => relay.drained(ws.data)),
      close: (ws, code, reason) => {
        // 1006: without a close frame, so the client may not know and come back.
        this.#guarded(ws, () => {
          if (code === 1006) relay.connections.lost(ws.data);
          else relay.connections.closed(ws.data);
        });
        this.#logClose(ws.data, code, reason);
      },
    };
  }

  /** A fault of ours in a handler costs that one connection, not the process. */
  #guarded(ws: ServerWebSocket<Connection>, handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#log.error({ err: error, connection: shortId(ws.data.id) }, "a socket handler failed");
      ws.close(1011, "internal error");
    }
  }

  #logClose(connection: Connection, code: number, reason: string): void {
    const { id, user, protocol } = connection;
    const { slow_consumer } = protocol.closes;
    // Bun closes over the backpressure limit with 1006 and no reason, as when a peer just goes.
    const cutOff = code === 1006 && reason === "" && this.#congested;
    if (cutOff || code === slow_consumer.code) {
      this.#log.warn({ connection: shortId(id), user: sanitized(user) }, "slow consumer closed");
    } else if (this.#log.isLevelEnabled("debug")) {
      const fields = {
        connection: shortId(id),
        user: sanitized(user),
        code,
        reason: sanitized(reason),
      };
      this.#log.debug(fields, "connection closed");
    }
  }
}

// Bun checks the key; it takes any version and does not look at Connection (RFC 6455, 4.2.1).
function checkHandshake(request: Request): Refusal | undefined {
  const { headers } = request;
  if (request.method !== "GET" || !hasToken(headers.get("upgrade"), "websocket")) {
    return new Refusal(
      "upgrade_required",
      "Connect to this address with a WebSocket client: it answers only to Upgrade: websocket.",
    );
  }
  if (headers.get("sec-websocket-version") !== "13") {
    return new Refusal("upgrade_required", "The WebSocket version must be 13.");
  }
  if (!hasToken(headers.get("connection"), "upgrade")) {
    return new Refusal(
      "bad_request",
      "The handshake lacks Connection: Upgrade; a proxy in between may have removed it.",
    );
  }
  return undefined;
}

/** Centrifuge clients may ask for its binary form, which Baton does not speak. */
function asksForBinary(url: string): boolean {
  const { searchParams } = new URL(url);
  return (
    searchParams.get("format") === "protobuf" || searchParams.get("cf_protocol") === "protobuf"
  );
}

/** Whether a list of tokens has this one, in any case (RFC 9110, 5.6.1). */
function hasToken(header: string | null, token: string): boolean {
  if (header === null) return false;
  const lower = header.toLowerCase();
  return lower === token || lower.split(",").some((item) => item.trim() === token);
}
