// How much time a process has had, as the operating system accounts for it: so a worker that waits for a core is told from
// one that is stuck. Only Linux says so; elsewhere this is the time that has passed.
import { procFile } from "./proc";

/**
 * A clock that stands still while the main thread of a process is ready to run but has no core to run on. Source: the kernel's
 * documentation of /proc/<pid>/schedstat: time on a core, and time spent waiting for one, in ns.
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

  /** In ms since this clock was made. To be read about once a second, as a wait that goes on is seen only while it does. */
  now(): number {
    const readAt = performance.now();
    const [ranMs = 0, waitedMs = 0] = procFile(this.#pid, "schedstat")
      .split(" ")
      .map((ns) => Number(ns) / 1e6);
    const passed = readAt - this.#readAt;
    const stat = procFile(this.#pid, "stat");
    // The state follows the process's name, which stands in parentheses and may contain any characters. "R": it runs or waits
    // for a core. The kernel counts a wait only when it has ended, so one that goes on is what is left of the time that passed.
    const isRunnable = stat[stat.lastIndexOf(")") + 2] === "R";
    const waits = isRunnable ? passed - (ranMs - this.#ranMs) : 0;
    this.#time += Math.max(0, passed - Math.max(0, waits, waitedMs - this.#waitedMs));
    this.#readAt = readAt;
    this.#ranMs = ranMs;
    this.#waitedMs = waitedMs;
    return this.#time;
  }
}
