// What the operating system tells of processes: how long they waited for a core, and which others a supervisor has started.
// Linux; elsewhere nothing is known of any.
import { readdirSync, readFileSync } from "node:fs";

/**
 * How much time a process has had: this stands still while its main thread could run but has no core to run on, so that one that
 * waits for its turn is told from one that is stuck. Where the system does not tell, it is the time that has passed. Source: the
 * kernel's documentation of /proc/<pid>/schedstat: time on a core, and time waiting for one before that, in ns.
 */
export class ProcessClock {
  readonly #pid: number;
  #readAt = performance.now();
  #ranMs = 0;
  #waitedMs = 0;
  #time = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** In ms since this clock was made. To be asked about once a second: only what is so in that moment is seen. */
  now(): number {
    const readAt = performance.now();
    const [ranMs = 0, waitedMs = 0] = read(this.#pid, "schedstat")
      .split(" ")
      .map((ns) => Number(ns) / 1e6);
    const passed = readAt - this.#readAt;
    const stat = read(this.#pid, "stat");
    // Its name stands in parentheses and may have any characters. A wait that has not ended is not counted by the system.
    const isWaiting = stat[stat.lastIndexOf(")") + 2] === "R";
    const waits = isWaiting ? passed - (ranMs - this.#ranMs) : 0;
    this.#time += Math.max(0, passed - Math.max(0, waits, waitedMs - this.#waitedMs));
    this.#readAt = readAt;
    this.#ranMs = ranMs;
    this.#waitedMs = waitedMs;
    return this.#time;
  }
}

/**
 * Kills the processes that were started with this argument, a name that nobody else has, but this one: the other workers of
 * a supervisor that has died. They end by themselves, but one that is stuck cannot, and would keep the port.
 */
export function killSiblings(name: string): void {
  for (const pid of all()) {
    if (pid === process.pid || !read(pid, "cmdline").split("\0").includes(name)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

function all(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function read(pid: number, what: string): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, "utf8");
  } catch {
    return "";
  }
}
