// A real relay on a free port, and the calls that most tests make of it.
import { createLog } from "../../../src/log";
import { type RunningNode, start } from "../../../src/node";
import type { Position } from "../../../src/relay/contracts/publication";
import type { Env } from "../../../src/settings/kinds";
import { readSettings } from "../../../src/settings/read";
import { Client } from "../clients/client";
import { PATIENT } from "../hooks/proxy-backend";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly json: any;
}

export class TestRelay implements AsyncDisposable {
  readonly running: RunningNode;
  /** Every line that was logged. */
  readonly log: readonly string[];
  readonly #clients: Client[] = [];

  constructor(running: RunningNode, log: readonly string[]) {
    this.running = running;
    this.log = log;
  }

  get url(): string {
    return this.running.url;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get counts() {
    return this.running.relay.counts;
  }

  /** Whether the registration of this address (or id) has a connection now. */
  isConnected(address: string): boolean {
    return [...this.running.relay.connections.all()].some(({ id }) => address.includes(id));
  }

  /** The lines that were logged about slow consumers. */
  get slowConsumerLines(): string[] {
    return this.log.filter((line) => line.includes("slow consumer closed"));
  }

  async request(method: string, path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(this.url + path, { method, ...init });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("/json") === true;
    const { status, headers } = response;
    return { status, headers, text, json: isJson ? JSON.parse(text) : undefined };
  }

  /** POSTs a value as JSON. */
  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request("POST", path, {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
  }

  /** Registers and resolves with the address for the socket. */
  async register(userId: number | string = 1): Promise<string> {
    return (await this.registration(userId)).url;
  }

  /** Registers and resolves with the addresses for the socket and for the stream. */
  async registration(
    userId: number | string = 1,
    topics?: readonly string[],
  ): Promise<{ readonly url: string; readonly sse: string }> {
    const { status, text, json } = await this.post("/register", { user_id: userId, topics });
    if (status !== 200) throw new Error(`register answered ${status} ${text}`);
    return json;
  }

  /** Deletes the registration of this address. */
  unregister(address: string): Promise<Answer> {
    return this.request("DELETE", `/register/${idOf(address)}`);
  }

  /** Connects a client, and chooses its topics if they are given. */
  async connect(userId: number | string = 1, topics?: readonly string[]): Promise<Client> {
    return this.open(await this.register(userId), topics);
  }

  /** Connects a client to the address of a registration, and chooses its topics if they are given. */
  async open(url: string, topics?: readonly string[]): Promise<Client> {
    const client = await Client.open(url);
    this.#clients.push(client);
    if (topics !== undefined) {
      client.send({ topics });
      await client.settled();
    }
    return client;
  }

  /** Publishes and resolves with the number of connections that it was delivered to; throws on an error. */
  async publish(topic: string, message: string, userId?: number | string): Promise<number> {
    const body = { topic, message, ...(userId !== undefined && { user_id: userId }) };
    const answer = await this.post("/publish", body);
    if (answer.status !== 200) throw new Error(`publish answered ${answer.status} ${answer.text}`);
    return answer.json.delivered;
  }

  /** Publishes m1, m2… (or from another number on) and resolves with the position of the last one. */
  async publishMany(topic: string, count: number, from = 1): Promise<Position> {
    const batch = Array.from({ length: count }, (_, i) => ({ topic, message: `m${from + i}` }));
    const { json } = await this.post("/publish", batch);
    return { offset: json.at(-1).offset, epoch: json.at(-1).epoch };
  }

  /** Publishes until the kernel takes no more for the only connection; resolves with the number of publications. */
  async publishUntilBuffered(
    topic: string,
    messageOf: (number: number) => string,
  ): Promise<number> {
    const [connection] = this.running.relay.connections.all();
    const isBuffered = () => (connection?.socket?.getBufferedAmount() ?? 1) > 0;
    let count = 0;
    while (!isBuffered()) {
      await this.publish(topic, messageOf(count++));
      // What is sent in a turn of the event loop is written at its end.
      await new Promise(setImmediate);
    }
    return count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.drop();
    await this.running.stop();
  }
}

/** Starts a relay with these settings in place of the defaults. */
export async function startRelay(env: Env = {}): Promise<TestRelay> {
  const lines: string[] = [];
  const log = createLog(env.BATON_LOG_LEVEL ?? "debug", { write: (line) => void lines.push(line) });
  const settings = readSettings({ PORT: "0", BATON_SHUTDOWN_MS: "50", ...PATIENT, ...env });
  return new TestRelay(await start(settings, log), lines);
}

/** The id at the end of the address of a registration, which may have a query. */
export function idOf(url: string): string {
  return url.slice(url.lastIndexOf("/") + 1).replace(/\?.*/, "");
}
