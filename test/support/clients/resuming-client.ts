// Clients that come back by themselves until they are told to stop, as the README's example and EventSource do, and
// record all that they got.
import net from "node:net";

export interface Place {
  readonly offset: number;
  readonly epoch: string;
}

export interface ResumingOptions {
  readonly topics: readonly string[];
  /** Gives the address of a new registration, ws://…/ws/<id>. */
  readonly register: () => Promise<string>;
  /** The address to connect to in place of this one, such as a proxy's. */
  readonly through?: (url: string) => string;
  /** In place of recording. */
  readonly take?: (topic: string, data: string, place: Place) => void;
  /** It has entered a topic at a place: for the first time, or since what it missed is not kept (`isLost`). */
  readonly entered?: (topic: string, place: Place, isLost: boolean) => void;
}

/** Between two attempts, when one has failed. */
const PAUSE_MS = 25;

export abstract class Resuming {
  readonly options: ResumingOptions;
  /** What it got of each topic, in order. */
  readonly got = new Map<string, string[]>();
  /** Topics of which it was told that not all it missed is kept. */
  readonly lost: string[] = [];
  /** What must never be. */
  readonly faults: string[] = [];
  /** Connections that it had and lost. */
  ended = 0;
  /** Registrations that it has used. */
  registered = 0;
  #address: string | undefined;
  #drop: (() => void) | undefined;
  #stopped = false;
  readonly #over: Promise<void>;

  constructor(options: ResumingOptions) {
    this.options = options;
    for (const topic of options.topics) this.got.set(topic, []);
    this.#over = this.#live();
  }

  /** Whether it has a connection that is ready to receive. */
  ready = false;

  get count(): number {
    let count = 0;
    for (const data of this.got.values()) count += data.length;
    return count;
  }

  /** Ends its connection without a word; it comes back by itself. */
  drop(): void {
    this.#drop?.();
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.drop();
    return this.#over;
  }

  /** One connection; resolves when it has ended. Answers whether it was open. */
  protected abstract connect(
    address: string,
    dropper: (drop: () => void) => void,
  ): Promise<boolean>;

  /** Whether each connection takes a registration of its own. */
  protected readonly anew: boolean = false;

  protected take({ topic, data, offset, epoch }: JsonFrame): void {
    if (this.options.take !== undefined) this.options.take(topic, data, { offset, epoch });
    else this.got.get(topic)?.push(data);
  }

  async #live(): Promise<void> {
    // The subclass's own fields are set by then.
    await undefined;
    while (!this.#stopped) {
      const opened = await this.#once().catch(() => false);
      this.ready = false;
      if (!opened && !this.#stopped) await Bun.sleep(PAUSE_MS * (0.5 + Math.random()));
    }
  }

  async #once(): Promise<boolean> {
    if (this.#address === undefined || this.anew) {
      this.#address = await this.options.register();
      this.registered++;
    }
    const address = this.#address;
    const { through = (url: string) => url } = this.options;
    const opened = await this.connect(through(address), (drop) => {
      this.#drop = drop;
      if (this.#stopped) drop();
    });
    this.#drop = undefined;
    if (opened) this.ended++;
    else if (!this.anew && (await statusOf(address)) === 404) this.#address = undefined;
    return opened;
  }
}

/** A WebSocket does not say why a handshake was refused. */
async function statusOf(address: string): Promise<number> {
  return (await fetch(address.replace("ws:", "http:"))).status;
}

interface JsonFrame {
  readonly error?: { readonly code: string };
  readonly topics?: Record<string, Place & { recovered?: boolean }>;
  readonly topic: string;
  readonly data: string;
  readonly offset: number;
  readonly epoch: string;
}

/** The JSON socket: gives its positions in its first frame. */
export class ResumingSocket extends Resuming {
  readonly positions: Record<string, Place> = {};

  protected connect(address: string, dropper: (drop: () => void) => void): Promise<boolean> {
    const socket = new WebSocket(`${address}?format=json`);
    dropper(() => socket.terminate());
    let opened = false;
    return new Promise((resolve) => {
      socket.onopen = () => {
        opened = true;
        socket.send(JSON.stringify({ topics: this.options.topics, since: this.positions }));
      };
      socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
      socket.onclose = () => resolve(opened);
    });
  }

  #receive(frame: JsonFrame): void {
    // Then the relay closes the connection, if it has nothing yet.
    if (frame.error?.code === "engine_unavailable") return;
    if (frame.error !== undefined) this.faults.push(frame.error.code);
    else if (frame.topics !== undefined) this.#entered(frame.topics);
    else {
      if (!this.ready) this.faults.push("a publication before the reply");
      this.positions[frame.topic] = { offset: frame.offset, epoch: frame.epoch };
      this.take(frame);
    }
  }

  #entered(topics: NonNullable<JsonFrame["topics"]>): void {
    for (const [topic, { offset, epoch, recovered }] of Object.entries(topics)) {
      if (recovered === false) this.lost.push(topic);
      if (recovered === undefined && this.positions[topic] !== undefined) {
        this.faults.push("a position without an answer");
      }
      if (recovered === true) continue;
      this.positions[topic] = { offset, epoch };
      this.options.entered?.(topic, { offset, epoch }, recovered === false);
    }
    this.ready = true;
  }
}

/** The JSON socket of a client that registers for every connection. */
export class RegisteringSocket extends ResumingSocket {
  protected override readonly anew = true;
}

/** Server-Sent Events over a bare TCP connection: fetch could open 256 of them at most. */
export class ResumingStream extends Resuming {
  lastEventId = "";

  protected connect(address: string, dropper: (drop: () => void) => void): Promise<boolean> {
    const { hostname, port, pathname } = new URL(address);
    const path = pathname.replace("/ws/", "/sse/");
    const topics = this.options.topics.map(encodeURIComponent).join(",");
    const resume = this.lastEventId === "" ? "" : `Last-Event-ID: ${this.lastEventId}\r\n`;
    const socket = net.connect(Number(port), hostname);
    dropper(() => socket.resetAndDestroy());
    socket.on("connect", () => {
      socket.write(
        `GET ${path}?topics=${topics}&format=json HTTP/1.1\r\nHost: ${hostname}:${port}\r\n${resume}\r\n`,
      );
    });
    const events = new Events((fields) => this.#event(fields));
    socket.on("data", (bytes: Buffer) => {
      events.push(bytes);
      if (events.refused || events.over) socket.destroy();
    });
    socket.on("error", () => {});
    return new Promise((resolve) => {
      socket.on("close", () => resolve(events.opened));
    });
  }

  /** One block: its id counts even when it has nothing else. */
  #event({ id, event, data }: Fields): void {
    if (id !== undefined) {
      this.lastEventId = id;
      this.ready = true;
    }
    if (data === "") return;
    const frame = JSON.parse(data) as JsonFrame;
    if (frame.error?.code === "engine_unavailable") return;
    if (frame.topics !== undefined) {
      for (const [topic, { recovered, ...place }] of Object.entries(frame.topics)) {
        if (recovered !== false) continue;
        this.lost.push(topic);
        this.options.entered?.(topic, place, true);
      }
      return;
    }
    if (event !== frame.topic) this.faults.push("an event by another name");
    if (id === undefined) this.faults.push("an event without an id");
    this.take(frame);
  }
}

interface Fields {
  id?: string;
  event?: string;
  data: string;
}

/** Reads an HTTP response in chunks (RFC 9112, 7.1) as events (WHATWG HTML, 9.2.6); a block that is cut off is none. */
class Events {
  readonly #take: (fields: Fields) => void;
  readonly #decoder = new TextDecoder();
  #bytes: Buffer = Buffer.alloc(0);
  #text = "";
  /** It was answered by 200, or by something else. */
  opened = false;
  refused = false;
  /** Its last chunk has come; the connection itself may stay open. */
  over = false;

  constructor(take: (fields: Fields) => void) {
    this.#take = take;
  }

  push(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    if (!this.opened && !this.#head()) return;
    let at = 0;
    for (;;) {
      const line = this.#bytes.indexOf("\r\n", at);
      if (line < 0) break;
      const size = Number.parseInt(this.#bytes.toString("latin1", at, line), 16);
      const end = line + 2 + size;
      if (this.#bytes.length < end + 2) break;
      if (size === 0) this.over = true;
      this.#text += this.#decoder.decode(this.#bytes.subarray(line + 2, end), { stream: true });
      at = end + 2;
    }
    this.#bytes = this.#bytes.subarray(at);
    const blocks = this.#text.split("\n\n");
    this.#text = blocks.pop() ?? "";
    for (const block of blocks) this.#take(fieldsOf(block));
  }

  #head(): boolean {
    const end = this.#bytes.indexOf("\r\n\r\n");
    if (end < 0) return false;
    this.opened = this.#bytes.toString("latin1", 0, 12) === "HTTP/1.1 200";
    this.refused = !this.opened;
    this.#bytes = this.#bytes.subarray(end + 4);
    return this.opened;
  }
}

function fieldsOf(block: string): Fields {
  const fields: Fields = { data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) fields.id = line.slice(4);
    else if (line.startsWith("event: ")) fields.event = line.slice(7);
    else if (line.startsWith("data: ")) {
      fields.data += `${fields.data === "" ? "" : "\n"}${line.slice(6)}`;
    }
  }
  return fields;
}
