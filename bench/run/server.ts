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

/** A port that nobody listens on, below those that the kernel assigns to outgoing connections. */
function freePort(): number {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // The port is taken: try another.
    }
  }
  throw new Error("no free port between 20000 and 32000");
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
    const port = freePort();
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
      for (let node = 0; node < (target.nodes ?? 1); node++) await server.#ready(port + node);
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
