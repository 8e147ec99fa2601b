// Programs in Python, which run in the environment that `bun run python` makes.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { LineProgram } from "./line-program";

const PYTHON = join(import.meta.dir, "../../../.venv/bin/python");

/** The command that runs a program in Python. Throws when there is no environment for it. */
export function pythonCommand(args: readonly string[]): readonly string[] {
  if (!existsSync(PYTHON)) {
    throw new Error(
      "There is no .venv with the Python SDK. Run `npx -y bun@1.4.4 run python`; on Debian it needs the package python3-venv.",
    );
  }
  // Unbuffered: each line is read as soon as it is printed.
  return [PYTHON, "-u", ...args];
}

export class PythonProgram extends LineProgram {
  /** Runs it; each line that it prints is given to `line`. */
  constructor(args: readonly string[], line: (text: string) => void, env: object = {}) {
    super(pythonCommand(args), line, env);
  }
}
