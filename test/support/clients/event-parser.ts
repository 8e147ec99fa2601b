// A parser of Server-Sent Events by the letter of WHATWG HTML (9.2.5 and 9.2.6). It also records every line that a browser
// would silently ignore, so that a test can require that there are none.

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
  /** Every retry time that the relay sent, in ms. */
  readonly retries: number[] = [];
  /** Lines that the standard does not know. */
  readonly faults: string[] = [];
  lastEventId = "";
  #rest = "";
  #afterReturn = false;
  #id = "";
  #event = "";
  #data = "";

  /** Parses a part of the stream, decoded as UTF-8; an incomplete line is kept for the next part. */
  push(part: string): void {
    const text = this.#rest + part;
    const ends = /\r\n?|\n/g;
    let at = 0;
    // A carriage return at the end of a part and a line feed at the start of the next one are one line end.
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

/** Parses a whole text. */
export function parseEvents(text: string): EventParser {
  const parser = new EventParser();
  parser.push(text);
  return parser;
}
