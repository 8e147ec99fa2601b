// How many files the operating system lets this process have open; each connection takes one.
import { readFileSync } from "node:fs";

/** The default of macOS, taken where the limit cannot be found out. */
const OPEN_FILES_DEFAULT = 10_240;

export function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(
      readFileSync("/proc/self/limits", "utf8"),
    );
    if (line?.[1] === "unlimited") return 2 ** 31 - 1;
    if (line?.[1] !== undefined) return Number(line[1]);
  } catch {
    // Not Linux: the shell knows the limit, since it inherits it from this process.
    const answer = Number(Bun.spawnSync(["sh", "-c", "ulimit -n"]).stdout.toString().trim());
    if (Number.isSafeInteger(answer) && answer > 0) return answer;
  }
  return OPEN_FILES_DEFAULT;
}
