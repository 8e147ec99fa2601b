// What the kernel says of processes, in files of /proc. Linux only.
import { readFileSync } from "node:fs";

/** "" where there is no such process, or the system does not say it. */
export function procFile(pid: number, name: "cmdline" | "schedstat" | "stat"): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}
