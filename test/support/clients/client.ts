// A WebSocket client for tests. A test takes the frames that arrive with next(), in order and without sleeping.
import { Inbox } from "../inbox";
import { within } from "../wait";

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export class Client {
  readonly #socket: WebSocket;
  readonly #frames = new Inbox<string>("a frame");
  readonly #pongs: (() => void)[] = [];
  /** Resolves when the socket has closed, whichever side did it. */
  readonly closed: Promise<Closed>;

  private constructor(socket: WebSocket, textOf: (bytes: Uint8Array) => string) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      this.#frames.add(typeof data === "string" ? data : textOf(data));
    });
    socket.addEventListener("pong", () => this.#pongs.shift()?.());
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        resolve({ code, reason });
        for (const pong of this.#pongs) pong();
        // Whoever waits for the close too hears of that first.
        setImmediate(() => this.#frames.end(noFrame(code, reason)));
      });
    });
  }

  /** Rejects when the handshake is refused. A binary frame is taken as the text that `textOf` makes of it. */
  static open(
    url: string,
    options: Bun.WebSocketOptions = {},
    textOf = (bytes: Uint8Array) => `binary of ${bytes.length} bytes`,
  ): Promise<Client> {
    const socket = new WebSocket(url, options);
    const client = new Client(socket, textOf);
    return within(
      `the socket to ${url} to open`,
      new Promise<Client>((resolve, reject) => {
        socket.addEventListener("open", () => resolve(client));
        socket.addEventListener("error", () => reject(new Error("the handshake was refused")));
      }),
    );
  }

  /** The subprotocol that the relay has agreed to. */
  get subprotocol(): string {
    return this.#socket.protocol;
  }

  /** Takes the next frame; rejects when the socket closes before there is one. */
  next(): Promise<string> {
    return this.#frames.next();
  }

  /** Takes the next `count` frames. */
  take(count: number): Promise<string[]> {
    return this.#frames.take(count);
  }

  /** Sends text as it is, bytes as a binary frame, and anything else as JSON. */
  send(frame: unknown): void {
    if (typeof frame === "string" || frame instanceof Uint8Array) this.#socket.send(frame);
    else this.#socket.send(JSON.stringify(frame));
  }

  /** Resolves when the relay has handled everything that was sent, because frames and pings keep their order. */
  settled(): Promise<void> {
    return within(
      "a pong",
      new Promise<void>((resolve) => {
        this.#pongs.push(resolve);
        this.#socket.ping();
      }),
    );
  }

  /** Takes all frames that have arrived, once the relay has handled everything that was sent. */
  async rest(): Promise<string[]> {
    await this.settled();
    return this.#frames.takeAll();
  }

  close(code = 1000): Promise<Closed> {
    this.#socket.close(code);
    return within("the close", this.closed);
  }

  /** Drops the connection without a close frame. */
  drop(): void {
    this.#socket.terminate();
  }
}

function noFrame(code: number, reason: string): Error {
  return new Error(`waited for a frame, but the socket has closed: ${code} ${reason}`);
}
