// A POST of application/x-ndjson that stays open over bare TCP: lines out, and a line back for each. One set of lines is in
// flight. Like the other connections of the publisher it is never measured.
import type { Socket } from "bun";

type OnAnswer = (status: number, body: string) => void;

const LAST_CHUNK = "0\r\n\r\n";

/** The bytes of one chunk of the body; the lines start `bodyAt` bytes after the start. */
export function chunkOf(lines: string): { bytes: Buffer; bodyAt: number } {
  const head = `${Buffer.byteLength(lines).toString(16)}\r\n`;
  return { bytes: Buffer.from(`${head}${lines}\r\n`), bodyAt: head.length };
}

export class LineRequest {
  #socket: Socket<undefined> | undefined;
  readonly #lines: number;
  readonly #onFailure: (error: Error) => void;
  #onAnswer: OnAnswer | undefined;
  #isAccepted = false;
  /** What has arrived and is not a whole chunk yet. */
  #rest = "";
  #answers = "";
  #answered = 0;

  private constructor(lines: number, onFailure: (error: Error) => void) {
    this.#lines = lines;
    this.#onFailure = onFailure;
  }

  /** Begins a request whose chunks have this many lines; `onFailure` is called with whatever breaks later. */
  static async open(
    port: number,
    setup: { readonly path: string; readonly lines: number },
    onFailure: (error: Error) => void,
  ): Promise<LineRequest> {
    const request = new LineRequest(setup.lines, onFailure);
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { data: (_socket, bytes) => request.#read(bytes), close: () => request.#closed() },
    });
    request.#socket = socket;
    socket.write(
      `POST ${setup.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n` +
        "Transfer-Encoding: chunked\r\n\r\n",
    );
    return request;
  }

  /** Sends a chunk of lines; those of the chunk before must have been answered. */
  send(chunk: Uint8Array, onAnswer: OnAnswer): void {
    if (this.#onAnswer !== undefined) throw new Error("the last lines are not answered yet");
    if (this.#socket === undefined) throw new Error("the request is over");
    this.#onAnswer = onAnswer;
    if (this.#socket.write(chunk) !== chunk.length) {
      this.#onFailure(new Error("the server did not accept a whole chunk of lines"));
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.write(LAST_CHUNK);
    socket?.end();
  }

  #read(bytes: Buffer): void {
    this.#rest += bytes.toString("latin1");
    if (!this.#isAccepted && !this.#readHead()) return;
    for (;;) {
      const sizeEnd = this.#rest.indexOf("\r\n");
      const begin = sizeEnd + 2;
      const end = begin + Number.parseInt(this.#rest, 16);
      if (sizeEnd < 0 || this.#rest.length < end + 2) break;
      this.#take(this.#rest.slice(begin, end));
      this.#rest = this.#rest.slice(end + 2);
    }
  }

  /** Whether the head of the answer has arrived; fails unless it accepts the request. */
  #readHead(): boolean {
    const end = this.#rest.indexOf("\r\n\r\n");
    if (end < 0) return false;
    if (!/^HTTP\/1\.1 200 [\s\S]*\r\ntransfer-encoding: *chunked/i.test(this.#rest)) {
      this.#onFailure(new Error(`lines were answered with ${this.#rest.slice(0, 300)}`));
      return false;
    }
    this.#isAccepted = true;
    this.#rest = this.#rest.slice(end + 4);
    return true;
  }

  #take(text: string): void {
    this.#answers += text;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#answered++;
    const onAnswer = this.#onAnswer;
    if (this.#answered < this.#lines || onAnswer === undefined) return;
    const answers = this.#answers;
    this.#answers = "";
    this.#answered = 0;
    this.#onAnswer = undefined;
    onAnswer(200, answers);
  }

  #closed(): void {
    if (this.#socket === undefined) return;
    this.#socket = undefined;
    this.#onFailure(new Error("the server ended a request whose lines it had not all answered"));
  }
}
