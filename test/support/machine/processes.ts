// What Linux says about processes, in /proc.
import { readdirSync, readFileSync } from "node:fs";

/** Resident memory in KB (1,024 bytes). */
export function memoryKb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** The most that it ever was. */
export function peakMemoryKb(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** How many file descriptors the process has open. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** CPU time that the process has used so far, in ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The processes that this one has started: the workers, when it is a supervisor. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await Bun.file(`/proc/${pid}/task/${pid}/children`).text();
  return text.trim().split(" ").filter(Boolean).map(Number);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** How many sockets listen on this port: one for each worker that serves. */
export function listenersOn(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n");
  return lines.filter((line) => new RegExp(`^ *\\d+: \\w+:${hex} \\w+:0000 0A `).test(line)).length;
}

const SAMPLE_MS = 50;

/** Samples the memory of a process several times a second until it is disposed of. */
export class MemorySampler implements Disposable {
  readonly #pid: number;
  readonly #timer: Timer;
  readonly beforeKb: number;
  #peakKb: number;

  constructor(pid: number) {
    this.#pid = pid;
    this.beforeKb = memoryKb(pid);
    this.#peakKb = this.beforeKb;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** The most by which it has grown since the sampler was made. */
  get growthKb(): number {
    this.#sample();
    return this.#peakKb - this.beforeKb;
  }

  #sample(): void {
    this.#peakKb = Math.max(this.#peakKb, memoryKb(this.#pid));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
