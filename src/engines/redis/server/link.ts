// Two connections to a Redis server: one for calls, one for subscriptions. When either breaks, both are made again, after pauses that
// grow. A call is rejected while they are down, or when they break before its answer; none waits for ever. Each time Bun's
// client is replaced by a new one: its own way to reconnect loses subscriptions, and it has no time limit for commands.
import { RedisClient } from "bun";
import { EngineUnavailable } from "../../../relay/contracts/engine";
import { diagnose } from "./diagnosis";
import { explain, isAnswer, isForbidden, kindOf } from "./error-answers";
import type { Script } from "./script";

/** How long the server may take to accept a connection, and to answer. A server that is silent for longer is out of reach. */
const CONNECT_TIMEOUT_MS = 2_000;
const ANSWER_TIMEOUT_MS = 2_500;

/** How often the connections are checked. A call is rejected after the timeout and two of these, so within 4 s. */
const CHECK_MS = 500;

/** The first pause before connecting again. It doubles with each failure, up to the longest. */
const PAUSE_MS = 50;
const PAUSE_MAX_MS = 5_000;

/** How many calls may be under way, and how much they may carry: more than a server that answers ever leaves unanswered. */
const CALLS_MAX = 100_000;
const CALLS_CHARACTERS_MAX = 67_108_864;

/** Errors of a server that cannot serve now, and whose address may soon lead to another one. */
const SERVER_UNUSABLE = /(^|[ -])(READONLY|LOADING|MASTERDOWN|NOAUTH) /;

/** Codes of errors that Bun's client makes itself: the connection cannot be used any more. */
const CONNECTION_BROKEN = /^ERR_REDIS_(CONNECTION|INVALID_RESPONSE|IDLE_TIMEOUT)/;

/** How often the log says that the server answers with errors of one kind. */
const REPORT_MS = 60_000;

/** The code of errors with which the server answers. */
const SERVER_ERROR = "ERR_REDIS_SERVER_ERROR";

interface LinkOptions {
  /** redis://… or rediss://… */
  readonly url: string;
  /** Prepares new connections before they count as up. When it rejects, they are dropped. */
  readonly setUp: (link: RedisLink) => Promise<void>;
  readonly onUp: () => void;
  /** The connections have broken, or could not be set up. */
  readonly onDown: () => void;
  /** A failure to connect, a loss or a return, as a sentence without passwords. */
  readonly report: (sentence: string) => void;
}

interface Clients {
  readonly calls: RedisClient;
  readonly subscriptions: RedisClient;
}

export class RedisLink {
  /** The server's address, without user and password. */
  readonly address: string;
  readonly #options: LinkOptions;
  #clients: Clients | undefined;
  #isConnected = false;
  #isUp = false;
  #isStopped = false;
  #pauseMs = PAUSE_MS;
  #reconnecting: ReturnType<typeof setTimeout> | undefined;
  #checking: ReturnType<typeof setInterval> | undefined;
  #checkedAt = 0;
  /** When the pings were sent that are not answered yet. */
  #pingedAt: number | undefined;
  #callsUnderWay = 0;
  #charactersUnderWay = 0;
  #failure = "";
  /** When errors of a kind were last reported. */
  readonly #reportedAt = new Map<string, number>();

  constructor(options: LinkOptions) {
    this.#options = options;
    const { host, pathname } = new URL(options.url);
    this.address = `${host}${pathname === "/" ? "" : pathname}`;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Why the link is not up, as the error that a caller gets. */
  get unavailable(): EngineUnavailable {
    return this.#error(this.#failure || "not connected");
  }

  /** The connection for subscriptions, while the link is up or being set up. Throws EngineUnavailable. */
  get subscriptions(): RedisClient {
    if (this.#clients === undefined) throw this.unavailable;
    return this.#clients.subscriptions;
  }

  /** Resolves after the first attempt to connect, whatever its outcome; the link goes on trying by itself. */
  async start(): Promise<void> {
    this.#checking = setInterval(() => this.#check(), CHECK_MS);
    await this.#connect();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#reconnecting);
    clearInterval(this.#checking);
    this.#break("closed");
  }

  /** An error has shown that the connections cannot be used any more: they are made again. */
  fail(error: unknown): void {
    const reason = messageOf(error).replace(this.#prefix, "");
    this.#break(error instanceof EngineUnavailable ? reason : explain(reason));
  }

  /** Calls reach the server in their order. Rejects with EngineUnavailable. */
  async call<Answer>(command: string, args: string[]): Promise<Answer> {
    try {
      return await this.#send<Answer>(command, args);
    } catch (error) {
      throw this.#unavailableFor(command, error);
    }
  }

  /** Runs a script, and sends its text again when the server has lost it. Rejects with EngineUnavailable. */
  async run<Answer>({ sha, text }: Script, keys: string[], args: string[]): Promise<Answer> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await this.#send<Answer>("EVALSHA", [sha, ...rest]);
    } catch (error) {
      if (!messageOf(error).startsWith("NOSCRIPT")) {
        throw this.#unavailableFor("EVALSHA", error);
      }
      return this.call<Answer>("EVAL", [text, ...rest]);
    }
  }

  async #send<Answer>(command: string, args: string[]): Promise<Answer> {
    const clients = this.#clients;
    if (clients === undefined) throw this.unavailable;
    let characters = 0;
    for (const arg of args) characters += arg.length;
    if (this.#callsUnderWay >= CALLS_MAX || this.#charactersUnderWay > CALLS_CHARACTERS_MAX) {
      throw this.#error("it is slower than what is asked of it");
    }
    this.#callsUnderWay++;
    this.#charactersUnderWay += characters;
    try {
      return (await clients.calls.send(command, args)) as Answer;
    } catch (error) {
      // Connecting again says which permission is missing; while connecting, a server may do without the command.
      const isUseless = isFatal(error) || (this.#isUp && isForbidden(messageOf(error)));
      if (this.#clients === clients && isUseless) this.fail(error);
      throw error;
    } finally {
      this.#callsUnderWay--;
      this.#charactersUnderWay -= characters;
    }
  }

  /** Pings both connections, and breaks them when they do not answer. */
  #check(): void {
    const clients = this.#clients;
    const now = performance.now();
    // When this process itself was busy or asleep, it has not read yet what came meanwhile.
    const wasAsleep = now - this.#checkedAt > ANSWER_TIMEOUT_MS / 2;
    this.#checkedAt = now;
    if (clients === undefined || !this.#isConnected) return;
    if (this.#pingedAt === undefined) {
      this.#pingedAt = now;
      this.#ping(clients);
    } else if (wasAsleep) this.#pingedAt = now;
    else if (now - this.#pingedAt > ANSWER_TIMEOUT_MS) this.fail("it does not answer any more");
  }

  #ping(clients: Clients): void {
    const { calls, subscriptions } = clients;
    const pings = [calls.send("PING", []), subscriptions.send("PING", [])];
    Promise.allSettled(pings).then((answers) => {
      if (this.#clients !== clients) return;
      this.#pingedAt = undefined;
      // Any other error is an answer too.
      for (const answer of answers) {
        if (answer.status === "rejected" && isFatal(answer.reason)) this.fail(answer.reason);
      }
    });
  }

  async #connect(): Promise<void> {
    const options = {
      autoReconnect: false,
      enableOfflineQueue: false,
      connectionTimeout: CONNECT_TIMEOUT_MS,
    };
    const { url } = this.#options;
    const clients = {
      calls: new RedisClient(url, options),
      subscriptions: new RedisClient(url, options),
    };
    this.#clients = clients;
    for (const client of Object.values(clients)) {
      client.onclose = (error) => {
        if (this.#clients === clients && this.#isConnected) this.fail(error);
      };
    }
    try {
      await this.#open(clients);
      if (this.#clients !== clients) return;
      this.#pingedAt = undefined;
      this.#isConnected = true;
      await this.#options.setUp(this);
      if (this.#clients !== clients) return;
      this.#isUp = true;
      this.#pauseMs = PAUSE_MS;
      if (this.#failure !== "") this.#options.report(`Redis at ${this.address} is back`);
      this.#failure = "";
      this.#options.onUp();
    } catch (error) {
      if (this.#clients === clients) this.fail(error);
    }
  }

  /** Rejects with the reason. */
  async #open({ calls, subscriptions }: Clients): Promise<void> {
    const timeout = setTimeout(() => {
      calls.close();
      subscriptions.close();
    }, CONNECT_TIMEOUT_MS);
    try {
      await Promise.all([calls.connect(), subscriptions.connect()]);
      // Bun's client counts as connected before the server has accepted the number of the database.
      await Promise.all([calls.send("PING", []), subscriptions.send("PING", [])]);
    } catch {
      throw new Error(await diagnose(this.#options.url));
    } finally {
      clearTimeout(timeout);
    }
  }

  #unavailableFor(command: string, error: unknown): EngineUnavailable {
    if (error instanceof EngineUnavailable) return error;
    const { code, message } = error as Error & { code?: string };
    return code === SERVER_ERROR ? this.refused(command, message) : this.#error(messageOf(error));
  }

  /** The server has answered a command with an error: what the caller gets. */
  refused(command: string, message: string): EngineUnavailable {
    const reason = `it refused ${command}: ${explain(message)}`;
    if (this.#isUp) this.#report(kindOf(message), `Redis at ${this.address}: ${reason}`);
    return this.#error(reason);
  }

  #report(kind: string, sentence: string): void {
    const now = performance.now();
    if (now - (this.#reportedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < REPORT_MS) return;
    this.#reportedAt.set(kind, now);
    this.#options.report(sentence);
  }

  #error(reason: string): EngineUnavailable {
    return new EngineUnavailable(this.#prefix + reason);
  }

  get #prefix(): string {
    return `Redis at ${this.address}: `;
  }

  #break(reason: string): void {
    const clients = this.#clients;
    if (clients === undefined) return;
    const isNews = this.#isUp || this.#failure !== reason;
    this.#clients = undefined;
    this.#isConnected = false;
    this.#isUp = false;
    this.#failure = reason;
    clients.calls.close();
    clients.subscriptions.close();
    this.#options.onDown();
    if (this.#isStopped) return;
    if (isNews) {
      const state = isAnswer(reason) ? "cannot be used" : "is out of reach";
      this.#options.report(`Redis at ${this.address} ${state}, trying again: ${reason}`);
    }
    // All nodes have lost the server at once, so each comes back at another moment.
    const pause = this.#pauseMs * (0.5 + Math.random() / 2);
    this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MAX_MS);
    this.#reconnecting = setTimeout(() => void this.#connect(), pause);
  }
}

/** Whether the connection or the server cannot be used any more, rather than that a call has failed. */
function isFatal(error: unknown): boolean {
  const { code = "" } = error as { code?: string };
  return CONNECTION_BROKEN.test(code) || SERVER_UNUSABLE.test(messageOf(error));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
