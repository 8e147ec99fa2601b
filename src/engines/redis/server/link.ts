// Two connections to a Redis server, one for calls and one for subscriptions, made again together whenever either breaks, with
// growing pauses. A call while they are down, or under way when they break, is rejected; none waits for ever. Bun's client is
// thrown away each time: its own way to connect again loses subscriptions, and it has no time limit for commands.
import { RedisClient } from "bun";
import { EngineUnavailable } from "../../../relay/contracts/engine";
import { diagnose } from "./diagnosis";
import type { Script } from "./script";

/** How long connecting may take, and an answer: a server that is silent for so long is out of reach. */
const CONNECT_MS = 2_000;
const PATIENCE_MS = 2_500;

/** How often it is looked at. With the patience and two of these, a call is under way for at most 4 s. */
const LOOK_MS = 500;

/** Pauses between attempts to connect, doubled up to the longest. */
const PAUSE_MS = 50;
const PAUSE_MAX_MS = 5_000;

/** Calls that may be under way, and what they may carry: more than a server that answers ever has before it. */
const CALLS_MAX = 100_000;
const CALLS_CHARACTERS = 67_108_864;

/** Errors that mean: this server cannot serve now, and its address may soon lead to another one. */
const LEAVE = /(^|[ -])(READONLY|LOADING|MASTERDOWN|NOAUTH) /;

/** Codes of Bun's client for errors that no server has said: the connection is of no use. */
const BROKEN = /^ERR_REDIS_(CONNECTION|INVALID_RESPONSE|IDLE_TIMEOUT)/;

interface LinkOptions {
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
  #isConnected = false;
  #isUp = false;
  #isStopped = false;
  #pauseMs = PAUSE_MS;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #looking: ReturnType<typeof setInterval> | undefined;
  #lookedAt = 0;
  /** When the pings that are under way were sent. */
  #pingedAt: number | undefined;
  #underWay = 0;
  #charactersUnderWay = 0;
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
    return this.#error(this.#failure || "not connected");
  }

  /** For subscriptions; only while it is up or being set up. Throws EngineUnavailable. */
  get subscriptions(): RedisClient {
    if (this.#clients === undefined) throw this.unavailable;
    return this.#clients.subscriptions;
  }

  /** Tries once, and goes on trying by itself. Resolves after the first attempt, whatever came of it. */
  async start(): Promise<void> {
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    await this.#connect();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
    clearInterval(this.#looking);
    this.#break("closed");
  }

  /** Something has shown that the connections are of no use: they are made again. */
  fail(error: unknown): void {
    this.#break(messageOf(error).replace(this.#prefix, ""));
  }

  /** Rejects with EngineUnavailable. Calls leave in their order. */
  async call<Answer>(command: string, args: string[]): Promise<Answer> {
    try {
      return await this.#send<Answer>(command, args);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Runs a script, which is handed over again where the server has lost it. Rejects with EngineUnavailable. */
  async run<Answer>({ sha, text }: Script, keys: string[], args: string[]): Promise<Answer> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await this.#send<Answer>("EVALSHA", [sha, ...rest]);
    } catch (error) {
      if (!messageOf(error).startsWith("NOSCRIPT")) throw this.#failed(error);
      return this.call<Answer>("EVAL", [text, ...rest]);
    }
  }

  async #send<Answer>(command: string, args: string[]): Promise<Answer> {
    const clients = this.#clients;
    if (clients === undefined) throw this.unavailable;
    let characters = 0;
    for (const arg of args) characters += arg.length;
    if (this.#underWay >= CALLS_MAX || this.#charactersUnderWay > CALLS_CHARACTERS) {
      throw this.#error("it is slower than what is asked of it");
    }
    this.#underWay++;
    this.#charactersUnderWay += characters;
    try {
      return (await clients.calls.send(command, args)) as Answer;
    } catch (error) {
      if (this.#clients === clients && isEnd(error)) this.fail(error);
      throw error;
    } finally {
      this.#underWay--;
      this.#charactersUnderWay -= characters;
    }
  }

  /** Breaks connections that do not answer. */
  #look(): void {
    const clients = this.#clients;
    const now = performance.now();
    // This process itself was busy or asleep: what came meanwhile is not read yet.
    const wasAsleep = now - this.#lookedAt > PATIENCE_MS / 2;
    this.#lookedAt = now;
    if (clients === undefined || !this.#isConnected) return;
    if (this.#pingedAt === undefined) {
      this.#pingedAt = now;
      const { calls, subscriptions } = clients;
      const pings = [calls.send("PING", []), subscriptions.send("PING", [])];
      Promise.allSettled(pings).then((answers) => {
        if (this.#clients !== clients) return;
        this.#pingedAt = undefined;
        // Another error is an answer too.
        for (const answer of answers) {
          if (answer.status === "rejected" && isEnd(answer.reason)) this.fail(answer.reason);
        }
      });
    } else if (wasAsleep) this.#pingedAt = now;
    else if (now - this.#pingedAt > PATIENCE_MS) this.fail("it does not answer any more");
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

  /** Rejects with the reason, which Bun's client does not know: it says the same for a closed port and a wrong password. */
  async #open({ calls, subscriptions }: Clients): Promise<void> {
    const late = setTimeout(() => {
      calls.close();
      subscriptions.close();
    }, CONNECT_MS);
    try {
      await Promise.all([calls.connect(), subscriptions.connect()]);
      // It counts as connected before the server has taken the number of the database.
      await Promise.all([calls.send("PING", []), subscriptions.send("PING", [])]);
    } catch {
      throw new Error(await diagnose(this.#options.url));
    } finally {
      clearTimeout(late);
    }
  }

  /** What a caller is told of an error. */
  #failed(error: unknown): EngineUnavailable {
    return error instanceof EngineUnavailable ? error : this.#error(messageOf(error));
  }

  #error(why: string): EngineUnavailable {
    return new EngineUnavailable(this.#prefix + why);
  }

  get #prefix(): string {
    return `Redis at ${this.address}: `;
  }

  #break(why: string): void {
    const clients = this.#clients;
    if (clients === undefined) return;
    const isNews = this.#isUp || this.#failure !== why;
    this.#clients = undefined;
    this.#isConnected = false;
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

function isEnd(error: unknown): boolean {
  return BROKEN.test((error as { code?: string }).code ?? "") || LEAVE.test(messageOf(error));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
