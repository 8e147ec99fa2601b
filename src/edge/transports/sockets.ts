// The WebSocket transport: handshakes and frames come in, and native fan-out goes out. The handlers are Bun's own, without
// a wrapper for each socket. They must stay synchronous: Bun would run async ones for the same socket concurrently.
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import { type Log, shortId } from "../../log";
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

interface SocketLimits {
  readonly frameBytes: number;
  readonly backpressureBytes: number;
}

/** Each socket carries its connection as its data, so that no map between the two is needed. */
export class Sockets implements Transport {
  readonly #log: Log;
  readonly #tooLarge: TooLargeLog;
  readonly #limits: SocketLimits;
  #server: Server<Connection> | undefined;
  /** Whether a subscriber could not keep up with the fan-out of a moment ago. */
  #congested = false;

  constructor(limits: SocketLimits, log: Log) {
    this.#limits = limits;
    this.#log = log;
    this.#tooLarge = new TooLargeLog(log);
  }

  attach(server: Server<Connection>): void {
    this.#server = server;
  }

  fanOut(nativeTopic: string, frame: Frame, except?: Socket): void {
    this.#tooLarge.sent(frame);
    // The result is that of the slowest subscriber, at most 0 when that one cannot keep up. It does not say which one that
    // is, so it only helps the close handler to tell a slow consumer from a peer that has gone.
    // A socket's own publish reaches every subscriber except itself.
    const sent =
      except === undefined
        ? this.#server?.publish(nativeTopic, frame, false)
        : (except as ServerWebSocket<Connection>).publish(nativeTopic, frame, false);
    if (sent !== undefined && sent <= 0 && !this.#congested) {
      this.#congested = true;
      setImmediate(() => setImmediate(() => (this.#congested = false)));
    }
  }

  handshake(relay: Relay, addressLimits: AddressLimits): Handshake {
    const upgrade = (request: Request, connection: Connection): Refusal | undefined => {
      const refusal = checkHandshake(request);
      if (refusal === undefined) {
        // Otherwise Bun would agree to the first subprotocol that the client offers, whatever it is.
        request.headers.delete(SUBPROTOCOL_HEADER);
        if (this.#server?.upgrade(request, { data: connection }) === true) return undefined;
      }
      relay.admission.abandon(connection);
      return refusal ?? new Refusal("bad_request", INVALID_HANDSHAKE);
    };
    return (request, id, protocol, heartbeatMs) => {
      const address = addressLimits.attempt(request);
      if (address instanceof Refusal) return address;
      return then(relay.admission.admit(id, protocol, address), (admitted) => {
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
      const refusal = checkHandshake(request);
      if (refusal !== undefined) return refusal;
      const address = addressLimits.attempt(request);
      if (address instanceof Refusal) return address;
      const offered = request.headers.get(SUBPROTOCOL_HEADER);
      const agreed = agreedSubprotocol(offered);
      const form = asksForBinary(request.url)
        ? "binary"
        : SUBPROTOCOLS[agreed ?? "centrifuge-json"];
      const connection = relay.admission.admitSession(protocols[form], address);
      if (connection instanceof Refusal) {
        addressLimits.noteConnect(address, connection);
        return connection;
      }
      // Bun agrees to the first subprotocol of the request, whatever that is.
      if (agreed === undefined) request.headers.delete(SUBPROTOCOL_HEADER);
      else if (agreed !== offered) request.headers.set(SUBPROTOCOL_HEADER, agreed);
      if (this.#server?.upgrade(request, { data: connection }) === true) return undefined;
      return new Refusal("bad_request", INVALID_HANDSHAKE);
    };
  }

  handlers(relay: Relay): WebSocketHandler<Connection> {
    const notes = { log: this.#log, tally: relay.tally };
    const turns = new FrameTurns({
      bytesMax: this.#limits.backpressureBytes,
      receive: (ws, frame) => this.#guarded(ws, () => relay.receive(ws.data, frame)),
      overflow: (ws) => relay.connections.end(ws.data, "too_many_frames"),
    });
    return {
      maxPayloadLength: this.#limits.frameBytes,
      backpressureLimit: this.#limits.backpressureBytes,
      // Otherwise Bun would drop what does not fit and keep the socket, which leaves a silent gap.
      closeOnBackpressureLimit: true,
      // Each send would re-arm it, so it is off, and relay/connecting/heartbeat.ts finds dead peers.
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (ws) =>
        this.#guarded(ws, () => {
          relay.open(ws.data, ws);
        }),
      message: (ws, frame) =>
        this.#guarded(ws, () => {
          if (relay.countFrame(ws.data)) turns.receive(ws, frame);
        }),
      ping: (ws) => this.#guarded(ws, () => relay.countFrame(ws.data)),
      pong: (ws) =>
        this.#guarded(ws, () => {
          if (relay.countFrame(ws.data)) relay.pong(ws.data);
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
