// A POST /publish of lines that stays open, byte by byte on a connection of its own.
import { RawSocket } from "../clients/raw-socket";

// biome-ignore lint/suspicious/noExplicitAny: answers of any shape
type Json = any;

export class OpenPublish {
  readonly raw: RawSocket;

  private constructor(raw: RawSocket) {
    this.raw = raw;
  }

  static async open(port: number, lines: readonly string[] = []): Promise<OpenPublish> {
    const raw = await RawSocket.open(port);
    const head = ["POST /publish HTTP/1.1", "Host: 127.0.0.1:8000", "Transfer-Encoding: chunked"];
    raw.write([...head, "Content-Type: application/x-ndjson", ...lines, "", ""].join("\r\n"));
    return new OpenPublish(raw);
  }

  send(text: string | Uint8Array): void {
    const bytes = Buffer.from(text as string);
    this.raw.write(
      Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]),
    );
  }

  /** Sends a message to the topic, in a line. */
  publish(topic: string, message: string): void {
    this.send(`${JSON.stringify({ topic, message })}\n`);
  }

  /** Takes the next answer; chunk sizes and the head are skipped. */
  async next(): Promise<Json> {
    for (;;) {
      const line = await this.raw.until("\n");
      if (line.startsWith("{")) return JSON.parse(line);
    }
  }

  /** Takes the answer to the whole request, which refuses it with this status. */
  async refusal(status: string): Promise<Json> {
    await this.raw.until(`HTTP/1.1 ${status}`);
    await this.raw.until("\r\n\r\n");
    return JSON.parse(await this.raw.until("}}")).error.code;
  }

  /** Ends the body. */
  end(): void {
    this.raw.write("0\r\n\r\n");
  }

  /** Resolves when the relay has ended its answers as it should. */
  async ended(): Promise<void> {
    await this.raw.until("0\r\n\r\n");
  }
}
