// The client for browsers, Bun and Node: it connects by the JSON protocol, resumes after a lost connection with its positions, and
// says what was lost. It has no dependencies, uses nothing at import, and must stay below 2 KiB: test/client/size.test.ts.
import type { AnyTopics, DataOf, TopicName, Topics } from "../library/topics";

/** After a failure it waits for a random time below this, which doubles with each further one. */
const PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 30_000;

/** A connection that stood for so long ends a row of failures. One that is accepted and closed at once does not. */
const STOOD_MS = 5_000;

/** How often it looks whether the relay is still there: after two such times without a word it asks, after three it reconnects. */
const CHECK_MS = 12_000;

/** So many failures in a row cost an address. */
const FAILURES_MAX = 3;

/** Characters that are shown of what is no address. */
const SHOWN_MAX = 99;

export type State = "connecting" | "open" | "closed";

/** Why a connection ended, or an attempt failed. */
export interface Reason {
  /** The close code of the WebSocket; or a text: the code of an error of the relay, or `address` when there was none to connect to. */
  readonly code: number | string;
  readonly reason: string;
}

export interface Position {
  readonly offset: number;
  readonly epoch: string;
}

/** A message as it came. Topics that keep no history have no positions. */
export interface Message extends Partial<Position> {
  readonly topic: string;
  /** What kind of message it is, where it was published with one. */
  readonly event?: string;
  readonly data: unknown;
  /** Its size, in place of its data, where the address has max_bytes. */
  readonly too_large?: number;
}

export interface ConnectOptions {
  /** Called at each change. `closed` is final. */
  readonly onState?: (state: State, why?: Reason) => void;
}

export interface SubscribeOptions {
  /**
   * Where to begin: after this position, which your backend read. Otherwise with what is published from now on. A topic that another
   * handler has goes on from where it is; what this one has missed there is reported as lost.
   */
  readonly since?: Position | undefined;
  /** Called when messages of the topic were lost, or may have been: load its state again. */
  readonly onLost?: (topic: string) => void;
}

export interface Client<Declared extends Topics = AnyTopics> {
  readonly state: State;
  /** Subscribes to a topic; the function that it returns ends that. Each message comes once and in order. */
  on<Name extends TopicName<Declared>>(
    topic: Name,
    handler: (data: DataOf<Declared, Name>, message: Message) => void,
    options?: SubscribeOptions,
  ): () => void;
  close(): void;
}

/**
 * Connects to a relay, and again whenever the connection is lost. `address` gives the `url` of a registration that your backend
 * has made for this client. It is asked again when that address is no longer good, not after each lost connection.
 */
export function connect<Declared extends Topics = AnyTopics>(
  address: () => string | Promise<string>,
  options: ConnectOptions = {},
): Client<Declared> {
  return new ResumingClient<Declared>(address, options);
}

interface Listener {
  // biome-ignore lint/suspicious/noExplicitAny: each handler takes the data of its own topic
  readonly handler: (data: any, message: Message) => void;
  readonly onLost: (topic: string) => void;
}

interface Subscription {
  readonly listeners: Set<Listener>;
  position: Position | undefined;
  /** The attempt that has subscribed to it last; 0 for none. */
  attempt: number;
}

class ResumingClient<Declared extends Topics> implements Client<Declared> {
  state: State = "connecting";
  readonly #address: () => string | Promise<string>;
  readonly #onState: ConnectOptions["onState"];
  readonly #subscriptions = new Map<string, Subscription>();
  /** Counts attempts to connect, and their ends: events of an older one are ignored. */
  #attempt = 0;
  #socket: WebSocket | undefined;
  /** The address in use; "" when another one is needed. */
  #url = "";
  /** Failures in a row, and those since the address was last good. */
  #failures = 0;
  #addressFailures = 0;
  #openedAt = 0;
  /** Checks since the relay last said something. */
  #quiet = 0;
  /** Commands that the relay has not replied to. */
  #unanswered = 0;
  /** What the last command was about: a topic that is left and subscribed to again meanwhile waits for the next one. */
  #asked: ReadonlyMap<string, Subscription> = this.#subscriptions;
  /** Whether the topics have changed since the last command. */
  #hasChanged = false;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #checks: ReturnType<typeof setInterval> | undefined;

  constructor(address: () => string | Promise<string>, { onState }: ConnectOptions) {
    this.#address = address;
    this.#onState = onState;
    globalThis.addEventListener?.("online", this.#online);
    void this.#connect();
  }

  on<Name extends TopicName<Declared>>(
    topic: Name,
    handler: (data: DataOf<Declared, Name>, message: Message) => void,
    { since, onLost = warn }: SubscribeOptions = {},
  ): () => void {
    let subscription = this.#subscriptions.get(topic);
    if (!subscription) {
      subscription = { listeners: new Set(), position: since, attempt: 0 };
      this.#subscriptions.set(topic, subscription);
      this.#change();
    } else if (since && isBefore(since, subscription.position)) {
      queueMicrotask(() => run(onLost, topic));
    }
    const { listeners } = subscription;
    const listener = { handler, onLost };
    listeners.add(listener);
    return () => {
      if (!listeners.delete(listener) || listeners.size) return;
      this.#subscriptions.delete(topic);
      this.#change();
    };
  }

  close(): void {
    if (this.state !== "closed") this.#end();
  }

  #end(why?: Reason): void {
    globalThis.removeEventListener?.("online", this.#online);
    this.#leave();
    this.#become("closed", why);
  }

  #become(state: State, why?: Reason): void {
    this.state = state;
    if (this.#onState) run(this.#onState, state, why);
  }

  /** Ends the connection or the attempt; what else comes from it is ignored. */
  #leave(): void {
    this.#attempt++;
    clearTimeout(this.#pause);
    clearInterval(this.#checks);
    this.#socket?.close();
    this.#socket = undefined;
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#pause = undefined;
    this.#quiet = 0;
    this.#checks = setInterval(this.#check, CHECK_MS);
    let given = this.#url;
    try {
      // What the caller subscribes to in this turn goes into the first command.
      await undefined;
      given ||= await this.#address();
      if (attempt !== this.#attempt) return;
      this.#url = given;
      this.#open(given, attempt);
    } catch (error) {
      // What is no address, such as a page that asks for a password, says best what is wrong.
      const what = given ? `: ${given}`.slice(0, SHOWN_MAX) : "";
      if (attempt === this.#attempt) this.#fail({ code: "address", reason: `${error}${what}` });
    }
  }

  #open(given: string, attempt: number): void {
    const url = new URL(given);
    url.searchParams.set("format", "json");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      if (attempt !== this.#attempt) return;
      this.#addressFailures = 0;
      // A relay that waited for the command in vain has subscribed this connection to its first topics, from then on. It could not
      // resume in topics that it has.
      socket.send('{"topics":[]}');
      this.#unanswered = 1;
      this.#choose();
    };
    socket.onmessage = ({ data }) => {
      if (attempt === this.#attempt) this.#receive(data, attempt);
    };
    socket.onclose = (event) => {
      if (attempt === this.#attempt) this.#fail(event);
    };
    // Where a browser calls onclose too, Node 22 only says that it could not connect, and stays in this state.
    socket.onerror = () => {
      if (attempt === this.#attempt && !socket.readyState) this.#fail({ code: 1006, reason: "" });
    };
  }

  #fail({ code, reason }: Reason): void {
    const stood = this.state === "open" && performance.now() - this.#openedAt > STOOD_MS;
    this.#leave();
    if (isFinal(code)) {
      this.#end({ code, reason });
      return;
    }
    if (typeof code === "string") console.error(`baton: ${reason}`);
    if (stood) this.#failures = 0;
    if (!keepsAddress(code) || ++this.#addressFailures >= FAILURES_MAX) {
      this.#url = "";
      this.#addressFailures = 0;
    }
    this.#wait(PAUSE_MS * 2 ** this.#failures++);
    this.#become("connecting", { code, reason });
  }

  /** Connects at a random moment, so that not all clients come back at once. */
  #wait(ms: number): void {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.#connect(), Math.random() * Math.min(ms, PAUSE_MS_MAX));
  }

  /** The browser has a network again. */
  readonly #online = (): void => {
    this.#failures = 0;
    this.#quiet = 1;
    if (this.#pause) this.#wait(PAUSE_MS);
    else this.#check();
  };

  /** Browsers do not tell of a connection that died without a word, nor of the relay's own pings. */
  readonly #check = (): void => {
    const isOpen = this.state === "open";
    if (++this.#quiet > (isOpen ? 2 : 1)) this.#fail({ code: 1006, reason: "no answer" });
    else if (this.#quiet > 1) this.#socket?.send("{}");
  };

  /** Tells the relay at the end of the turn, in one command, and not before it has replied to the last one. */
  #change(): void {
    this.#hasChanged = true;
    queueMicrotask(this.#chooseIfChanged);
  }

  readonly #chooseIfChanged = (): void => {
    if (this.#hasChanged && this.#unanswered < 1 && this.state === "open") this.#choose();
  };

  #choose(): void {
    this.#hasChanged = false;
    this.#unanswered++;
    this.#asked = new Map(this.#subscriptions);
    const since = [...this.#asked].map(([topic, { position }]) => [
      topic,
      position && { offset: position.offset, epoch: position.epoch },
    ]);
    const topics = [...this.#asked.keys()];
    this.#socket?.send(JSON.stringify({ topics, since: Object.fromEntries(since) }));
  }

  #receive(text: string, attempt: number): void {
    this.#quiet = 0;
    try {
      const frame = JSON.parse(text);
      const { error, topics } = frame;
      if (error) this.#fail({ code: error.code, reason: error.message });
      else if (topics) this.#resume(topics, attempt);
      else this.#deliver(frame, attempt);
    } catch (error) {
      this.#fail({ code: "invalid_frame", reason: `${error}` });
    }
  }

  /** The relay has subscribed it to these topics: what it missed, then what is live comes from now on. */
  #resume(
    topics: Record<string, Partial<Position> & { recovered?: boolean }>,
    attempt: number,
  ): void {
    if (--this.#unanswered > 0) return;
    for (const [topic, { offset, epoch, recovered }] of Object.entries(topics)) {
      const subscription = this.#asked.get(topic);
      if (!subscription) continue;
      const { listeners, attempt: last } = subscription;
      subscription.attempt = attempt;
      if (recovered) continue;
      subscription.position = epoch ? { offset: offset as number, epoch } : undefined;
      // Without a position, in a topic that keeps no history, nobody knows what was missed.
      if (recovered === false || (last && last !== attempt)) {
        for (const { onLost } of [...listeners]) run(onLost, topic);
      }
    }
    if (attempt !== this.#attempt) return;
    if (this.state !== "open") {
      this.#openedAt = performance.now();
      this.#become("open");
    }
    this.#chooseIfChanged();
  }

  #deliver(message: Message, attempt: number): void {
    const { topic, data, offset, epoch } = message;
    const subscription = this.#subscriptions.get(topic);
    // What comes before the reply is of an older subscription to the topic.
    if (subscription?.attempt !== attempt) return;
    const { listeners, position } = subscription;
    if (epoch) {
      if (position?.epoch === epoch && (offset as number) <= position.offset) return;
      subscription.position = { offset: offset as number, epoch };
    }
    for (const listener of [...listeners]) {
      // A handler may unsubscribe others, or close the client.
      if (listeners.has(listener) && attempt === this.#attempt)
        run(listener.handler, data, message);
    }
  }
}

/** The relay's own codes, and those with which a backend says that a client shall stay away: 3500 to 3999 and 4500 to 4999. */
function isFinal(code: number | string): boolean {
  return code === 4001 || [7, 9].includes(Math.floor(+code / 500));
}

/** After a lost connection, and after these closes of the relay, the registration waits for its client. */
function keepsAddress(code: number | string): boolean {
  return code === 1001 || code === 1006 || (+code >= 4008 && +code <= 4014);
}

/** Whether there may be something between a position and where a topic is. */
function isBefore({ offset, epoch }: Position, now: Position | undefined): boolean {
  return now?.epoch !== epoch || now.offset > offset;
}

/** A fault of the caller's is not one of the client's. */
function run<Args extends unknown[]>(call: (...args: Args) => void, ...args: Args): void {
  try {
    call(...args);
  } catch (error) {
    console.error(error);
  }
}

function warn(topic: string): void {
  console.warn(`baton: messages of ${topic} were lost`);
}
