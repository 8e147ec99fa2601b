// The command `baton`, run as its users run it: from the source, or as the binary that RELAY_BINARY names.
import { join } from "node:path";
import { readText } from "../output";
import { until } from "../wait";

const { RELAY_BINARY } = process.env;

/** What runs it, in front of its arguments. */
export const PROGRAM =
  RELAY_BINARY === undefined
    ? [process.execPath, join(import.meta.dir, "../../../src/baton.ts")]
    : [RELAY_BINARY];

interface BatonOptions {
  readonly env?: Record<string, string>;
  readonly stdin?: string | Uint8Array;
}

/** A command that runs until it ends by itself, or the test disposes of it. */
export class Baton implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  stdout = "";
  stderr = "";

  constructor(args: readonly string[], { env = {}, stdin = "" }: BatonOptions = {}) {
    const { PATH = "", HOME = "" } = process.env;
    this.#child = Bun.spawn([...PROGRAM, ...args], {
      env: { PATH, HOME, ...env },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#child.stdin.write(stdin);
    this.#child.stdin.end();
    this.#read = Promise.all([
      readText(this.#child.stdout, (text) => {
        this.stdout += text;
      }),
      readText(this.#child.stderr, (text) => {
        this.stderr += text;
      }),
    ]);
  }

  /** Runs it to its end. */
  static async run(args: readonly string[], options: BatonOptions = {}) {
    const baton = new Baton(args, options);
    const code = await baton.ended;
    return { code, stdout: baton.stdout, stderr: baton.stderr };
  }

  /** Resolves with the exit code when all output has been read. */
  get ended(): Promise<number> {
    return this.#child.exited.then(async (code) => {
      await this.#read;
      return code;
    });
  }

  get signalCode(): Bun.Subprocess["signalCode"] {
    return this.#child.signalCode;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** What it has printed, a JSON document a line. */
  get lines(): Record<string, unknown>[] {
    return this.stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  /** Resolves with the lines when there are so many. */
  async untilLines(count: number): Promise<Record<string, unknown>[]> {
    await until(`${count} lines`, () => this.lines.length >= count);
    return this.lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
