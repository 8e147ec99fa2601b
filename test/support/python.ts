// Programs in Python, in the virtual environment that `bun run python` makes, and clients of the official Python SDK.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { until } from "./wait";

const root = join(import.meta.dir, "../..");

/** The interpreter of the environment; throws when there is none. */
export function python(): string {
  const path = join(root, ".venv/bin/python");
  if (existsSync(path)) return path;
  throw new Error(
    "These tests need Python with the packages of test/python/requirements.txt: run `npx -y bun@1.4.4 run python` first.",
  );
}

/** What a client tells, as test/python/clients.py prints it. */
export interface PythonEvent {
  readonly client: number;
  readonly event: string;
  readonly topic?: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into payloads of any shape
  readonly data?: any;
  readonly offset?: number;
  readonly code?: number;
  readonly id?: string;
  readonly was?: boolean;
  readonly whole?: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly value?: any;
  readonly info?: { readonly user: string; readonly client: string; readonly info: unknown };
}

export interface PythonOptions {
  /** Of the relay, http://…, or of a proxy before it. */
  readonly url: string;
  readonly topics: readonly string[];
  readonly clients: readonly { readonly token?: string; readonly fresh?: string }[];
}

/** A process with clients of the Python SDK. */
export class PythonClients implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** All that the clients told, in order; answers to calls aside. */
  readonly told: PythonEvent[] = [];
  readonly #answers: PythonEvent[] = [];
  errors = "";
  readonly #read: Promise<unknown>;

  constructor({ url, topics, clients }: PythonOptions) {
    const address = `${url.replace("http:", "ws:")}/connection/websocket`;
    const given = JSON.stringify({ address, topics, clients });
    this.#child = Bun.spawn([python(), join(root, "test/python/clients.py"), given], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#read = Promise.all([this.#readLines(), this.#readErrors()]);
  }

  of(client: number, event: string): PythonEvent[] {
    return this.told.filter((one) => one.client === client && one.event === event);
  }

  /** Resolves with the first event of this kind that fits and comes after `from` others of all kinds. */
  async next(event: string, fits: (event: PythonEvent) => boolean = () => true, from = 0) {
    const find = () => this.told.slice(from).find((one) => one.event === event && fits(one));
    await this.until(`the event ${event} of the Python SDK`, () => find() !== undefined);
    return find() as PythonEvent;
  }

  /** Fails with what Python had to say. */
  async until(what: string, holds: () => boolean, deadlineMs?: number): Promise<void> {
    const alive = () => {
      if (this.#child.exitCode !== null) throw new Error(`Python ended: ${this.errors}`);
      return holds();
    };
    await until(what, alive, deadlineMs);
  }

  /** Calls the SDK and resolves with its answer: `value`, or the `code` of an error. One after the other. */
  async call(client: number, call: string, fields: object = {}): Promise<PythonEvent> {
    this.#child.stdin.write(`${JSON.stringify({ client, call, ...fields })}\n`);
    this.#child.stdin.flush();
    await this.until(`the answer to ${call}`, () => this.#answers.length > 0, 10_000);
    return this.#answers.shift() as PythonEvent;
  }

  async #readLines(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#child.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const event = JSON.parse(line) as PythonEvent;
        if (event.event === "answer") this.#answers.push(event);
        else this.told.push(event);
      }
    }
  }

  async #readErrors(): Promise<void> {
    this.errors = await new Response(this.#child.stderr).text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    await this.#read;
  }
}
