// A relay with several workers, whose processes a test may stop, kill or replace, with its publishers and clients.
import { expect } from "bun:test";
import { ResumingSocket } from "../clients/resuming-socket";
import { childrenOf, listenersOn } from "../machine/processes";
import { until } from "../wait";
import { Caller } from "./deployments";
import { type ProcessOptions, RelayProcess } from "./relay-process";

/** How long a client or a publisher waits before it tries again. */
const RETRY_MS = 20;

export class RelayWithWorkers implements AsyncDisposable {
  readonly process: RelayProcess;

  private constructor(process: RelayProcess) {
    this.process = process;
  }

  /** Three workers, unless the settings say otherwise. */
  static async start(
    env: Record<string, string> = {},
    options: ProcessOptions = {},
  ): Promise<RelayWithWorkers> {
    const settings = {
      BATON_WORKERS: "3",
      BATON_SHUTDOWN_MS: "200",
      BATON_HISTORY_SIZE: "100000",
      ...env,
    };
    return new RelayWithWorkers(await RelayProcess.start(settings, options));
  }

  /** Calls whichever worker accepts the connection. */
  get caller(): Caller {
    return new Caller({ urls: [this.process.url] });
  }

  /** The process ids of the workers. */
  workers(): Promise<number[]> {
    return childrenOf(this.process.pid);
  }

  /** How many workers accept connections. */
  get listeners(): number {
    return listenersOn(this.process.port);
  }

  /** The messages of all logged lines. */
  get logged(): string[] {
    return this.process.lines.map(({ msg }) => msg);
  }

  /** Resolves when there are three workers, none of them among these. */
  untilReplaced(gone: readonly number[]): Promise<void> {
    const areReplaced = async () => {
      const now = await this.workers();
      return now.length === 3 && !now.some((pid) => gone.includes(pid));
    };
    return until("three other workers", areReplaced);
  }

  /** Connects so many clients to topic t, which reconnect and register again by themselves. */
  async connectClients(count: number): Promise<ResumingSocket[]> {
    const clients = Array.from(
      { length: count },
      (_, user) => new ResumingSocket({ topics: ["t"], register: () => this.#register(user) }),
    );
    const areReady = () => clients.every(({ ready }) => ready);
    await until("all clients to be subscribed", areReady);
    return clients;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }

  async #register(user: number): Promise<string> {
    for (;;) {
      try {
        const id = await this.caller.register(user);
        return `${this.process.url.replace("http", "ws")}/ws/${id}`;
      } catch {
        await Bun.sleep(RETRY_MS);
      }
    }
  }
}

/** Publishes 0, 1, 2… to a topic until it is stopped, each with its key again and again until it is acknowledged. */
export class RetryingPublisher {
  readonly #caller: Caller;
  readonly #topic: string;
  readonly #padding: string;
  readonly #ended: Promise<void>;
  #stopped = false;
  /** How many it has begun to publish. */
  count = 0;
  /** How many were refused or unanswered more than once. */
  refusedTwice = 0;

  /** `padding` is added to each message. */
  constructor(relay: RelayWithWorkers, topic: string, padding = "") {
    this.#caller = relay.caller;
    this.#topic = topic;
    this.#padding = padding;
    this.#ended = this.#publishUntilStopped();
  }

  /** Resolves when so many more have been published. */
  async untilMore(count: number): Promise<void> {
    const goal = this.count + count;
    await until(`${count} more publications`, () => this.count > goal);
  }

  /** Resolves with all messages that were published. */
  async stop(): Promise<string[]> {
    this.#stopped = true;
    await this.#ended;
    return Array.from({ length: this.count }, (_, i) => String(i) + this.#padding);
  }

  async #publishUntilStopped(): Promise<void> {
    while (!this.#stopped) {
      const retries = await this.#publish(String(this.count++));
      if (retries > 1) this.refusedTwice++;
    }
  }

  /** Resolves with the number of retries. */
  async #publish(number: string): Promise<number> {
    const message = number + this.#padding;
    const body = { topic: this.#topic, message, idempotency_key: number };
    for (let retries = 0; ; retries++) {
      const answer = await this.#caller.post("/publish", body).catch(() => undefined);
      if (answer?.status === 200) return retries;
      await Bun.sleep(RETRY_MS);
    }
  }
}

/** Expects that every client has received all that was published, once and in order, and stops it. */
export async function expectAllReceived(
  clients: readonly ResumingSocket[],
  published: readonly string[],
): Promise<void> {
  const haveAll = () => clients.every(({ count }) => count >= published.length);
  // What is missing after that is shown below.
  await until("all clients to have everything", haveAll).catch(() => {});
  for (const client of clients) {
    expect(client.faults).toEqual([]);
    expect(client.lost).toEqual([]);
    expect(client.received.get("t")).toEqual([...published]);
    await client.stop();
  }
}
