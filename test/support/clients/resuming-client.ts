// A client that reconnects by itself until it is stopped, as the README's example and EventSource do, and records
// everything it receives. Its transports are in resuming-socket.ts and resuming-stream.ts.
import type { Position } from "../../../src/relay/contracts/publication";

export interface ResumingOptions {
  readonly topics: readonly string[];
  /** Registers and resolves with the address to connect to, ws://…/ws/<id>. */
  readonly register: () => Promise<string>;
  /** Returns the address to connect to in place of this one, such as a proxy's. */
  readonly through?: (url: string) => string;
  /** Called with each publication; without it, publications are recorded in `received`. */
  readonly onPublication?: (topic: string, data: string, position: Position) => void;
  /**
   * Called when the client takes a position from the relay: for the first time in a topic ("first"), or because the
   * relay no longer has all that it missed ("lost").
   */
  readonly onPosition?: (topic: string, position: Position, why: "first" | "lost") => void;
}

/** A frame of the JSON format: a publication, a reply, or an error. */
export interface JsonFrame {
  readonly error?: { readonly code: string };
  readonly topics?: Record<string, Position & { recovered?: boolean }>;
  readonly topic: string;
  readonly data: string;
  readonly offset: number;
  readonly epoch: string;
}

/** How long it waits after an attempt that failed; varied by half, so that clients do not come in step. */
const RETRY_MS = 25;

export abstract class ResumingClient {
  readonly options: ResumingOptions;
  /** The data of the publications of each topic, in the order in which they came. */
  readonly received = new Map<string, string[]>();
  /** Topics of which the relay said `recovered: false`, once for each time. */
  readonly lost: string[] = [];
  /** What must never happen, in words; a test expects it to stay empty. */
  readonly faults: string[] = [];
  /** How many connections it had and lost. */
  connectionsLost = 0;
  /** How many times it has registered. */
  registrations = 0;
  /** Whether it has a connection that is subscribed. */
  ready = false;
  #address: string | undefined;
  #drop: (() => void) | undefined;
  #stopped = false;
  readonly #ended: Promise<void>;

  constructor(options: ResumingOptions) {
    this.options = options;
    for (const topic of options.topics) this.received.set(topic, []);
    this.#ended = this.#reconnectUntilStopped();
  }

  /** How many publications it has recorded, of all topics. */
  get count(): number {
    let count = 0;
    for (const data of this.received.values()) count += data.length;
    return count;
  }

  /** Cuts its connection without a close; the client then reconnects by itself. */
  drop(): void {
    this.#drop?.();
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.drop();
    return this.#ended;
  }

  /**
   * Makes one connection and resolves when that has ended, with whether it was ever open. `onDroppable` is given the
   * function that cuts it.
   */
  protected abstract connect(
    address: string,
    onDroppable: (drop: () => void) => void,
  ): Promise<boolean>;

  /** Whether it makes a new registration for each connection. */
  protected readonly registersEachTime: boolean = false;

  protected receive({ topic, data, offset, epoch }: JsonFrame): void {
    const { onPublication } = this.options;
    if (onPublication === undefined) this.received.get(topic)?.push(data);
    else onPublication(topic, data, { offset, epoch });
  }

  async #reconnectUntilStopped(): Promise<void> {
    // The constructor of the subclass sets that class's own fields first.
    await undefined;
    while (!this.#stopped) {
      const opened = await this.#connectOnce().catch(() => false);
      this.ready = false;
      if (!opened && !this.#stopped) await Bun.sleep(RETRY_MS * (0.5 + Math.random()));
    }
  }

  async #connectOnce(): Promise<boolean> {
    if (this.#address === undefined || this.registersEachTime) {
      this.#address = await this.options.register();
      this.registrations++;
    }
    const address = this.#address;
    const { through = (url: string) => url } = this.options;
    const opened = await this.connect(through(address), (drop) => {
      this.#drop = drop;
      if (this.#stopped) drop();
    });
    this.#drop = undefined;
    if (opened) this.connectionsLost++;
    else if (!this.registersEachTime && (await isUnknown(address))) this.#address = undefined;
    return opened;
  }
}

/** Asks over HTTP, because a WebSocket does not say why its handshake was refused. */
async function isUnknown(address: string): Promise<boolean> {
  return (await fetch(address.replace("ws:", "http:"))).status === 404;
}
