// Server-Sent Events for tests: a parser by the letter of WHATWG HTML (9.2.5 and 9.2.6) that also notes what a browser
// would pass over in silence, a client over fetch, and streams over bare TCP, which can stall.
import { RawSocket } from "./raw";
import { until, within } from "./wait";

export interface ServerEvent {
  /** The last event id when it was dispatched. */
  readonly id: string;
  /** Empty when it has no name. */
  readonly event: string;
  readonly data: string;
}

export class EventParser {
  readonly events: ServerEvent[] = [];
  readonly comments: string[] = [];
  /** Every time that the relay gave, in ms. */
  readonly retries: number[] = [];
  /** Lines that mean nothing to the standard. */
  readonly faults: string[] = [];
  lastEventId = "";
  #rest = "";
  #afterReturn = false;
  #id = "";
  #event = "";
  #data = "";

  /** A part of the stream, decoded as UTF-8; what is not a whole block yet is kept. */
  push(part: string): void {
    const text = this.#rest + part;
    const ends = /\r\n?|\n/g;
    let at = 0;
    // The return at the end of a part was one line end with a line feed that begins the next.
    if (this.#afterReturn && text.startsWith("\n")) at = 1;
    if (text !== "") this.#afterReturn = false;
    ends.lastIndex = at;
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      this.#line(text.slice(at, end.index));
      at = ends.lastIndex;
      this.#afterReturn = end[0] === "\r" && at === text.length;
    }
    this.#rest = text.slice(at);
  }

  #line(line: string): void {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      this.comments.push(line.slice(1));
      return;
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data += `${value}\n`;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.retries.push(Number(value));
    else this.faults.push(line);
  }

  #dispatch(): void {
    this.lastEventId = this.#id;
    const data = this.#data.slice(0, -1);
    const isEvent = this.#data !== "";
    const event = this.#event;
    this.#data = "";
    this.#event = "";
    if (isEvent) this.events.push({ id: this.lastEventId, event, data });
    else if (event !== "") this.faults.push(`event: ${event}, without data`);
  }
}

/** All events of a whole text. */
export function parseEvents(text: string): EventParser {
  const parser = new EventParser();
  parser.push(text);
  return parser;
}

/** How a stream ended: by the relay, or in the middle. */
export type StreamEnd = "ended" | "cut";

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
    await stream.until("its first time to come back", ({ retries }) => retries.length > 0);
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

  /** The next event that has not been asked for yet. */
  async next(): Promise<ServerEvent> {
    await this.until("an event", ({ events }) => events.length > 0);
    return this.#parser.events.shift() as ServerEvent;
  }

  async take(count: number): Promise<ServerEvent[]> {
    const events: ServerEvent[] = [];
    while (events.length < count) events.push(await this.next());
    return events;
  }

  /** All that has arrived and was not asked for. */
  rest(): ServerEvent[] {
    return this.#parser.events.splice(0);
  }

  /** Resolves when what has arrived satisfies the condition. */
  until(what: string, holds: (parser: EventParser) => boolean): Promise<void> {
    const arrive = async (): Promise<void> => {
      while (!holds(this.#parser)) {
        const more = new Promise<undefined>((resolve) => {
          this.#wakes.push(() => resolve(undefined));
        });
        const end = await Promise.race([more, this.closed]);
        if (end !== undefined && !holds(this.#parser)) {
          throw new Error(`the stream was ${end} before ${what}`);
        }
      }
    };
    return within(what, arrive());
  }

  /** Leaves without a word, as EventSource does: for the relay the connection is lost. */
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

/** A stream over bare TCP, which has begun when this resolves; more header lines may follow the usual. */
export async function rawStream(url: string, lines: readonly string[] = []): Promise<RawSocket> {
  const { host, port, pathname, search } = new URL(url);
  const raw = await RawSocket.open(Number(port));
  const head = [`GET ${pathname}${search} HTTP/1.1`, `Host: ${host}`, ...lines, "", ""];
  raw.write(head.join("\r\n"));
  await until("a stream to begin", () => /retry: \d+\n\n/.test(raw.received));
  return raw;
}

export interface RawEvents extends EventParser {
  /** The answer came to its end; otherwise it was cut off. */
  readonly whole: boolean;
}

/** The events in an answer as it came over TCP, in Latin-1, its chunks joined (RFC 9112, 7.1). */
export function eventsIn(answer: string): RawEvents {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  let at = answer.indexOf("\r\n\r\n") + 4;
  let whole = false;
  for (;;) {
    const line = answer.indexOf("\r\n", at);
    const size = Number.parseInt(answer.slice(at, line), 16);
    if (line < 0 || line + 2 + size + 2 > answer.length) break;
    const chunk = Buffer.from(answer.slice(line + 2, line + 2 + size), "latin1");
    parser.push(decoder.decode(chunk, { stream: true }));
    at = line + 2 + size + 2;
    if (size === 0) {
      whole = true;
      break;
    }
  }
  return Object.assign(parser, { whole });
}
