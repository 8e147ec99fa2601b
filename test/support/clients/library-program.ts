// A client library in a program of its own, which prints what it sees: each connection, and each message.
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { buildGo, hasTools } from "../languages/builds";

type Line = { readonly connected: true } | { readonly data: string };

export class LibraryProgram implements AsyncDisposable {
  readonly library: string;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly messages: string[] = [];
  /** How many times it has connected. */
  connections = 0;
  errors = "";

  /** Runs a command that is given the library and the relay's address. */
  constructor(command: readonly string[], library: string, relayUrl: string) {
    this.library = library;
    this.#child = Bun.spawn([...command, library, relayUrl], {
      cwd: ROOT,
      env: { ...process.env, PYTHONUNBUFFERED: "1" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    void this.#readLines();
    void this.#readErrors();
  }

  async #readLines(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#child.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#onLine(JSON.parse(line));
    }
  }

  async #readErrors(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stderr) this.errors += decoder.decode(bytes);
  }

  #onLine(line: Line): void {
    if ("connected" in line) this.connections++;
    else this.messages.push(line.data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

/** The commands that run the libraries of each language; in Go only where there is a `go` to build the program with. */
export const LANGUAGES = {
  node: ["node", join(ROOT, "test/node/libraries.mjs")],
  python: [join(ROOT, ".venv/bin/python"), join(ROOT, "test/python/libraries.py")],
};

/** Builds the program in Go and returns the command that runs it; undefined where there is no `go`. */
export async function buildGoProgram(folder: string): Promise<readonly string[] | undefined> {
  return hasTools(["go"]) ? buildGo(folder) : undefined;
}
