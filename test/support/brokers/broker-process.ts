// A real broker for tests: a process on ports of its own, with a folder of its own for its data, that can be killed and started again.
import { connect } from "node:net";
import type { Folder } from "../machine/folder";
import { until } from "../wait";

/** How a kind of broker is run. */
interface BrokerProgram {
  readonly command: readonly string[];
  /** In place of this process's environment, but for PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** The port that is open once it serves. */
  readonly port: number;
}

/** A broker of Java or Erlang needs seconds of CPU time, and a busy machine may have little of it. */
const START_MS = 180_000;

export class BrokerProcess implements AsyncDisposable {
  readonly folder: Folder;
  readonly #program: BrokerProgram;
  #child: Bun.Subprocess | undefined;

  /** Its data is kept in `folder`, which goes when the broker is disposed of. */
  constructor(folder: Folder, program: BrokerProgram) {
    this.folder = folder;
    this.#program = program;
  }

  /** Starts it, unless it runs, for the first time or on the data that it left; resolves when its port is open. */
  async run(): Promise<void> {
    if (this.#child?.killed === false) return;
    const { command, env = {}, port } = this.#program;
    const { PATH = "", HOME = "" } = process.env;
    const child = Bun.spawn([...command], {
      cwd: this.folder.path,
      env: { PATH, HOME, ...env },
      stdin: "ignore",
      stdout: Bun.file(`${this.folder.path}/output`),
      stderr: Bun.file(`${this.folder.path}/errors`),
    });
    this.#child = child;
    const listens = async () => {
      if (child.killed) throw new Error(await this.#lastWords());
      return isOpen(port);
    };
    await until(`${command[0]} to listen`, listens, START_MS);
  }

  async #lastWords(): Promise<string> {
    const texts = ["output", "errors"].map((name) =>
      Bun.file(`${this.folder.path}/${name}`).text(),
    );
    return `${this.#program.command[0]} has ended: ${(await Promise.all(texts)).join("\n").slice(-2_000)}`;
  }

  /** Sends it a signal: SIGSTOP makes it silent, SIGCONT goes on. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Kills it, without a chance to save anything. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Ends it in an orderly way. */
  async stop(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.folder[Symbol.dispose]();
  }
}

/** Whether a connection to this port of this machine is accepted. */
function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}
