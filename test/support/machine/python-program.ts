// Programs in Python, which run in the environment that `bun run python` makes.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { until } from "../wait";

const PYTHON = join(import.meta.dir, "../../../.venv/bin/python");

export class PythonProgram implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  errors = "";

  /** Runs it; each line that it prints is given to `line`. Throws when there is no environment for it. */
  constructor(args: readonly string[], line: (text: string) => void, env: object = {}) {
    if (!existsSync(PYTHON)) {
      throw new Error(
        "There is no .venv with the Python SDK. Run `npx -y bun@1.4.4 run python`; on Debian it needs the package python3-venv.",
      );
    }
    this.#child = Bun.spawn([PYTHON, ...args], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, PYTHONUNBUFFERED: "1", ...env },
    });
    const decoder = new TextDecoder();
    let rest = "";
    const readLines = async () => {
      for await (const bytes of this.#child.stdout) {
        const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const text of lines) line(text);
      }
    };
    const readErrors = async () => {
      this.errors = await new Response(this.#child.stderr).text();
    };
    this.#read = Promise.all([readLines(), readErrors()]);
  }

  write(line: string): void {
    this.#child.stdin.write(`${line}\n`);
    this.#child.stdin.flush();
  }

  /** Resolves when the condition is met; rejects with the errors of the program if it has ended. */
  async until(what: string, isMet: () => boolean | Promise<boolean>, deadlineMs?: number) {
    const check = async () => {
      if (await isMet()) return true;
      if (this.#child.exitCode === null) return false;
      await this.#read;
      if (await isMet()) return true;
      throw new Error(`Python ended before ${what}: ${this.errors}`);
    };
    await until(what, check, deadlineMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    await this.#read;
  }
}
