// Worker processes: how a supervisor starts one, how the two reach each other, and how workers that have lost their supervisor
// kill those of them that are stuck. What they say to each other is not known here; it is text.
import { readdirSync } from "node:fs";
import { availableParallelism, getPriority, setPriority } from "node:os";
import { procFile } from "./system/proc";
import { ProcessClock } from "./system/process-clock";

/** The first argument of a worker process, which WorkerArguments follow. */
const WORKER_ARGUMENT = "worker";

export interface WorkerArguments {
  /** A name for all processes of this supervisor, which no other has. */
  readonly machine: string;
  /** Whether the worker is one of those with which the relay starts, or joins others that serve. */
  readonly start: "first" | "later";
  /** What guards the relay (guardsOf): a worker reads the settings for itself, and must not serve without what the others have. */
  readonly guards: string;
}

/** Undefined where this process is not a worker. */
export function workerArguments([worker, machine = "", start, guards = ""]: readonly string[]):
  | WorkerArguments
  | undefined {
  if (worker !== WORKER_ARGUMENT) return undefined;
  return { machine, start: start === "first" ? "first" : "later", guards };
}

/**
 * Where there are more workers than this for each core, they run at a lower priority than their supervisor, since all of them
 * wait for it. With fewer, whatever else runs on the machine would interrupt a worker in the middle of its sends, which made
 * them a fifth dearer.
 */
const NICED_ABOVE_PER_CORE = 4;

/**
 * How much is added to the niceness of each of many workers (POSIX nice): a worker then gets a thirtieth of what its supervisor
 * gets of a core. At a third, a supervisor of 126 workers on two cores got 3% of one, and answered no worker in time.
 */
const NICENESS = 15;
const NICENESS_MAX = 19;

/**
 * How often a worker's allocator (mimalloc) looks for memory that it can return to the system. Bun's own interval cost half
 * a percent of a core for each worker under load.
 */
const PURGE_INTERVAL_MS = "10000";

/** How a process at the other end is reached. */
export interface WorkerEvents {
  /** It has sent a text. */
  text(text: string): void;
  exited(code: number | null): void;
}

/** A worker process, as its supervisor reaches it. */
export interface WorkerProcess {
  send(text: string): void;
  kill(signal: "SIGKILL"): void;
  /** How much time it has had since its start, in ms, leaving out the time in which it waited for a core. */
  time(): number;
}

export interface SpawnOptions extends WorkerArguments {
  /** The program that is run as a worker, without WORKER_ARGUMENT. */
  readonly program: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The port that the workers share. */
  readonly port: number;
  /** How many workers there are in all. */
  readonly workers: number;
}

export function spawnWorker(
  { program, env, port, machine, start, guards, workers }: SpawnOptions,
  events: WorkerEvents,
): WorkerProcess {
  const child = Bun.spawn([...program, WORKER_ARGUMENT, machine, start, guards], {
    env: { MIMALLOC_PURGE_HOLES_MIN_INTERVAL: PURGE_INTERVAL_MS, ...env, PORT: String(port) },
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (text) => events.text(String(text)),
    onExit: (_, code) => events.exited(code),
  });
  if (workers > NICED_ABOVE_PER_CORE * availableParallelism()) {
    setPriority(child.pid, Math.min(NICENESS_MAX, getPriority() + NICENESS));
  }
  const clock = new ProcessClock(child.pid);
  return {
    send: (text) => void child.send(text),
    kill: (signal) => child.kill(signal),
    time: () => clock.now(),
  };
}

/** The supervisor, as its worker reaches it. */
export interface ParentProcess {
  send(text: string): void;
  onText(receive: (text: string) => void): void;
  onExit(exited: () => void): void;
}

/** The process that has started this one with `spawnWorker`: Bun gives its child the IPC of node:child_process. */
export function parentProcess(): ParentProcess {
  return {
    send: (text) => void process.send?.(text),
    onText: (receive) => void process.on("message", (text) => receive(String(text))),
    onExit: (exited) => void process.on("disconnect", exited),
  };
}

/**
 * Kills all processes that have this argument except this one: the other workers of a supervisor that has died. Each ends by
 * itself, but one that is stuck cannot, and would keep the port. Linux only.
 */
export function killSiblings(machine: string): void {
  for (const pid of processIds()) {
    if (pid === process.pid || !procFile(pid, "cmdline").split("\0").includes(machine)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

function processIds(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}
