// How many files the operating system lets this process hold open; each connection is one.
import { readFileSync } from "node:fs";

/** How many files this process may open; 10,240 (the default of macOS) where nobody tells. */
export function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(
      readFileSync("/proc/self/limits", "utf8"),
    );
    if (line?.[1] === "unlimited") return 2 ** 31 - 1;
    if (line?.[1] !== undefined) return Number(line[1]);
  } catch {
    // Not Linux: ask the shell, which inherits our limit.
    const asked = Number(Bun.spawnSync(["sh", "-c", "ulimit -n"]).stdout.toString().trim());
    if (Number.isSafeInteger(asked) && asked > 0) return asked;
  }
  return 10_240;
}
