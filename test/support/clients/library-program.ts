// A client library in a program of its own, which prints what it sees: each connection, and each message.
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { buildGo, hasTools } from "../languages/builds";
import { LineProgram } from "../machine/line-program";

type Line = { readonly connected: true } | { readonly data: string };

export class LibraryProgram extends LineProgram {
  readonly library: string;
  readonly messages: string[] = [];
  /** How many times it has connected. */
  connections = 0;

  /** Runs a command that is given the library and the relay's address. */
  constructor(command: readonly string[], library: string, relayUrl: string) {
    const onLine = (text: string) => {
      const line = JSON.parse(text) as Line;
      if ("connected" in line) this.connections++;
      else this.messages.push(line.data);
    };
    super([...command, library, relayUrl], onLine, { PYTHONUNBUFFERED: "1" });
    this.library = library;
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
