// The limit of open files, which bounds how many connections a process can have.
import { readFileSync } from "node:fs";

/** How many files a process of Bun may have open: it raises its own limit to the hard one. Infinity where /proc does not say. */
export function openFilesMax(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, hard = "Infinity"] = /^Max open files +\S+ +(\d+)/m.exec(limits) ?? [];
    return Number(hard);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
