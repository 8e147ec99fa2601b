// What the operating system says a process holds in memory.
import { readFileSync } from "node:fs";

/** Resident memory in KB (1,024 bytes). Linux. */
export function memoryKb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}
