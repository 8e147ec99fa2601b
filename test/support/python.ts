// Programs in Python with the official SDK, from test/python, in the environment that .ci/run makes.
import { join } from "node:path";

const PYTHON = join(import.meta.dir, "../../.venv/bin/python");

/** Runs a program; each line that it prints is given to `line`. Throws when there is no environment for it. */
export class PythonProgram implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;

  private constructor(args: readonly string[], line: (text: string) => void) {
    this.#child = Bun.spawn([PYTHON, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      env: { ...process.env, PYTHONUNBUFFERED: "1" },
    });
    void this.#read(line);
  }

  static async start(args: readonly string[], line: (text: string) => void) {
    if (!(await Bun.file(PYTHON).exists())) {
      throw new Error(
        "There is no .venv with the Python SDK: python3 -m venv .venv && .venv/bin/pip install -r test/python/requirements.txt",
      );
    }
    return new PythonProgram(args, line);
  }

  async #read(line: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#child.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const text of lines) line(text);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
