// A keep-alive HTTP connection over bare TCP with one request in flight.
// It is never measured, so it does as little as possible: prepared bytes out, status and body back.
import type { Socket } from "bun";

type OnAnswer = (status: number, body: string) => void;

/** The bytes of a POST with a JSON body; the body starts `bodyAt` bytes after the start. `headers` end with CRLF each. */
export function postRequest(
  path: string,
  body: string,
  headers = "",
): { bytes: Buffer; bodyAt: number } {
  const head =
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n` +
    `${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return { bytes: Buffer.from(head + body), bodyAt: head.length };
}

export class HttpConnection {
  #socket: Socket<undefined> | undefined;
  #onAnswer: OnAnswer | undefined;
  #text = "";
  #onFailure: (error: Error) => void;

  private constructor(onFailure: (error: Error) => void) {
    this.#onFailure = onFailure;
  }

  /** Connects to a port of this machine; `onFailure` is called with whatever breaks later. */
  static async open(port: number, onFailure: (error: Error) => void): Promise<HttpConnection> {
    const connection = new HttpConnection(onFailure);
    connection.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => connection.#read(bytes),
        close: () => connection.#closed(),
      },
    });
    return connection;
  }

  /** Sends a request; the previous one must have been answered. */
  send(request: Uint8Array, onAnswer: OnAnswer): void {
    if (this.#onAnswer !== undefined) throw new Error("the last request is not answered yet");
    if (this.#socket === undefined) throw new Error("the HTTP connection is closed");
    this.#onAnswer = onAnswer;
    if (this.#socket.write(request) !== request.length) {
      this.#onFailure(new Error("the server did not accept a whole HTTP request"));
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.end();
  }

  #read(bytes: Buffer): void {
    this.#text += bytes.toString("latin1");
    const headEnd = this.#text.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#text);
    if (length === null || length.index > headEnd) {
      this.#onFailure(new Error(`an answer without Content-Length: ${this.#text.slice(0, 200)}`));
      return;
    }
    const end = headEnd + 4 + Number(length[1]);
    if (this.#text.length < end) return;
    const status = Number(this.#text.slice(9, 12));
    const body = this.#text.slice(headEnd + 4, end);
    this.#text = this.#text.slice(end);
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.(status, body);
  }

  #closed(): void {
    if (this.#socket === undefined) return;
    this.#socket = undefined;
    this.#onFailure(new Error("the server closed an HTTP connection"));
  }
}
