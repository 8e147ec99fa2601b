// The load client of the scale run: thousands of connections with envelopes over bare TCP. They reconnect by themselves,
// resume from their positions, and check that each publication arrives once and in order.
import type { Socket, SocketHandler } from "bun";
import { register } from "../load/registration";
import {
  CLOSE,
  clientFrame,
  isUpgraded,
  PING,
  PONG,
  readFrames,
  TEXT,
  upgradeHeaders,
} from "../load/websocket";
import { baton } from "../targets/baton";
import { type Registration, TOPIC } from "../targets/target";
import type { ClientRange, ClientState } from "./messages";

const UPGRADE_HEADERS = upgradeHeaders();

const FAULTS_MAX = 5;
/** Registrations between two reports. */
const REGISTRATIONS_CHUNK = 500;
/** A connection that was cut off reconnects after a random part of this. */
const RECONNECT_MS = 1_000;
/** A handshake that takes longer is started again. */
export const HANDSHAKE_TIMEOUT_MS = 120_000;

interface Connection {
  readonly path: string;
  state: "upgrading" | "greeting" | "open" | "closed";
  /** Received bytes that do not make a whole frame yet. */
  rest: Uint8Array | undefined;
  /** The current socket; an older one may still be closing. */
  socket: Socket<Connection> | undefined;
  /** When it last began to connect, in ms. */
  since: number;
  /** The last publication it has; -1 before the first reply says where the topic is. */
  offset: number;
  /** When it was last lost, in ms; 0 if it never was. */
  lostAt: number;
  hasResumed: boolean;
  /** Lets the next connection have its handshake. */
  settle: () => void;
}

interface TopicReply {
  readonly offset: number;
  readonly epoch: string;
  readonly recovered?: boolean;
}

function ignore(): void {}

export class ReconnectingClient {
  #range: ClientRange = { hosts: ["127.0.0.1"], port: 0, firstUser: 0, count: 0, handshakesMax: 1 };
  readonly #connections: Connection[] = [];
  #epoch = "";
  #open = 0;
  #received = 0;
  #resumed = 0;
  #retried = 0;
  #awayMaxMs = 0;
  #faults: string[] = [];
  /** Connections that wait for their handshake, in order. */
  readonly #waiting: Connection[] = [];
  #handshakes = 0;
  #nextHost = 0;
  /** The socket whose bytes are being read; a field, so that no closure is made for each piece. */
  #reading: Socket<Connection> | undefined;

  async register(range: ClientRange): Promise<void> {
    this.#range = range;
    const registration = baton.registration as Registration;
    for (let from = 0; from < range.count; from += REGISTRATIONS_CHUNK) {
      const length = Math.min(REGISTRATIONS_CHUNK, range.count - from);
      const users = Array.from({ length }, (_, i) => range.firstUser + from + i);
      for (const path of await register(registration, range.port, users)) {
        this.#connections.push({
          ...{ path: `${path}?format=json`, state: "closed", rest: undefined, socket: undefined },
          ...{ since: 0, offset: -1, lostAt: 0, hasResumed: false, settle: ignore },
        });
      }
    }
  }

  connect(): void {
    this.#waiting.push(...this.#connections);
    this.#startHandshakes();
  }

  /** The counts so far, and the faults since the last call. */
  takeState(): ClientState {
    const faults = this.#faults;
    this.#faults = [];
    return {
      registered: this.#connections.length,
      open: this.#open,
      received: this.#received,
      resumed: this.#resumed,
      retried: this.#retried,
      awayMaxMs: this.#awayMaxMs,
      faults,
    };
  }

  addFault(fault: string): void {
    if (this.#faults.length < FAULTS_MAX) this.#faults.push(fault);
  }

  /** Starts again the handshakes that take too long. */
  retryLate(): void {
    const before = performance.now() - HANDSHAKE_TIMEOUT_MS;
    for (const connection of this.#connections) {
      const { state, since, socket } = connection;
      if ((state !== "upgrading" && state !== "greeting") || since > before) continue;
      socket?.terminate();
      this.#lost(connection);
    }
  }

  #startHandshakes(): void {
    while (this.#handshakes < this.#range.handshakesMax) {
      const connection = this.#waiting.shift();
      if (connection === undefined) return;
      this.#handshakes++;
      connection.state = "upgrading";
      connection.rest = undefined;
      connection.since = performance.now();
      connection.settle = () => {
        connection.settle = ignore;
        this.#handshakes--;
        this.#startHandshakes();
      };
      this.#connect(connection);
    }
  }

  #connect(connection: Connection): void {
    const { hosts, port } = this.#range;
    const hostname = hosts[this.#nextHost++ % hosts.length] as string;
    const { since } = connection;
    Bun.connect<Connection>({
      hostname,
      port,
      data: connection,
      socket: this.#handlers,
    }).then(
      (socket) => {
        const isCurrent = connection.since === since && connection.state === "upgrading";
        if (!isCurrent) return socket.terminate();
        connection.socket = socket;
        socket.write(`GET ${connection.path} HTTP/1.1\r\nHost: ${hostname}\r\n${UPGRADE_HEADERS}`);
      },
      () => {
        if (connection.since === since) this.#lost(connection);
      },
    );
  }

  /** The connection reconnects a moment later. */
  #lost(connection: Connection): void {
    if (connection.state === "closed") return;
    const wasOpen = connection.state === "open";
    if (wasOpen) {
      this.#open--;
      connection.lostAt = performance.now();
    } else this.#retried++;
    connection.state = "closed";
    connection.socket = undefined;
    connection.settle();
    setTimeout(() => {
      // A connection whose handshake failed goes before those that were lost after it.
      if (wasOpen) this.#waiting.push(connection);
      else this.#waiting.unshift(connection);
      this.#startHandshakes();
    }, Math.random() * RECONNECT_MS);
  }

  readonly #handlers: SocketHandler<Connection> = {
    data: (socket, piece) => this.#read(socket, piece),
    close: (socket) => this.#closed(socket),
    error: (socket) => this.#closed(socket),
  };

  #read(socket: Socket<Connection>, piece: Uint8Array): void {
    const connection = socket.data;
    if (connection.socket !== socket) return;
    const { rest } = connection;
    const bytes = rest === undefined ? piece : Buffer.concat([rest, piece]);
    connection.rest = undefined;
    this.#reading = socket;
    try {
      const at = connection.state === "upgrading" ? this.#readUpgrade(connection, bytes) : 0;
      const end = connection.state === "upgrading" ? at : readFrames(bytes, at, this.#takeFrame);
      if (end < bytes.length) connection.rest = bytes.slice(end);
    } catch (error) {
      socket.terminate();
      if (error instanceof Error) this.addFault(error.message);
      this.#lost(connection);
    }
  }

  #closed(socket: Socket<Connection>): void {
    if (socket.data.socket === socket) this.#lost(socket.data);
  }

  /** Reads the answer to the handshake; returns where the frames start, 0 if the answer is incomplete. */
  #readUpgrade(connection: Connection, bytes: Uint8Array): number {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    if (!isUpgraded(text)) {
      // 503: the worker is full or shutting down; the next attempt may reach another one.
      if (!text.startsWith("HTTP/1.1 503 ")) this.addFault(text.slice(0, text.indexOf("\r\n")));
      this.#reading?.terminate();
      this.#lost(connection);
      return bytes.length;
    }
    connection.state = "greeting";
    const { offset } = connection;
    const since =
      offset < 0 ? "" : `,"since":{"${TOPIC}":{"offset":${offset},"epoch":"${this.#epoch}"}}`;
    this.#reading?.write(clientFrame(TEXT, Buffer.from(`{"topics":["${TOPIC}"]${since}}`)));
    return end + 4;
  }

  readonly #takeFrame = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
    const socket = this.#reading as Socket<Connection>;
    if (opcode === PING) socket.write(clientFrame(PONG, bytes.subarray(start, end)));
    else if (opcode === CLOSE) {
      socket.end();
      this.#lost(socket.data);
    } else if (opcode === TEXT) {
      this.#takeText(socket, Buffer.from(bytes.subarray(start, end)).toString());
    }
  };

  #takeText(socket: Socket<Connection>, text: string): void {
    const connection = socket.data;
    const frame = JSON.parse(text);
    if (frame.error?.code === "engine_unavailable") {
      socket.terminate();
      this.#lost(connection);
    } else if (frame.topics !== undefined) {
      this.#opened(connection, frame.topics[TOPIC]);
    } else if (frame.offset === connection.offset + 1) {
      connection.offset++;
      this.#received++;
    } else {
      this.addFault(`got ${frame.offset ?? text} after ${connection.offset}`);
    }
  }

  #opened(connection: Connection, reply: TopicReply): void {
    if (connection.offset < 0) connection.offset = reply.offset;
    else {
      if (!connection.hasResumed) this.#resumed++;
      connection.hasResumed = true;
      const awayMs = performance.now() - connection.lostAt;
      this.#awayMaxMs = Math.max(this.#awayMaxMs, awayMs);
      if (reply.recovered !== true) {
        this.addFault(`not recovered after ${Math.round(awayMs / 1000)} s`);
      }
    }
    this.#epoch = reply.epoch;
    connection.state = "open";
    this.#open++;
    connection.settle();
  }
}
