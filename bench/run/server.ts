// One target's server process: started on a free port, ready when /health answers, ended by SIGKILL.
// What it prints goes to a file, and is shown only if it fails.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { Target } from "../targets/target";
import { endChild, startChild } from "./child-processes";

const READY_TIMEOUT_MS = 60_000;
const OUTPUT_CHARACTERS_MAX = 600;

const folder = mkdtempSync(join(tmpdir(), "baton-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** Below the ports that the kernel assigns to outgoing connections, and above those of the tests and their Redis Clusters. */
const FIRST_PORT = 30_000;
const LAST_PORT = 32_767;

let nextPort = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));

/** The first of `count` ports in a row on which nobody listens. Servers that start at the same time never get the same ones. */
function freePorts(count: number): number {
  for (let tried = FIRST_PORT; tried <= LAST_PORT; tried += count) {
    const first = nextPort + count - 1 > LAST_PORT ? FIRST_PORT : nextPort;
    nextPort = first + count;
    if (Array.from({ length: count }, (_, index) => first + index).every(isFree)) return first;
  }
  throw new Error(`no ${count} free ports in a row between ${FIRST_PORT} and ${LAST_PORT}`);
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
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
  readonly #log: string;

  private constructor(child: Subprocess, port: number, log: string) {
    this.#child = child;
    this.pid = child.pid;
    this.port = port;
    this.#log = log;
  }

  /** Starts the target and waits until each of its nodes answers. Throws with the end of its output if it does not. */
  static async start(target: Target): Promise<Server> {
    const nodes = target.nodes ?? 1;
    const port = freePorts(nodes + 1);
    const log = join(folder, `${target.name}-${port}.log`);
    const child = startChild(target.command, {
      cwd: join(import.meta.dir, "../.."),
      env: { ...cleanEnvironment(), ...target.env, PORT: String(port) },
      stdin: "ignore",
      stdout: Bun.file(log),
      stderr: Bun.file(log),
    });
    const server = new Server(child, port, log);
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
      const text = readFileSync(this.#log, "utf8");
      return text.trim().slice(-OUTPUT_CHARACTERS_MAX).replaceAll("\n", " | ");
    } catch {
      return "";
    }
  }

  async stop(): Promise<void> {
    await endChild(this.#child);
    rmSync(this.#log, { force: true });
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
