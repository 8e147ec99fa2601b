// One target's server process: started on a free port in a folder of its own, ready when /health answers, ended by SIGKILL.
// What it prints goes to a file there, and is shown only if it fails.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { Target } from "../targets/target";
import { endChild, startChild } from "./child-processes";
import { freePorts } from "./free-ports";

const READY_TIMEOUT_MS = 60_000;
const OUTPUT_CHARACTERS_MAX = 600;
const LOG = "output.log";

let folders: string | undefined;

/** An empty folder that is gone when the bench has ended, also when a signal ends it. */
function emptyFolder(name: string): string {
  if (folders === undefined) {
    const root = mkdtempSync(join(tmpdir(), "baton-bench-"));
    process.on("exit", () => rmSync(root, { recursive: true, force: true }));
    folders = root;
  }
  const folder = join(folders, name);
  mkdirSync(folder);
  return folder;
}

/** The environment without anything that would change a target's settings. */
function cleanEnvironment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("BATON_") && !name.startsWith("BUN_") && name !== "NODE_OPTIONS",
  );
  return Object.fromEntries(kept);
}

export class Server {
  readonly port: number;
  readonly pid: number;
  readonly #child: Subprocess;
  readonly #folder: string;

  private constructor(child: Subprocess, port: number, folder: string) {
    this.#child = child;
    this.pid = child.pid;
    this.port = port;
    this.#folder = folder;
  }

  /** Starts the target and waits until each of its nodes answers. Throws with the end of its output if it does not. */
  static async start(target: Target): Promise<Server> {
    const nodes = target.nodes ?? 1;
    const port = freePorts(nodes + 1);
    const folder = emptyFolder(`${target.name}-${port}`);
    const log = Bun.file(join(folder, LOG));
    const child = startChild(target.command, {
      cwd: folder,
      env: { ...cleanEnvironment(), ...target.env, PORT: String(port) },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    const server = new Server(child, port, folder);
    try {
      for (let node = 0; node < nodes; node++) await server.#ready(port + node);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** The end of what the server printed, on one line. */
  output(): string {
    try {
      const text = readFileSync(join(this.#folder, LOG), "utf8");
      return text.trim().slice(-OUTPUT_CHARACTERS_MAX).replaceAll("\n", " | ");
    } catch {
      return "";
    }
  }

  async stop(): Promise<void> {
    await endChild(this.#child);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready(port: number): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (this.#child.exitCode !== null) {
        throw new Error(`the server ended with ${this.#child.exitCode}: ${this.output()}`);
      }
      const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
      if (answer?.ok === true) return;
      await Bun.sleep(20);
    }
    throw new Error(
      `the server did not answer /health within ${READY_TIMEOUT_MS} ms: ${this.output()}`,
    );
  }
}
