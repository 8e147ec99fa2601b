// The load client: many connections over bare TCP with shared handlers, in one process.
// It checks every message of every connection: intact, once, and in the order of its sender.
import type { Socket, SocketHandler } from "bun";
import { nowUs } from "../measure/clock";
import { Histogram } from "../measure/histogram";
import { targetNamed } from "../targets";
import { type ConnectionRange, PLAIN, userOf, type Wire } from "../targets/target";
import { dueUsOf, isPadded, MESSAGE_BYTES, senderOf, sequenceOf } from "./message";
import { register } from "./registration";
import type { LoadReport, PhaseSetup } from "./requests";
import {
  BINARY,
  CLOSE,
  clientFrame,
  isUpgraded,
  PING,
  PONG,
  readFrames,
  TEXT,
  upgradeHeaders,
} from "./websocket";

/** Handshakes in progress at once in one process: fewer than any server's listen backlog. */
const HANDSHAKES_MAX = 64;
const FAULTS_MAX = 5;

const EVENT_STREAM_HEADERS = "Accept: text/event-stream\r\n\r\n";
const LINE_FEED = 10;
/** Stands for any byte in what a wire has before its messages. */
const ANY_BYTE = 0;

interface Connection {
  readonly index: number;
  state: "upgrading" | "greeting" | "open" | "closed";
  /** Received bytes that do not make a whole frame yet. */
  rest: Uint8Array | undefined;
  /** Ends the wait for this connection to open. */
  readonly settle: (error?: Error) => void;
}

export class LoadClient {
  #wire: Wire = PLAIN;
  #before: Uint8Array = new Uint8Array(0);
  /** What follows the first line of each request, and the opcode of messages. */
  #headers = "";
  #opcode = TEXT;
  #port = 0;
  #nodes = 1;
  /** The newest position in a reply, at which prepared connections start again. */
  #position: string | undefined;
  /** The paths that were prepared last. */
  #paths: string[] = [];
  readonly #sockets: Socket<Connection>[] = [];
  #connections = 0;
  #received = 0;
  #senders = 1;
  /** The next sequence number: one for each connection and sender. */
  #next = new Uint32Array(0);
  /** Bytes of each message. */
  #length = MESSAGE_BYTES;
  #examinedOneIn = 1;
  #latency = new Histogram();
  #faults: string[] = [];
  /** When the bytes that are being read arrived: the clock is read once for all messages in them. */
  #arrivedUs = 0;
  /** The socket whose bytes are being read; a field, so that no closure is made for each piece. */
  #reading: Socket<Connection> | undefined;

  get received(): number {
    return this.#received;
  }

  /** Prepares the addresses of a range of connections; registers each if the target has registrations. */
  async prepare(range: ConnectionRange): Promise<void> {
    const target = targetNamed(range.target);
    const { before, events, subprotocol } = target.wire;
    this.#wire = target.wire;
    this.#before = Buffer.from(before);
    this.#headers = events === true ? EVENT_STREAM_HEADERS : upgradeHeaders(subprotocol);
    this.#opcode = subprotocol === undefined ? TEXT : BINARY;
    this.#port = range.port;
    this.#nodes = target.nodes ?? 1;
    // New connections have missed nothing.
    this.#position = undefined;
    const users: number[] = [];
    for (let n = range.from; n < range.to; n++) users.push(userOf(n));
    if (target.registration === undefined) {
      this.#paths = users.map((user) => target.path(range.identity === "user" ? user : undefined));
    } else {
      this.#paths = await register(target.registration, range.port, users);
    }
  }

  /** Connects to every prepared path; done when the last connection is open. Throws what went wrong. */
  async connect(): Promise<void> {
    const paths = this.#paths;
    let started = 0;
    const connectOneByOne = async () => {
      while (started < paths.length) await this.#connect(paths[started++] ?? "");
    };
    await Promise.all(Array.from({ length: HANDSHAKES_MAX }, connectOneByOne));
  }

  /** Starts a phase: messages are counted from 0, and each sender's sequence starts at 0. */
  startPhase({ senders, bytes, examinedOneIn, connections = this.#connections }: PhaseSetup): void {
    this.#senders = senders;
    this.#length = bytes;
    this.#examinedOneIn = examinedOneIn;
    this.#next = new Uint32Array(connections * senders);
    this.#received = 0;
    this.#latency = new Histogram();
  }

  report(): LoadReport {
    return {
      received: this.#received,
      faults: this.#faults,
      latency: this.#latency.counts,
    };
  }

  /** Closes all connections; `connect` opens them again unless something else is prepared. */
  disconnect(): void {
    for (const socket of this.#sockets) {
      socket.data.state = "closed";
      socket.terminate();
    }
    this.#sockets.length = 0;
    this.#connections = 0;
    this.#faults = [];
  }

  #connect(path: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (error?: Error) => (error === undefined ? resolve() : reject(error));
    const index = this.#connections++;
    const data: Connection = { index, state: "upgrading", rest: undefined, settle };
    const socket = this.#handlers;
    const port = this.#port + (index % this.#nodes);
    Bun.connect<Connection>({ hostname: "127.0.0.1", port, data, socket }).then((opened) => {
      this.#sockets.push(opened);
      opened.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${this.#headers}`);
    }, reject);
    return promise;
  }

  readonly #handlers: SocketHandler<Connection> = {
    data: (socket, bytes) => this.#read(socket, bytes),
    close: (socket) => this.#fail(socket.data, "the server closed connection"),
  };

  #fail(connection: Connection, reason: string): void {
    if (connection.state === "closed") return;
    connection.state = "closed";
    this.#addFault(`${reason} ${connection.index}`);
    connection.settle(new Error(`${reason} ${connection.index} before it was open`));
  }

  #addFault(fault: string): void {
    if (this.#faults.length < FAULTS_MAX) this.#faults.push(fault);
  }

  #read(socket: Socket<Connection>, piece: Uint8Array): void {
    const connection = socket.data;
    if (connection.state === "closed") return;
    let bytes = piece;
    if (connection.rest !== undefined) {
      bytes = Buffer.concat([connection.rest, piece]);
      connection.rest = undefined;
    }
    this.#arrivedUs = nowUs();
    this.#reading = socket;
    try {
      const end = this.#readAll(connection, bytes);
      if (end < bytes.length) connection.rest = bytes.slice(end);
    } catch (error) {
      this.#fail(connection, `${error instanceof Error ? error.message : error}, on connection`);
      socket.terminate();
    }
  }

  /** Reads what is whole and returns where the rest starts. */
  #readAll(connection: Connection, bytes: Uint8Array): number {
    let at = 0;
    if (connection.state === "upgrading") {
      at = this.#readUpgrade(connection, bytes);
      // The frames after the answer to the handshake are in the same piece.
      if (at === 0) return 0;
    }
    if (this.#wire.events === true) return this.#readEvents(connection, bytes, at);
    return readFrames(bytes, at, this.#takeFrame);
  }

  /** Reads the answer to the handshake; returns where the frames start, 0 if the answer is incomplete. */
  #readUpgrade(connection: Connection, bytes: Uint8Array): number {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    const isStream = this.#wire.events === true && text.startsWith("HTTP/1.1 200 ");
    if (!isStream && !isUpgraded(text)) {
      throw new Error(`the handshake was answered with ${text.slice(0, text.indexOf("\r\n"))}`);
    }
    connection.state = "greeting";
    if (this.#wire.openWithUpgrade) this.#opened(connection);
    const greeting = this.#wire.greeting?.(this.#position);
    if (greeting !== undefined) {
      this.#reading?.write(clientFrame(this.#opcode, Buffer.from(greeting)));
    }
    return end + 4;
  }

  /** Reads the whole messages of an event stream; the chunk sizes between the events are skipped. */
  #readEvents(connection: Connection, bytes: Uint8Array, from: number): number {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (connection.state === "greeting") {
      if (this.#wire.read?.(buffer.toString("latin1", from)).opened !== true) return from;
      this.#opened(connection);
    }
    let end = from;
    for (;;) {
      const found = buffer.indexOf(this.#before, end);
      const at = found + this.#before.length;
      if (found < 0) return Math.max(end, bytes.length - this.#before.length);
      if (at + this.#length >= bytes.length) return found;
      if (this.#wire.after[1] === 0 && bytes[at + this.#length] !== LINE_FEED) {
        this.#addFault("an event that is too long");
      }
      this.#takeMessage(connection.index, bytes, at);
      end = at + this.#length;
    }
  }

  #opened(connection: Connection): void {
    connection.state = "open";
    connection.settle();
  }

  readonly #takeFrame = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
    const socket = this.#reading;
    if (socket === undefined) return;
    if (opcode === this.#opcode) {
      const { frames } = this.#wire;
      if (frames === "lines") this.#takeLines(socket, bytes, start, end);
      else if (frames === "lengths") this.#takeDelimited(socket, bytes, start, end);
      else this.#takeText(socket, bytes, start, end);
    } else if (opcode === PING) {
      socket.write(clientFrame(PONG, bytes.subarray(start, end)));
    } else if (opcode === CLOSE) {
      const code = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
      throw new Error(`the server sent close ${code}`);
    } else if (opcode !== PONG) {
      throw new Error(`an unexpected frame with opcode ${opcode}`);
    }
  };

  #takeLines(socket: Socket<Connection>, bytes: Uint8Array, start: number, end: number): void {
    for (let from = start; from < end; ) {
      let to = from;
      while (to < end && bytes[to] !== LINE_FEED) to++;
      if (to > from) this.#takeText(socket, bytes, from, to);
      from = to + 1;
    }
  }

  /** Each text has its length, a byte, before it. */
  #takeDelimited(socket: Socket<Connection>, bytes: Uint8Array, start: number, end: number): void {
    for (let from = start; from < end; ) {
      const to = from + 1 + (bytes[from] ?? 0);
      this.#takeText(socket, bytes, from, to);
      from = to;
    }
  }

  #takeText(socket: Socket<Connection>, bytes: Uint8Array, start: number, end: number): void {
    const { index } = socket.data;
    const at = start + this.#before.length;
    if (this.#hasMessage(bytes, start, end, index)) this.#takeMessage(index, bytes, at);
    else this.#takeOther(socket, Buffer.from(bytes.subarray(start, end)).toString("latin1"));
  }

  /**
   * Of a connection that is not examined only the last byte before the message is looked at, so that a wire with long heads is no
   * more work for the load than one with short heads: its work takes CPU from the server.
   */
  #hasMessage(bytes: Uint8Array, start: number, end: number, index: number): boolean {
    const before = this.#before;
    const [min, max] = this.#wire.after;
    const after = end - start - before.length - this.#length;
    if (after < min || after > max) return false;
    const from = index % this.#examinedOneIn === 0 ? 0 : Math.max(0, before.length - 1);
    for (let i = from; i < before.length; i++) {
      if (bytes[start + i] !== before[i] && before[i] !== ANY_BYTE) return false;
    }
    return true;
  }

  #takeMessage(index: number, bytes: Uint8Array, at: number): void {
    this.#received++;
    const sender = senderOf(bytes, at);
    const sequence = sequenceOf(bytes, at);
    const place = index * this.#senders + sender;
    const expected = this.#next[place];
    if (sequence !== expected || sender >= this.#senders) {
      this.#addFault(
        `connection ${index}, sender ${sender}: got ${sequence}, expected ${expected}`,
      );
    }
    this.#next[place] = sequence + 1;
    if (index % this.#examinedOneIn !== 0) return;
    this.#latency.add(this.#arrivedUs - dueUsOf(bytes, at));
    if (!isPadded(bytes, at, this.#length)) {
      this.#addFault(`connection ${index}, sender ${sender}: message ${sequence} is damaged`);
    }
  }

  #takeOther(socket: Socket<Connection>, text: string): void {
    const meaning = this.#wire.read?.(text);
    if (meaning === undefined) throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
    if (meaning.answer !== undefined)
      socket.write(clientFrame(this.#opcode, Buffer.from(meaning.answer)));
    if (meaning.position !== undefined) this.#position = meaning.position;
    if (meaning.opened === true) this.#opened(socket.data);
  }
}
