// The answer to an EventSource that cannot be served now: a stream that says when to reconnect, and ends. An EventSource
// gives up at every status but 200 (WHATWG HTML, section 9.2.3), but reconnects after a stream that ends.
import { type Log, throttledLog } from "../../log";
import { ERRORS, type ErrorCode, Refusal } from "../../relay/contracts/errors";
import type { Maybe } from "../../relay/contracts/maybe";
import { retryBlock } from "./stream";

/** When EventSource reconnects by itself. Each answer adds a random part, so that not all clients come at once. */
const RETRY_MS = 1_000;

/** How long a refused session waits for its answer. */
const REFUSED_MS = 1_000;

/**
 * How many of these streams stay open at most, besides those that have the place of a connection. Each takes a file
 * descriptor, and this many fit into the reserve that is kept for HTTP requests.
 */
const EXTRA_OPEN_MAX = 64;

/** An address that is over a limit of its own must not take places of others while it is told so. */
const IS_OF_ADDRESS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "too_many_address_connections",
  "too_many_attempts",
]);

/** Opens a stream, or says why it must not open. It throws only what may have passed by the next time. */
export type Opener = () => Maybe<Response | Refusal>;

export function retryMs(): number {
  return RETRY_MS * (1 + Math.random());
}

/**
 * Each stream stays open for its own retry time, because some clients ignore that time and are back 300 ms after any
 * answer with 200: so none comes more often than that. Beyond the bound, and when the process ends, they end at once.
 */
export class ReconnectAnswers {
  /** How many connections there is room for, which these streams may take. */
  readonly #room: () => number;
  readonly #headers: Record<string, string>;
  readonly #logFault: (error: unknown) => void;
  /** Counts a refusal that an EventSource is not told. */
  readonly #count: (refusal: Refusal) => void;
  readonly #open = new Set<() => void>();
  #isEnding = false;

  constructor(
    relay: { readonly room: () => number; readonly count: (refusal: Refusal) => void },
    headers: Record<string, string>,
    log: Log,
  ) {
    this.#room = relay.room;
    this.#count = relay.count;
    this.#headers = headers;
    this.#logFault = throttledLog(log, "a stream could not be opened");
  }

  /** The stream that `open` opens. Where it cannot be opened now, an EventSource is told to reconnect. */
  async orLater(request: Request, open: Opener): Promise<Response | Refusal> {
    if (!isEventSource(request)) return open();
    try {
      const opened = await open();
      if (!(opened instanceof Refusal) || !willPass(opened)) return opened;
      this.#count(opened);
      return IS_OF_ADDRESS.has(opened.code) ? this.#answerAtOnce() : this.#answer();
    } catch (error) {
      this.#logFault(error);
      return this.#answer();
    }
  }

  /** For an EventSource that is refused before it is known what it asks for; undefined for others. */
  atOnce(request: Request): Response | undefined {
    return isEventSource(request) ? this.#answerAtOnce() : undefined;
  }

  #answerAtOnce(): Response {
    return new Response(retryBlock(retryMs()), { headers: this.#headers });
  }

  #answer(): Response {
    const ms = retryMs();
    const body = this.#mayWait() ? this.#body(ms) : retryBlock(ms);
    return new Response(body, { headers: this.#headers });
  }

  #mayWait(): boolean {
    return !this.#isEnding && this.#open.size < Math.max(EXTRA_OPEN_MAX, this.#room());
  }

  /**
   * To be awaited before a stream begins that only says why a session is refused: SDKs of before 2026 take each stream
   * that begins for a success, and come back at once.
   */
  async beforeRefusal(): Promise<void> {
    if (!this.#mayWait()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, REFUSED_MS);
    this.#open.add(resolve);
    await promise;
    clearTimeout(timer);
    this.#open.delete(resolve);
  }

  /** Ends those that are open; from now on all end at once. */
  end(): void {
    this.#isEnding = true;
    for (const end of [...this.#open]) end();
  }

  #body(ms: number): ReadableStream<Uint8Array> {
    let forget = () => {};
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(retryBlock(ms)));
        const end = () => {
          forget();
          controller.close();
        };
        const timer = setTimeout(end, ms);
        forget = () => {
          clearTimeout(timer);
          this.#open.delete(end);
        };
        this.#open.add(end);
      },
      cancel: () => forget(),
    });
  }
}

/** Whether the same request may succeed in a moment: limits that others have reached, and a relay that cannot serve now. */
function willPass({ code }: Refusal): boolean {
  const { status } = ERRORS[code];
  return status === 429 || status >= 500;
}

/** EventSource always sends this header. Nobody reads the body of an answer to HEAD. */
function isEventSource({ method, headers }: Request): boolean {
  if (method === "HEAD") return false;
  return headers.get("accept")?.toLowerCase().includes("text/event-stream") === true;
}
