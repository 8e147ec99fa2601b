// The relay of the scale run: one Baton with many workers, at a port of its own.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { readPssBytes } from "../measure/usage";
import { startChild } from "../run/child-processes";
import { PUBLISH_ROUTE, TOPIC } from "../targets/target";

/** The relay's log. */
export const LOG = join(import.meta.dir, "../results/scale.log");

const PORT = 31_999;
const READY_TIMEOUT_MS = 180_000;
const READY_CHECK_MS = 100;
const PUBLISH_TRIES_MAX = 20;
const PUBLISH_RETRY_MS = 1_000;

export class ScaleRelay {
  readonly port = PORT;
  /** Publishes that had to be repeated. */
  retried = 0;
  readonly #process: Subprocess;

  private constructor(process: Subprocess) {
    this.#process = process;
  }

  /** Starts the relay and waits until it answers. On a restart its workers close their connections over `shutdownMs`. */
  static async start(workers: number, shutdownMs: number): Promise<ScaleRelay> {
    await Bun.write(LOG, "");
    const child = startChild(["bun", join(import.meta.dir, "../../src/main.ts")], {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: String(PORT),
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
      stdout: Bun.file(LOG),
      stderr: "inherit",
    });
    const relay = new ScaleRelay(child);
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
      const url = `http://127.0.0.1:${PORT}/publish`;
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
      const answer = await fetch(`http://127.0.0.1:${PORT}/health`).catch(() => undefined);
      if (answer?.ok === true) return;
      // Throws if the relay has ended.
      process.kill(this.#process.pid, 0);
      await Bun.sleep(READY_CHECK_MS);
    }
    throw new Error("the relay does not start");
  }
}
