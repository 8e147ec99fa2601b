// Runs the shell examples word by word, with the Bun of the tests as `bun` and as `npx -y bun@<its version>`.
import { writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import { Folder } from "../machine/folder";
import { readText } from "../output";
import { until } from "../wait";
import { ROOT } from "./pages";

/** A folder for PATH with these commands, and the command line of Baton. Another version of Bun fails, because nothing downloads it. */
function commands(): Folder {
  const folder = new Folder();
  const program = (name: string, lines: string): void =>
    writeFileSync(`${folder.path}/${name}`, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  const run = `exec '${process.execPath}' "$@"`;
  program("bun", run);
  program("baton", `exec '${process.execPath}' '${ROOT}/src/baton.ts' "$@"`);
  program("npx", `[ "$1 $2" = "-y bun@${Bun.version}" ] || exit 64\nshift 2\n${run}`);
  return folder;
}

/** A script that was started, and what it has printed so far. */
class Script {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  output = "";
  errors = "";

  constructor(text: string, env: Readonly<Record<string, string | undefined>>) {
    // Bash, given one command, becomes it: then a signal to the script is one to the command.
    this.process = Bun.spawn(["bash", "-c", text], {
      cwd: ROOT,
      // Some shells and builds set HOST, which is not meant for the relay.
      env: { ...process.env, HOST: undefined, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#read = Promise.all([
      readText(this.process.stdout, (more) => (this.output += more)),
      readText(this.process.stderr, (more) => (this.errors += more)),
    ]);
  }

  /** Resolves with the exit code, when all output is there too. */
  async ended(): Promise<number> {
    await this.#read;
    return this.process.exited;
  }
}

export class Shell implements AsyncDisposable {
  readonly #commands = commands();
  readonly #scripts: Script[] = [];

  /** Starts a script at the root of the repository. */
  start(text: string, env: Readonly<Record<string, string>> = {}): Script {
    const PATH = `${this.#commands.path}${delimiter}${process.env.PATH}`;
    const script = new Script(text, { ...env, PATH });
    this.#scripts.push(script);
    return script;
  }

  /** Runs a script there and returns what it printed. Throws if it failed. */
  async run(text: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const script = this.start(text, env);
    const code = await script.ended();
    if (code !== 0) throw new Error(`exit code ${code}: ${script.errors}`);
    return script.output;
  }

  /** Starts a script that starts a relay; resolves with its process and the relay's address when it listens. */
  async startRelay(text: string, env: Readonly<Record<string, string>> = {}) {
    const script = this.start(text, env);
    const url = (): string | undefined => /Baton listens on (\S+)\. /.exec(script.output)?.[1];
    const listens = (): boolean => {
      if (script.process.exitCode === null) return url() !== undefined;
      throw new Error(`the relay ended: ${script.errors}`);
    };
    await until("the relay to listen", listens);
    return { process: script.process, url: url() as string };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process } of this.#scripts) {
      process.kill("SIGTERM");
      await process.exited;
    }
    this.#commands[Symbol.dispose]();
  }
}
