// The load client: many WebSocket connections over bare TCP with shared handlers, in one process.
// It checks each message of each connection: whole, once, and in the order of its lane.
import type { Socket, SocketHandler } from "bun";
import { targetNamed } from "../targets";
import { type Crowd, PLAIN, userOf, type Wire } from "../targets/target";
import { nowUs } from "./clock";
import { CLOSE, clientFrame, PING, PONG, readFrames, TEXT } from "./frames";
import { Histogram } from "./histogram";
import { dueUsOf, isPadded, laneOf, MESSAGE_BYTES, sequenceOf } from "./message";
import type { Report } from "./orders";
import { register } from "./registration";

/** Handshakes under way at once in one process: less than any server's listen backlog. */
const AT_ONCE = 64;
const FAULTS_MAX = 5;

// RFC 6455 wants a random key; a fixed one has a fixed answer, which is as good a check.
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const UPGRADE =
  `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\n` +
  "Sec-WebSocket-Version: 13\r\n\r\n";
const EVENTS = "Accept: text/event-stream\r\n\r\n";
const LINE_FEED = 10;

interface Link {
  readonly index: number;
  state: "upgrading" | "greeting" | "open" | "closed";
  /** Bytes that came, but make no whole frame yet. */
  rest: Uint8Array | undefined;
  /** Ends the wait for this connection to open. */
  readonly settle: (error?: Error) => void;
}

export class Swarm {
  #wire: Wire = PLAIN;
  #before: Uint8Array = new Uint8Array(0);
  #port = 0;
  #nodes = 1;
  /** The newest position that a reply told. */
  #position: string | undefined;
  /** Paths that are prepared and not yet connected. */
  #paths: string[] = [];
  #used: string[] = [];
  readonly #sockets: Socket<Link>[] = [];
  #links = 0;
  #open = 0;
  #received = 0;
  #lanes = 1;
  /** The sequence number that comes next: one for each connection and lane. */
  #next = new Uint32Array(0);
  #latency: Histogram | undefined;
  #faults: string[] = [];
  /** When the bytes that are being read came: one look at the clock for all their messages. */
  #arrivedUs = 0;
  /** Whose bytes are being read; a field, so that no closure is made for each piece. */
  #reading: Socket<Link> | undefined;

  get received(): number {
    return this.#received;
  }

  get open(): number {
    return this.#open;
  }

  /** Learns where the crowd's connections shall go; registers each where the target wants it. */
  async prepare(crowd: Crowd): Promise<void> {
    const target = targetNamed(crowd.target);
    this.#wire = target.wire;
    this.#before = Buffer.from(target.wire.before);
    this.#port = crowd.port;
    this.#nodes = target.nodes ?? 1;
    const users: number[] = [];
    for (let n = crowd.from; n < crowd.to; n++) users.push(userOf(n));
    if (target.registration === undefined) {
      this.#paths = users.map((user) => target.path(crowd.users ? user : undefined));
    } else {
      this.#paths = await register(target.registration, crowd.port, users);
    }
  }

  /** Opens every prepared connection; done when the last one is open. Throws what went wrong. */
  async connect(): Promise<void> {
    const paths = this.#paths;
    this.#used = paths;
    this.#paths = [];
    let started = 0;
    const work = async () => {
      while (started < paths.length) await this.#connect(paths[started++] ?? "");
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** Starts a phase: messages are counted from 0, and each lane's sequence starts at 0. */
  watch(lanes: number, latency: boolean, links = this.#links): void {
    this.#lanes = lanes;
    this.#next = new Uint32Array(links * lanes);
    this.#received = 0;
    this.#latency = latency ? new Histogram() : undefined;
  }

  report(): Report {
    return {
      received: this.#received,
      open: this.#open,
      faults: this.#faults,
      latency: this.#latency?.counts,
    };
  }

  /** Drops all connections and forgets them. */
  close(): void {
    for (const socket of this.#sockets) {
      socket.data.state = "closed";
      socket.terminate();
    }
    this.#sockets.length = 0;
    this.#links = 0;
    this.#open = 0;
    this.#faults = [];
  }

  /** Drops all connections, to come back to the same addresses. */
  drop(): void {
    this.close();
    this.#paths = this.#used;
  }

  #connect(path: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (error?: Error) => (error === undefined ? resolve() : reject(error));
    const data: Link = { index: this.#links++, state: "upgrading", rest: undefined, settle };
    const socket = this.#handlers;
    const port = this.#port + (data.index % this.#nodes);
    Bun.connect<Link>({ hostname: "127.0.0.1", port, data, socket }).then((opened) => {
      this.#sockets.push(opened);
      const head = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
      opened.write(head + (this.#wire.events === true ? EVENTS : UPGRADE));
    }, reject);
    return promise;
  }

  readonly #handlers: SocketHandler<Link> = {
    data: (socket, bytes) => this.#read(socket, bytes),
    close: (socket) => this.#closed(socket.data, "the server closed connection"),
  };

  #closed(link: Link, why: string): void {
    if (link.state === "closed") return;
    if (link.state === "open") this.#open--;
    link.state = "closed";
    this.#fault(`${why} ${link.index}`);
    link.settle(new Error(`${why} ${link.index} before it was open`));
  }

  #fault(what: string): void {
    if (this.#faults.length < FAULTS_MAX) this.#faults.push(what);
  }

  #read(socket: Socket<Link>, piece: Uint8Array): void {
    const link = socket.data;
    if (link.state === "closed") return;
    let bytes = piece;
    if (link.rest !== undefined) {
      bytes = Buffer.concat([link.rest, piece]);
      link.rest = undefined;
    }
    this.#arrivedUs = nowUs();
    this.#reading = socket;
    try {
      // The upgrade changes the state, so what follows it in the same piece is read as well.
      const at = link.state === "upgrading" ? this.#upgrade(link, bytes) : 0;
      const end =
        link.state === "upgrading"
          ? at
          : this.#wire.events === true
            ? this.#readEvents(link, bytes, at)
            : readFrames(bytes, at, this.#takeFrame);
      if (end < bytes.length) link.rest = bytes.slice(end);
    } catch (error) {
      this.#closed(link, `${error instanceof Error ? error.message : error}, on connection`);
      socket.terminate();
    }
  }

  /** Reads the answer to the handshake; gives where the frames start. */
  #upgrade(link: Link, bytes: Uint8Array): number {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    const events = this.#wire.events === true && text.startsWith("HTTP/1.1 200 ");
    if (!events && (!text.startsWith("HTTP/1.1 101 ") || !text.includes(ACCEPT))) {
      throw new Error(`the handshake was answered with ${text.slice(0, text.indexOf("\r\n"))}`);
    }
    link.state = "greeting";
    if (this.#wire.openWithUpgrade) this.#isOpen(link);
    const greeting = this.#wire.greeting?.(this.#position);
    if (greeting !== undefined) {
      this.#reading?.write(clientFrame(TEXT, Buffer.from(greeting)));
    }
    return end + 4;
  }

  /** Whole messages of an event stream; the marks of chunks stand between events and are passed over. */
  #readEvents(link: Link, bytes: Uint8Array, from: number): number {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let end = from;
    for (;;) {
      const found = buffer.indexOf(this.#before, end);
      const at = found + this.#before.length;
      if (found < 0) return Math.max(end, bytes.length - this.#before.length);
      if (at + MESSAGE_BYTES >= bytes.length) return found;
      if (bytes[at + MESSAGE_BYTES] !== LINE_FEED) this.#fault("an event that is too long");
      this.#takeMessage(link.index, bytes, at);
      end = at + MESSAGE_BYTES;
    }
  }

  #isOpen(link: Link): void {
    link.state = "open";
    this.#open++;
    link.settle();
  }

  readonly #takeFrame = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
    const socket = this.#reading;
    if (socket === undefined) return;
    if (opcode === TEXT) {
      const at = start + this.#before.length;
      if (this.#carriesMessage(bytes, start, end)) this.#takeMessage(socket.data.index, bytes, at);
      else this.#takeOther(socket, Buffer.from(bytes.subarray(start, end)).toString());
    } else if (opcode === PING) {
      socket.write(clientFrame(PONG, bytes.subarray(start, end)));
    } else if (opcode === CLOSE) {
      const code = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
      throw new Error(`the server sent close ${code}`);
    } else if (opcode !== PONG) {
      throw new Error(`an unexpected frame with opcode ${opcode}`);
    }
  };

  #carriesMessage(bytes: Uint8Array, start: number, end: number): boolean {
    const before = this.#before;
    const [least, most] = this.#wire.after;
    const after = end - start - before.length - MESSAGE_BYTES;
    if (after < least || after > most) return false;
    for (let i = 0; i < before.length; i++) if (bytes[start + i] !== before[i]) return false;
    return true;
  }

  #takeMessage(index: number, bytes: Uint8Array, at: number): void {
    this.#received++;
    const lane = laneOf(bytes, at);
    const sequence = sequenceOf(bytes, at);
    const place = index * this.#lanes + lane;
    const expected = this.#next[place];
    if (sequence !== expected || lane >= this.#lanes) {
      this.#fault(`connection ${index}, lane ${lane}: got ${sequence}, expected ${expected}`);
    } else if (!isPadded(bytes, at)) {
      this.#fault(`connection ${index}, lane ${lane}: message ${sequence} is damaged`);
    }
    this.#next[place] = sequence + 1;
    this.#latency?.add(this.#arrivedUs - dueUsOf(bytes, at));
  }

  #takeOther(socket: Socket<Link>, text: string): void {
    const meaning = this.#wire.read?.(text);
    if (meaning === undefined) throw new Error(`an unexpected text: ${text.slice(0, 100)}`);
    if (meaning.answer !== undefined) socket.write(clientFrame(TEXT, Buffer.from(meaning.answer)));
    if (meaning.position !== undefined) this.#position = meaning.position;
    if (meaning.opened === true) this.#isOpen(socket.data);
  }
}
