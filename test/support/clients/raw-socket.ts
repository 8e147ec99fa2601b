// A TCP peer that does what no proper client does: it sends half a handshake or broken frames, or stops reading.
import net from "node:net";
import tls from "node:tls";
import { within } from "../wait";

export class RawSocket {
  readonly #socket: net.Socket;
  #received = Buffer.alloc(0);
  readonly closed: Promise<void>;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
    });
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.on("close", () => resolve()));
  }

  static open(port: number): Promise<RawSocket> {
    const socket = net.connect(port, "127.0.0.1");
    const raw = new RawSocket(socket);
    return within("a TCP connection", new Promise((r) => socket.on("connect", () => r(raw))));
  }

  /** Connects to the port of this address, with TLS if it says so. */
  static reach(url: string): Promise<RawSocket> {
    const { protocol, hostname, port } = new URL(url);
    if (!/^(?:https|wss):$/.test(protocol)) return RawSocket.open(Number(port));
    const socket = tls.connect({ port: Number(port), host: hostname });
    const raw = new RawSocket(socket);
    const connected = new Promise<RawSocket>((resolve, reject) => {
      socket.on("secureConnect", () => resolve(raw));
      socket.on("error", reject);
    });
    return within("a TLS connection", connected);
  }

  /** Connects and upgrades to the socket of this address; `lines` are sent after the usual header lines. */
  static async upgrade(url: string, lines: readonly string[] = []): Promise<RawSocket> {
    const { pathname, search } = new URL(url);
    const raw = await RawSocket.reach(url);
    raw.write(handshake(pathname + search, lines));
    const head = await raw.until("\r\n\r\n");
    if (!head.startsWith("HTTP/1.1 101")) throw new Error(`no upgrade: ${head}`);
    return raw;
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Sends a masked frame that ends its message. */
  frame(opcode: number, payload: string | Uint8Array): void {
    this.write(clientFrame(FIN | opcode, Buffer.from(payload as string)));
  }

  /** Sends a masked frame that more fragments of its message follow. */
  fragment(opcode: number, payload: string | Uint8Array): void {
    this.write(clientFrame(opcode, Buffer.from(payload as string)));
  }

  /** What the relay has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  /** Stops reading, so that what the relay sends piles up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Ends the TCP connection without a WebSocket close. */
  drop(): void {
    this.#socket.destroy();
  }

  /** Ends it with a TCP reset. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** Takes what has arrived up to `mark`, and the mark; waits for it. */
  async until(mark: string): Promise<string> {
    const bytes = Buffer.from(mark, "latin1");
    for (;;) {
      const at = this.#received.indexOf(bytes);
      if (at >= 0) {
        const taken = this.#received.subarray(0, at + bytes.length);
        this.#received = this.#received.subarray(at + bytes.length);
        return taken.toString("latin1");
      }
      await this.#more(
        `${JSON.stringify(mark)} after ${JSON.stringify(this.received.slice(-200))}`,
      );
    }
  }

  /** Takes the next frame of the server: its opcode and payload. */
  async nextFrame(): Promise<{ opcode: number; payload: Buffer }> {
    for (;;) {
      const frame = serverFrame(this.#received);
      if (frame !== undefined) {
        this.#received = this.#received.subarray(frame.size);
        return frame;
      }
      await this.#more("a frame");
    }
  }

  /** Everything that has arrived and was not taken, as Latin-1. */
  get received(): string {
    return this.#received.toString("latin1");
  }

  /** Resolves with everything that arrives until the other end closes. */
  async untilClosed(): Promise<string> {
    await within("the other end to close", this.closed);
    return this.received;
  }

  #more(what: string): Promise<void> {
    return within(
      what,
      new Promise((resolve, reject) => {
        this.#socket.once("data", () => resolve());
        this.closed.then(() => reject(new Error(`closed while waiting for ${what}`)));
      }),
    );
  }
}

/** The request that opens a WebSocket; `lines` are sent after the usual header lines. */
export function handshake(path: string, lines: readonly string[] = []): string {
  return [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1:8000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    ...lines,
    "",
    "",
  ].join("\r\n");
}

const FIN = 0x80;

// RFC 6455, section 5.2; the mask is all zeros, so the payload stands as it is.
function clientFrame(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  let head: Buffer;
  if (length < 126) head = Buffer.from([first, 0x80 | length]);
  else if (length < 65_536) {
    head = Buffer.from([first, 0x80 | 126, length >> 8, length & 255]);
  } else {
    head = Buffer.alloc(10);
    head.set([first, 0x80 | 127]);
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

function serverFrame(bytes: Buffer) {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 127;
  const headSize = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < headSize) return undefined;
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const size = headSize + length;
  if (bytes.length < size) return undefined;
  return { opcode: bytes.readUInt8(0) & 15, payload: bytes.subarray(headSize, size), size };
}
