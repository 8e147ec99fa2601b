// What the operating system says a server process and its children used: CPU time and memory.
// Linux only: everything comes from /proc, nothing from the server itself.
import { readdirSync, readFileSync } from "node:fs";

/** /proc/<pid>/stat counts in ticks of 1/100 s (USER_HZ, the same on every Linux). */
const TICK_US = 10_000;

export interface CpuReading {
  /** Nanoseconds on a CPU of each thread, by thread id: exact, but gone when a thread ends. */
  readonly threads: ReadonlyMap<string, number>;
  /** Microseconds of the whole processes in steps of 10 ms, ended threads included. */
  readonly ticksUs: number;
}

export interface Memory {
  readonly rssBytes: number;
  readonly pssBytes: number;
}

function familyOf(pid: number): number[] {
  const family = [pid];
  for (const member of family) {
    for (const task of readdirSync(`/proc/${member}/task`)) {
      const children = readFileSync(`/proc/${member}/task/${task}/children`, "utf8").trim();
      if (children !== "") family.push(...children.split(" ").map(Number));
    }
  }
  return family;
}

/** The CPU time so far of a process and its children. Throws if the process has ended. */
export function readCpu(pid: number): CpuReading {
  const threads = new Map<string, number>();
  let ticksUs = 0;
  for (const member of familyOf(pid)) {
    for (const task of readdirSync(`/proc/${member}/task`)) {
      try {
        const text = readFileSync(`/proc/${member}/task/${task}/schedstat`, "utf8");
        threads.set(task, Number(text.split(" ")[0]));
      } catch {
        // The thread ended between the two calls.
      }
    }
    // The second field is the command in parentheses and may hold spaces; the others follow it.
    const stat = readFileSync(`/proc/${member}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticksUs += (Number(fields[11]) + Number(fields[12])) * TICK_US;
  }
  return { threads, ticksUs };
}

/** CPU microseconds between two readings; in steps of 10 ms only if a thread ended meanwhile. */
export function cpuUsBetween(before: CpuReading, after: CpuReading): number {
  let sum = 0;
  for (const [task, nanoseconds] of before.threads) {
    const later = after.threads.get(task);
    if (later === undefined) return after.ticksUs - before.ticksUs;
    sum += later - nanoseconds;
  }
  for (const [task, nanoseconds] of after.threads) {
    if (!before.threads.has(task)) sum += nanoseconds;
  }
  return sum / 1e3;
}

/** Resident memory of a process and its children: RSS, and PSS (shared pages counted by share). */
export function readMemory(pid: number): Memory {
  let rssBytes = 0;
  let pssBytes = 0;
  for (const member of familyOf(pid)) {
    const text = readFileSync(`/proc/${member}/smaps_rollup`, "utf8");
    rssBytes += kibibytes(text, "Rss") * 1024;
    pssBytes += kibibytes(text, "Pss") * 1024;
  }
  return { rssBytes, pssBytes };
}

/** Open files of a process, then of each of its children. */
export function openFilesOf(pid: number): number[] {
  return familyOf(pid).map((member) => readdirSync(`/proc/${member}/fd`).length);
}

function kibibytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}: +(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}
