// Two connections to a Redis server, one for calls and one for subscriptions, made again together whenever either breaks, with
// growing pauses. A call while they are down, or under way when they break, is rejected; none waits for ever. Bun's client is
// thrown away each time: its own way to connect again loses subscriptions, and it has no time limit for commands.
import { RedisClient } from "bun";
import { EngineUnavailable } from "../relay/engine";
import { diagnose } from "./redis-diagnosis";
import type { Script } from "./redis-script";

/** How long connecting may take, and an answer: a server that is silent for so long is out of reach. */
const CONNECT_MS = 2_000;
const PATIENCE_MS = 3_000;

/** Pauses between attempts to connect, doubled up to the longest. */
const PAUSE_MS = 50;
const PAUSE_MAX_MS = 5_000;

/** Errors that mean: this server cannot serve now, and its address may soon lead to another one. */
const LEAVE = /^(READONLY|LOADING|MASTERDOWN|NOAUTH)\b/;

export interface LinkOptions {
  /** redis://… or rediss://… */
  readonly url: string;
  /** What must be done before they count as up; to be rejected when that fails. */
  readonly setUp: (link: RedisLink) => Promise<void>;
  /** They are up. */
  readonly onUp: () => void;
  /** They have broken, or could not be set up. */
  readonly onDown: () => void;
  /** A failure to connect, a loss or a return, as a sentence without passwords. */
  readonly report: (sentence: string) => void;
}

interface Clients {
  readonly calls: RedisClient;
  readonly subscriptions: RedisClient;
}

export class RedisLink {
  /** Where it leads, without user and password. */
  readonly address: string;
  readonly #options: LinkOptions;
  #clients: Clients | undefined;
  #isUp = false;
  #isStopped = false;
  #pauseMs = PAUSE_MS;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** When the pings that are under way were sent. */
  #pingedAt: number | undefined;
  #failure = "";

  constructor(options: LinkOptions) {
    this.#options = options;
    const { host, pathname } = new URL(options.url);
    this.address = `${host}${pathname === "/" ? "" : pathname}`;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Why it is not up, for those who call it. */
  get unavailable(): EngineUnavailable {
    return new EngineUnavailable(`Redis at ${this.address}: ${this.#failure || "not connected"}`);
  }

  /** For subscriptions; only while it is up or being set up. Throws EngineUnavailable. */
  get subscriptions(): RedisClient {
    if (this.#clients === undefined) throw this.unavailable;
    return this.#clients.subscriptions;
  }

  /** Tries once, and goes on trying by itself. Resolves after the first attempt, whatever came of it. */
  async start(): Promise<void> {
    await this.#connect();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
    this.#break("closed");
  }

  /** Rejects with EngineUnavailable. Calls leave in their order. */
  async call<Answer>(command: string, args: string[]): Promise<Answer> {
    const clients = this.#clients;
    if (clients === undefined) throw this.unavailable;
    try {
      return (await clients.calls.send(command, args)) as Answer;
    } catch (error) {
      throw this.#failed(clients, error);
    }
  }

  /** Runs a script, which is handed over first where the server does not have it. Rejects with EngineUnavailable. */
  async run<Answer>({ sha, text }: Script, keys: string[], args: string[]): Promise<Answer> {
    const clients = this.#clients;
    if (clients === undefined) throw this.unavailable;
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return (await clients.calls.send("EVALSHA", [sha, ...rest])) as Answer;
    } catch (error) {
      if (!messageOf(error).startsWith("NOSCRIPT")) throw this.#failed(clients, error);
      return this.call<Answer>("EVAL", [text, ...rest]);
    }
  }

  /** To be called about once a second: breaks connections that do not answer. */
  sweep(): void {
    const clients = this.#clients;
    if (clients === undefined || !this.#isUp) return;
    const now = performance.now();
    if (this.#pingedAt === undefined) {
      this.#pingedAt = now;
      const { calls, subscriptions } = clients;
      Promise.all([calls.send("PING", []), subscriptions.send("PING", [])]).then(
        () => {
          if (this.#clients === clients) this.#pingedAt = undefined;
        },
        (error: unknown) => this.#failed(clients, error),
      );
    } else if (now - this.#pingedAt > PATIENCE_MS) {
      this.#break(`no answer for ${Math.round(now - this.#pingedAt)} ms`);
    }
  }

  async #connect(): Promise<void> {
    const options = {
      autoReconnect: false,
      enableOfflineQueue: false,
      connectionTimeout: CONNECT_MS,
    };
    const { url } = this.#options;
    const clients = {
      calls: new RedisClient(url, options),
      subscriptions: new RedisClient(url, options),
    };
    this.#clients = clients;
    this.#pingedAt = undefined;
    for (const client of Object.values(clients)) {
      client.onclose = (error) => {
        if (this.#clients === clients && this.#isUp) this.#break(messageOf(error));
      };
    }
    const late = setTimeout(() => {
      if (this.#clients === clients) this.#break("it does not answer");
    }, CONNECT_MS + PATIENCE_MS);
    try {
      // Bun says "Connection closed" whatever the reason.
      await Promise.all([clients.calls.connect(), clients.subscriptions.connect()]).catch(
        async () => {
          throw new Error(await diagnose(url));
        },
      );
      await this.#options.setUp(this);
      if (this.#clients !== clients) return;
      this.#isUp = true;
      this.#pauseMs = PAUSE_MS;
      if (this.#failure !== "") this.#options.report(`Redis at ${this.address} is back`);
      this.#failure = "";
      this.#options.onUp();
    } catch (error) {
      if (this.#clients === clients) this.#break(messageOf(error));
    } finally {
      clearTimeout(late);
    }
  }

  /** What a caller is told of an error. */
  #failed(clients: Clients, error: unknown): EngineUnavailable {
    const message = messageOf(error);
    if (LEAVE.test(message) && this.#clients === clients) this.#break(message);
    return new EngineUnavailable(`Redis at ${this.address}: ${message}`);
  }

  #break(why: string): void {
    const clients = this.#clients;
    if (clients === undefined) return;
    const isNews = this.#isUp || this.#failure !== why;
    this.#clients = undefined;
    this.#isUp = false;
    this.#failure = why;
    clients.calls.close();
    clients.subscriptions.close();
    this.#options.onDown();
    if (this.#isStopped) return;
    if (isNews) {
      this.#options.report(`Redis at ${this.address} is out of reach, trying again: ${why}`);
    }
    // At different moments: all nodes have lost it at once.
    const pause = this.#pauseMs * (0.5 + Math.random() / 2);
    this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MAX_MS);
    this.#retry = setTimeout(() => void this.#connect(), pause);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
