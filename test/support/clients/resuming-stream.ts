// A resuming client of Server-Sent Events. It reads a bare TCP connection, because fetch opens at most 256 at once.
import net from "node:net";
import { type JsonFrame, ResumingClient } from "./resuming-client";

export class ResumingStream extends ResumingClient {
  lastEventId = "";

  protected connect(address: string, onDroppable: (drop: () => void) => void): Promise<boolean> {
    const { hostname, port, pathname } = new URL(address);
    const path = pathname.replace("/ws/", "/sse/");
    const topics = this.options.topics.map(encodeURIComponent).join(",");
    const resume = this.lastEventId === "" ? "" : `Last-Event-ID: ${this.lastEventId}\r\n`;
    const socket = net.connect(Number(port), hostname);
    onDroppable(() => socket.resetAndDestroy());
    socket.on("connect", () => {
      socket.write(
        `GET ${path}?topics=${topics}&format=json HTTP/1.1\r\nHost: ${hostname}:${port}\r\n${resume}\r\n`,
      );
    });
    const response = new EventResponse((block) => this.#onBlock(block));
    socket.on("data", (bytes: Buffer) => {
      response.push(bytes);
      if (response.refused || response.ended) socket.destroy();
    });
    socket.on("error", () => {});
    return new Promise((resolve) => {
      socket.on("close", () => resolve(response.opened));
    });
  }

  /** The id of a block counts even when the block has nothing else. */
  #onBlock({ id, event, data }: Block): void {
    if (id !== undefined) {
      this.lastEventId = id;
      this.ready = true;
    }
    if (data === "") return;
    const frame = JSON.parse(data) as JsonFrame;
    if (frame.error?.code === "engine_unavailable") return;
    if (frame.topics !== undefined) {
      for (const [topic, { recovered, ...position }] of Object.entries(frame.topics)) {
        if (recovered !== false) continue;
        this.lost.push(topic);
        this.options.onPosition?.(topic, position, "lost");
      }
      return;
    }
    if (event !== frame.topic) this.faults.push("an event whose name is not its topic");
    if (id === undefined) this.faults.push("an event without an id");
    this.receive(frame);
  }
}

/** What stands between two empty lines of a stream of events. */
interface Block {
  id?: string;
  event?: string;
  data: string;
}

/** Reads a chunked HTTP response (RFC 9112, 7.1) as events (WHATWG HTML, 9.2.6); a block that is cut off does not count. */
class EventResponse {
  readonly #onBlock: (block: Block) => void;
  readonly #decoder = new TextDecoder();
  #bytes: Buffer = Buffer.alloc(0);
  #text = "";
  /** The status was 200. */
  opened = false;
  /** The status was another one. */
  refused = false;
  /** The last chunk has come; the connection itself may stay open. */
  ended = false;

  constructor(onBlock: (block: Block) => void) {
    this.#onBlock = onBlock;
  }

  push(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    if (!this.opened && !this.#readHead()) return;
    this.#readChunks();
    const blocks = this.#text.split("\n\n");
    this.#text = blocks.pop() ?? "";
    for (const block of blocks) this.#onBlock(blockOf(block));
  }

  #readHead(): boolean {
    const end = this.#bytes.indexOf("\r\n\r\n");
    if (end < 0) return false;
    this.opened = this.#bytes.toString("latin1", 0, 12) === "HTTP/1.1 200";
    this.refused = !this.opened;
    this.#bytes = this.#bytes.subarray(end + 4);
    return this.opened;
  }

  #readChunks(): void {
    let at = 0;
    for (;;) {
      const line = this.#bytes.indexOf("\r\n", at);
      if (line < 0) break;
      const size = Number.parseInt(this.#bytes.toString("latin1", at, line), 16);
      const end = line + 2 + size;
      if (this.#bytes.length < end + 2) break;
      if (size === 0) this.ended = true;
      this.#text += this.#decoder.decode(this.#bytes.subarray(line + 2, end), { stream: true });
      at = end + 2;
    }
    this.#bytes = this.#bytes.subarray(at);
  }
}

function blockOf(text: string): Block {
  const block: Block = { data: "" };
  for (const line of text.split("\n")) {
    if (line.startsWith("id: ")) block.id = line.slice(4);
    else if (line.startsWith("event: ")) block.event = line.slice(7);
    else if (line.startsWith("data: ")) {
      block.data += `${block.data === "" ? "" : "\n"}${line.slice(6)}`;
    }
  }
  return block;
}
