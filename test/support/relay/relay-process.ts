// A relay as its users run it: a process of its own, with signals and an exit code.
import { join } from "node:path";
import { childrenOf } from "../machine/processes";
import { readText } from "../output";
import { until, within } from "../wait";

const SOURCE = join(import.meta.dir, "../../../src");

/** Of pino. */
const ERROR_LEVEL = 50;

export interface ProcessOptions {
  /** The binary that is run instead of the source. It gets nothing of this environment. */
  readonly binary?: string | undefined;
  /** The arguments of the command `baton`, in place of the relay alone. */
  readonly args?: readonly string[];
  /** The most files that it may open. */
  readonly files?: number;
  /** A command that runs it, with the arguments of that command. */
  readonly through?: readonly string[];
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
  /** The close code, in lines about a connection that has ended. */
  readonly code?: number;
}

/** What GET /topics/<topic>/history answers. */
interface TopicHistory {
  readonly epoch: string;
  readonly offset: number;
  readonly publications: readonly { readonly offset: number; readonly data: string }[];
}

export class RelayProcess implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  output = "";
  errors = "";

  /** Whole suites run with the binary that RELAY_BINARY names. */
  constructor(
    env: Record<string, string>,
    { files, through = [], binary = process.env.RELAY_BINARY, args }: ProcessOptions = {},
  ) {
    const source = join(SOURCE, args === undefined ? "main.ts" : "baton.ts");
    const runner = binary === undefined ? [process.execPath, source] : [binary];
    const program = [...runner, ...(args ?? [])];
    const limited = ["sh", "-c", `ulimit -n ${files}; exec "$@"`, "sh", ...program];
    const { PATH = "", HOME = "" } = process.env;
    const needed = binary === undefined ? { PATH, HOME } : {};
    this.#child = Bun.spawn([...through, ...(files === undefined ? program : limited)], {
      env: { ...needed, PORT: "0", ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#read = Promise.all([
      readText(this.#child.stdout, (text) => {
        this.output += text;
      }),
      readText(this.#child.stderr, (text) => {
        this.errors += text;
      }),
    ]);
  }

  /** Resolves with the relay's address when it listens. */
  static async start(
    env: Record<string, string> = {},
    options: ProcessOptions = {},
  ): Promise<RelayProcess> {
    const relay = new RelayProcess(env, options);
    const listens = () => {
      if (relay.#child.exitCode !== null) throw new Error(`it ended: ${relay.errors}`);
      return relay.url !== "";
    };
    await until("the relay to listen", listens);
    return relay;
  }

  get url(): string {
    return /Baton listens on (\S+)\. /.exec(this.output)?.[1] ?? "";
  }

  get pid(): number {
    return this.#child.pid;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Every line that was logged, parsed. */
  get lines(): LogLine[] {
    const whole = this.output.split("\n").slice(0, -1);
    return whole.map((line) => JSON.parse(line));
  }

  /** The logged lines that say that something went wrong in the relay itself. */
  get loggedErrors(): LogLine[] {
    return this.lines.filter(({ level }) => level >= ERROR_LEVEL);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Kills it with its workers, as the end of its machine would. */
  async killAll(): Promise<void> {
    const pids = [this.pid, ...(await childrenOf(this.pid))];
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // A worker ends by itself when its supervisor has died.
      }
    }
    await this.exited;
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  /** Resolves with the exit code when all that it and its workers have printed is read. */
  async ended(): Promise<number> {
    await within("the relay to end", this.#read);
    return this.#child.exited;
  }

  post(path: string, body: unknown, options: { keepalive?: false } = {}): Promise<Response> {
    return fetch(this.url + path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
      ...options,
    });
  }

  /** Resolves with the address for the socket of a new registration. */
  async register(userId: number | string = 1): Promise<string> {
    const answer = await this.post("/register", { user_id: userId });
    return ((await answer.json()) as { url: string }).url;
  }

  /** Publishes a message and resolves with the number of connections that it was delivered to. */
  async publish(topic: string, message: string): Promise<number> {
    const answer = await this.post("/publish", { topic, message });
    return ((await answer.json()) as { delivered: number }).delivered;
  }

  /** Resolves with a page of a topic's history: at most 1,000 publications after the offset `since`. */
  async history(topic: string, since = 0): Promise<TopicHistory> {
    const query = `limit=1000&since=${since}`;
    return (await (await fetch(`${this.url}/topics/${topic}/history?${query}`)).json()) as never;
  }

  /** Resolves with all that a topic's history keeps, page by page. */
  async wholeHistory(topic: string): Promise<TopicHistory> {
    const publications: TopicHistory["publications"][number][] = [];
    for (;;) {
      const page = await this.history(topic, publications.length);
      publications.push(...page.publications);
      if (page.publications.length === 0) return { ...page, publications };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
