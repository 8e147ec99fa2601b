// A client of Server-Sent Events over fetch, and streams over bare TCP, which can stall.
import { until, within } from "../wait";
import { EventParser, type ServerEvent } from "./event-parser";
import { RawSocket } from "./raw-socket";

/** How a stream ended: by the relay, or in the middle. */
type StreamEnd = "ended" | "cut";

export interface StreamOptions {
  readonly lastEventId?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A client of one stream, as EventSource is until its connection is lost. */
export class EventStream {
  readonly headers: Headers;
  readonly #parser = new EventParser();
  readonly #abort: AbortController;
  #wakes: (() => void)[] = [];
  readonly closed: Promise<StreamEnd>;

  private constructor(response: Response, abort: AbortController) {
    this.headers = response.headers;
    this.#abort = abort;
    this.closed = this.#read(response.body as ReadableStream<Uint8Array>);
  }

  /** Rejects with status and body when it is not answered by a stream. */
  static async open(url: string, options: StreamOptions = {}): Promise<EventStream> {
    const abort = new AbortController();
    const headers: Record<string, string> = { accept: "text/event-stream", ...options.headers };
    if (options.lastEventId !== undefined) headers["last-event-id"] = options.lastEventId;
    const response = await within(
      "a stream to open",
      fetch(url, { headers, signal: abort.signal, keepalive: false }),
    );
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !type.startsWith("text/event-stream")) {
      throw new Error(`no stream: ${response.status} ${await response.text()}`);
    }
    const stream = new EventStream(response, abort);
    await stream.until("the first retry time", ({ retries }) => retries.length > 0);
    return stream;
  }

  get lastEventId(): string {
    return this.#parser.lastEventId;
  }

  get retries(): readonly number[] {
    return this.#parser.retries;
  }

  get comments(): readonly string[] {
    return this.#parser.comments;
  }

  get faults(): readonly string[] {
    return this.#parser.faults;
  }

  /** Takes the next event. */
  async next(): Promise<ServerEvent> {
    await this.until("an event", ({ events }) => events.length > 0);
    return this.#parser.events.shift() as ServerEvent;
  }

  async take(count: number): Promise<ServerEvent[]> {
    const events: ServerEvent[] = [];
    while (events.length < count) events.push(await this.next());
    return events;
  }

  /** Takes the next events as `topic: data`. */
  async takeTexts(count: number): Promise<string[]> {
    return (await this.take(count)).map(({ event, data }) => `${event}: ${data}`);
  }

  /** Takes all events that have arrived. */
  rest(): ServerEvent[] {
    return this.#parser.events.splice(0);
  }

  /** Resolves when what has arrived satisfies the condition. */
  until(what: string, isMet: (parser: EventParser) => boolean): Promise<void> {
    const arrive = async (): Promise<void> => {
      while (!isMet(this.#parser)) {
        const more = new Promise<undefined>((resolve) => {
          this.#wakes.push(() => resolve(undefined));
        });
        const end = await Promise.race([more, this.closed]);
        if (end !== undefined && !isMet(this.#parser)) {
          throw new Error(`the stream was ${end} before ${what}`);
        }
      }
    };
    return within(what, arrive());
  }

  /** Drops the connection, as EventSource does: for the relay it is lost. */
  async close(): Promise<void> {
    this.#abort.abort();
    await within("the stream to close", this.closed);
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<StreamEnd> {
    const decoder = new TextDecoder();
    try {
      for await (const bytes of body) {
        this.#parser.push(decoder.decode(bytes, { stream: true }));
        for (const wake of this.#wakes.splice(0)) wake();
      }
      return "ended";
    } catch {
      return "cut";
    }
  }
}

/** Opens a stream over bare TCP and resolves when it has begun; `lines` are sent after the usual header lines. */
export async function rawStream(url: string, lines: readonly string[] = []): Promise<RawSocket> {
  const { host, pathname, search } = new URL(url);
  const raw = await RawSocket.reach(url);
  const head = [`GET ${pathname}${search} HTTP/1.1`, `Host: ${host}`, ...lines, "", ""];
  raw.write(head.join("\r\n"));
  await until("a stream to begin", () => /retry: \d+\n/.test(raw.received));
  return raw;
}

interface RawEvents extends EventParser {
  /** Whether the answer came to its end, and was not cut off. */
  readonly whole: boolean;
}

/** Parses the events in a chunked answer as it came over TCP, in Latin-1. */
export function eventsIn(answer: string): RawEvents {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const chunks = chunksIn(answer);
  for (const chunk of chunks) parser.push(decoder.decode(chunk, { stream: true }));
  return Object.assign(parser, { whole: chunks.at(-1)?.length === 0 });
}

/** The chunks of a chunked answer (RFC 9112, 7.1), as far as they are complete. That of a whole answer ends with an empty one. */
export function chunksIn(answer: string): Buffer[] {
  const chunks: Buffer[] = [];
  let at = answer.indexOf("\r\n\r\n") + 4;
  while (chunks.at(-1)?.length !== 0) {
    const line = answer.indexOf("\r\n", at);
    const size = Number.parseInt(answer.slice(at, line), 16);
    if (line < 0 || line + 2 + size + 2 > answer.length) break;
    chunks.push(Buffer.from(answer.slice(line + 2, line + 2 + size), "latin1"));
    at = line + 2 + size + 2;
  }
  return chunks;
}
