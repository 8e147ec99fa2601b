// A lane: one keep-alive HTTP connection over bare TCP with one request in flight.
// Never measured, so it is as light as it can be: prepared bytes out, status and body back.
import type { Socket } from "bun";

type Answered = (status: number, body: string) => void;

/** The bytes of a POST with a JSON body; the body starts `bodyAt` bytes after the start. */
export function postRequest(path: string, body: string): { bytes: Buffer; bodyAt: number } {
  const head =
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return { bytes: Buffer.from(head + body), bodyAt: head.length };
}

export class Lane {
  #socket: Socket<undefined> | undefined;
  #answered: Answered | undefined;
  #text = "";
  #failed: (error: Error) => void;

  private constructor(failed: (error: Error) => void) {
    this.#failed = failed;
  }

  /** Connects to a port of this machine; `failed` hears of everything that breaks later. */
  static async connect(port: number, failed: (error: Error) => void): Promise<Lane> {
    const lane = new Lane(failed);
    lane.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => lane.#read(bytes),
        close: () => lane.#ended(),
      },
    });
    return lane;
  }

  /** Sends a request; the one before must have been answered. */
  send(request: Uint8Array, answered: Answered): void {
    if (this.#answered !== undefined) throw new Error("a lane takes one request at a time");
    if (this.#socket === undefined) throw new Error("the lane is closed");
    this.#answered = answered;
    if (this.#socket.write(request) !== request.length) {
      this.#failed(new Error("the server did not take a whole HTTP request"));
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
      this.#failed(new Error(`an answer without Content-Length: ${this.#text.slice(0, 200)}`));
      return;
    }
    const end = headEnd + 4 + Number(length[1]);
    if (this.#text.length < end) return;
    const status = Number(this.#text.slice(9, 12));
    const body = this.#text.slice(headEnd + 4, end);
    this.#text = this.#text.slice(end);
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(status, body);
  }

  #ended(): void {
    if (this.#socket === undefined) return;
    this.#socket = undefined;
    this.#failed(new Error("the server closed an HTTP connection"));
  }
}
