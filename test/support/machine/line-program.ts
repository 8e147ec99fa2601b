// A program that is given lines and prints lines.
import { readText } from "../output";
import { until } from "../wait";

export class LineProgram implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  errors = "";

  /** Runs it; each line that it prints is given to `line`. */
  constructor(command: readonly string[], line: (text: string) => void, env: object = {}) {
    this.#child = Bun.spawn([...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...env },
    });
    let rest = "";
    this.#read = Promise.all([
      readText(this.#child.stdout, (part) => {
        const lines = (rest + part).split("\n");
        rest = lines.pop() ?? "";
        for (const text of lines) line(text);
      }),
      readText(this.#child.stderr, (part) => {
        this.errors += part;
      }),
    ]);
  }

  /** Null while it runs. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
    this.#child.stdin.flush();
  }

  /** Resolves when the condition is met; rejects with the errors of the program if it has ended. */
  async until(what: string, isMet: () => boolean | Promise<boolean>) {
    const check = async () => {
      if (await isMet()) return true;
      if (this.#child.exitCode === null) return false;
      await this.#read;
      if (await isMet()) return true;
      throw new Error(`The program ended before ${what}: ${this.errors}`);
    };
    await until(what, check);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    await this.#read;
  }
}
