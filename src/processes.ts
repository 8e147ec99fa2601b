// What the operating system tells of processes: which are stopped, and which others a supervisor has started. Linux; elsewhere
// nothing is known of any.
import { readdirSync, readFileSync } from "node:fs";

/** Whether a process is stopped, by SIGSTOP or a debugger, so that it will not answer however long it is waited for. */
export function isStopped(pid: number): boolean {
  const stat = read(pid, "stat");
  // Its name stands in parentheses and may have any characters.
  return /^[Tt]/.test(stat.slice(stat.lastIndexOf(")") + 2));
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
