// The other workers of a supervisor that has died. They end by themselves, but one that is stuck or stopped cannot, and
// would keep the port.
import { readdirSync, readFileSync } from "node:fs";

/**
 * Kills the processes that were started with this argument, a name that nobody else has; this one excepted. Linux; does
 * nothing elsewhere.
 */
export function killSiblings(name: string): void {
  for (const pid of processes()) {
    if (pid === process.pid || !argumentsOf(pid).includes(name)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

function processes(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
