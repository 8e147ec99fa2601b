// What the supervisor takes of its machine, for the console: it has no connections, so no node counts it.
import type { SupervisorUsage } from "../console/node-figures";

export class Usage {
  readonly #machine: string;
  #cpuUs = cpuUs();
  #readAt = performance.now();

  constructor(machine: string) {
    this.#machine = machine;
  }

  /** What this process has taken since the last call. */
  read(): SupervisorUsage {
    const now = performance.now();
    const used = cpuUs();
    // Us of CPU in ms: a tenth of the percentage.
    const cpuPercent = (used - this.#cpuUs) / Math.max(1, now - this.#readAt) / 10;
    this.#cpuUs = used;
    this.#readAt = now;
    return { machine: this.#machine, cpuPercent, memoryBytes: process.memoryUsage.rss() };
  }
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
