// The CPU time, memory and open files of a server process and its children, as the operating system counts them.
// Linux only: everything comes from /proc, nothing from the server itself.
import { readdirSync, readFileSync } from "node:fs";

/** /proc/<pid>/stat counts in ticks of 1/100 s (USER_HZ, the same on every Linux). */
const TICK_US = 10_000;

interface CpuTimes {
  /** Nanoseconds that each thread was on a CPU, by thread id: exact, but lost when a thread ends. */
  readonly threads: ReadonlyMap<string, number>;
  /** Microseconds of the whole processes in steps of 10 ms; threads that have ended are included. */
  readonly ticksUs: number;
}

/** The ids of a process and of all its descendants. */
function processTree(pid: number): number[] {
  const pids = [pid];
  for (const each of pids) {
    for (const task of tasksOf(each)) {
      const children = textOf(`/proc/${each}/task/${task}/children`).trim();
      if (children !== "") pids.push(...children.split(" ").map(Number));
    }
  }
  return pids;
}

/** The threads of a process; none when it has ended. */
function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** What a file of /proc says; nothing when its thread or process has ended since it was listed. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The CPU time so far of a process and its children. */
export function readCpu(pid: number): CpuTimes {
  const threads = new Map<string, number>();
  let ticksUs = 0;
  for (const each of processTree(pid)) {
    for (const task of tasksOf(each)) {
      const text = textOf(`/proc/${each}/task/${task}/schedstat`);
      if (text !== "") threads.set(task, Number(text.split(" ")[0]));
    }
    const stat = textOf(`/proc/${each}/stat`);
    if (stat === "") continue;
    // The second field is the command in parentheses and may contain spaces; the others follow it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticksUs += (Number(fields[11]) + Number(fields[12])) * TICK_US;
  }
  return { threads, ticksUs };
}

/** CPU microseconds between two readings; in steps of 10 ms only if a thread ended in between. */
export function cpuUsBetween(before: CpuTimes, after: CpuTimes): number {
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

/** The resident memory (RSS) of a process and its children, in bytes. */
export function readRssBytes(pid: number): number {
  return processTree(pid).reduce((sum, each) => sum + smapsBytes(each, "Rss"), 0);
}

/** The memory of a process and its children, in bytes; a page that several processes share is split among them (PSS). */
export function readPssBytes(pid: number): number {
  return processTree(pid).reduce((sum, each) => sum + smapsBytes(each, "Pss"), 0);
}

/** The number of open files of a process, then of each of its children. */
export function openFilesOf(pid: number): number[] {
  return processTree(pid).map(filesOf);
}

function filesOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

function smapsBytes(pid: number, field: string): number {
  const text = textOf(`/proc/${pid}/smaps_rollup`);
  return Number(new RegExp(`^${field}: +(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
}
