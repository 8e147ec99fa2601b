// The relay of the scale run: one Baton with many workers, at a port of its own.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { readPssBytes } from "../measure/usage";
import { startChild } from "../run/child-processes";
import { freePorts } from "../run/free-ports";
import { PUBLISH_ROUTE, TOPIC } from "../targets/target";

const READY_TIMEOUT_MS = 180_000;
const READY_CHECK_MS = 100;
const PUBLISH_TRIES_MAX = 20;
const PUBLISH_RETRY_MS = 1_000;

export class ScaleRelay {
  readonly port: number;
  /** Publishes that had to be repeated. */
  retried = 0;
  readonly #process: Subprocess;

  private constructor(port: number, process: Subprocess) {
    this.port = port;
    this.#process = process;
  }

  /**
   * Starts the relay, whose output goes to the file `log`, and waits until it answers. On a restart its workers close their
   * connections over `shutdownMs`.
   */
  static async start(workers: number, shutdownMs: number, log: string): Promise<ScaleRelay> {
    await Bun.write(log, "");
    const port = freePorts(1);
    const child = startChild(["bun", join(import.meta.dir, "../../src/main.ts")], {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: String(port),
        HOST: "0.0.0.0",
        BATON_INSECURE: "1",
        BATON_LOG_LEVEL: "warn",
        BATON_WORKERS: String(workers),
        BATON_REGISTRATIONS_MAX: "10000000",
        BATON_REGISTRATION_TTL_MS: "1800000",
        // Longer than any client is away: with a million connections on two cores some are away for minutes.
        BATON_HISTORY_TTL_MS: "1800000",
        BATON_PING_MS: "300000",
        BATON_PONG_MS: "60000",
        BATON_SHUTDOWN_MS: String(shutdownMs),
      },
      stdin: "ignore",
      stdout: Bun.file(log),
      stderr: "inherit",
    });
    const relay = new ScaleRelay(port, child);
    await relay.#ready();
    return relay;
  }

  /** Publishes once, however many tries it takes: an idempotency key makes a repeated publish harmless. */
  async publish(message: string): Promise<void> {
    const headers = {
      "content-type": "application/json",
      "idempotency-key": crypto.randomUUID(),
      connection: "close",
    };
    const body = PUBLISH_ROUTE.body(TOPIC, message);
    for (let tries = 1; ; tries++) {
      const url = `http://127.0.0.1:${this.port}/publish`;
      const answer = await fetch(url, { method: "POST", headers, body }).catch(() => undefined);
      if (answer?.ok === true) return;
      if (tries === PUBLISH_TRIES_MAX) throw new Error(`publish was answered ${answer?.status}`);
      this.retried++;
      await Bun.sleep(PUBLISH_RETRY_MS);
    }
  }

  /** Replaces all workers, one after the other. */
  restart(): void {
    this.#process.kill("SIGHUP");
  }

  workerPids(): number[] {
    const { pid } = this.#process;
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text.trim().split(" ").filter(Boolean).map(Number);
  }

  /** The memory of the relay's processes, in bytes. */
  memoryBytes(): number {
    return readPssBytes(this.#process.pid);
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < deadline) {
      const { exitCode } = this.#process;
      if (exitCode !== null) throw new Error(`the relay ended with ${exitCode}`);
      const answer = await fetch(`http://127.0.0.1:${this.port}/health`).catch(() => undefined);
      if (answer?.ok === true) return;
      await Bun.sleep(READY_CHECK_MS);
    }
    throw new Error(
      `the relay does not answer /health within ${READY_TIMEOUT_MS / 1e3} s: try fewer --workers`,
    );
  }
}
