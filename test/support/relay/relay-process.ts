// A relay as its users run it: a process of its own, with signals and an exit code.
import { join } from "node:path";
import { until } from "../wait";

/** Several processes may start at once on a busy machine. */
const START_MS = 15_000;

export interface ProcessOptions {
  /** The most files that it may open. */
  readonly files?: number;
  /** A program that runs it, with its arguments. */
  readonly through?: readonly string[];
}

export class RelayProcess implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  output = "";
  errors = "";

  constructor(env: Record<string, string>, { files, through = [] }: ProcessOptions = {}) {
    const program = [process.execPath, join(import.meta.dir, "../../../src/main.ts")];
    const limited = ["sh", "-c", `ulimit -n ${files}; exec "$@"`, "sh", ...program];
    this.#child = Bun.spawn([...through, ...(files === undefined ? program : limited)], {
      env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", PORT: "0", ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const collect = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void) => {
      const decoder = new TextDecoder();
      for await (const bytes of stream) add(decoder.decode(bytes, { stream: true }));
    };
    collect(this.#child.stdout, (text) => {
      this.output += text;
    });
    collect(this.#child.stderr, (text) => {
      this.errors += text;
    });
  }

  /** Resolves with the relay's address when it listens. */
  static async start(
    env: Record<string, string> = {},
    options: ProcessOptions = {},
  ): Promise<RelayProcess> {
    const relay = new RelayProcess(env, options);
    const listens = () => {
      if (relay.#child.exitCode !== null) throw new Error(`it ended: ${relay.errors}`);
      return relay.output.includes("Baton listens on");
    };
    await until("the relay to listen", listens, START_MS);
    return relay;
  }

  get url(): string {
    return /Baton listens on (\S+)\. /.exec(this.output)?.[1] ?? "";
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Every logged line, parsed. */
  get lines(): { level: number; msg: string }[] {
    const whole = this.output.split("\n").slice(0, -1);
    return whole.map((line) => JSON.parse(line));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  post(path: string, body: unknown): Promise<Response> {
    return fetch(this.url + path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
  }

  async register(userId: number | string = 1): Promise<string> {
    const answer = (await (await this.post("/register", { user_id: userId })).json()) as {
      url: string;
    };
    return answer.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
