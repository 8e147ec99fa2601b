// The process: reads the settings, runs a node, or a supervisor with its workers, and ends. The only process.exit.
import { availableParallelism, getPriority, setPriority } from "node:os";
import { createLog, type Log, sanitized } from "./log";
import { EngineFailure, start } from "./node";
import { warnings } from "./settings/checks";
import type { Settings } from "./settings/definitions";
import { SettingError } from "./settings/kinds";
import { readSettings } from "./settings/read";
import { holdPort } from "./workers/port";
import { killSiblings, ProcessClock } from "./workers/process-clock";
import { Supervisor } from "./workers/supervisor";
import { work } from "./workers/worker";
import { type WorkerEvents, WorkerFailure, type WorkerProcess } from "./workers/worker-handle";

/**
 * Ctrl-C reaches a process twice when `bun run` started it: from the terminal, and forwarded by `bun run`.
 * On a terminal, signals this close together are one.
 */
const SAME_KEY_MS = 100;

/** How long a worker gives its siblings to end by themselves when their supervisor has died. */
const SIBLINGS_MS = 500;

/**
 * How much less of a core each of many workers gets than their supervisor: a thirtieth (nice, POSIX); with a third, a supervisor
 * of 126 on two cores got 3% of one, and answered none in time. Many are more than so many for each core; of fewer,
 * whatever else runs would interrupt each amid its sends, which cost a fifth more then.
 */
const BEHIND = 15;
const MANY = 4;

/**
 * How often the allocator (mimalloc) of a worker looks for memory to give back, in ms: as often as Bun has it, that took half
 * a percent of a core for each worker under load.
 */
const PURGE_MS = "10000";

/** The argument that makes this program a worker of the process that started it. */
const WORKER = "worker";

/** One line, where the user looks for it, and the exit code of a start that failed. */
function fail(line: string): never {
  process.stderr.write(`baton: ${line.replaceAll("\n", " ")}\n`);
  process.exit(1);
}

function startFailure(error: unknown, settings: Settings): string {
  if (error instanceof EngineFailure) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  const address = `${settings.host}:${settings.port}`;
  if (code === "EADDRINUSE") {
    return `${address} is in use, perhaps by another Baton. Stop it, or set PORT to another port.`;
  }
  if (code === "EACCES") return `${address} is not allowed to this user. Set PORT to 1024 or more.`;
  return `cannot start at ${address}: ${error instanceof Error ? error.message : String(error)}`;
}

/** What the process runs, and how it ends. */
interface Service {
  readonly url: string;
  shutdown(): Promise<void>;
}

function onSignals({ shutdown }: Service, settings: Settings, log: Log): void {
  let first: number | undefined;
  const onSignal = (signal: string): void => {
    const now = performance.now();
    if (first !== undefined) {
      if (process.stdin.isTTY && now - first < SAME_KEY_MS) return;
      process.exit(1);
    }
    first = now;
    log.info(
      `${signal}: shutting down, connections are closed over ${settings.shutdownMs} ms. A second signal ends at once.`,
    );
    shutdown().then(
      () => {
        log.info("shut down");
        process.exit(0);
      },
      (error: unknown) => {
        log.fatal({ err: error }, "the shutdown failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}

/** Starts workers; SIGHUP replaces them. */
async function supervise(settings: Settings, log: Log): Promise<Service> {
  const port = await holdPort(settings);
  const machine = crypto.randomUUID();
  const spawn = (events: WorkerEvents): WorkerProcess => {
    const child = Bun.spawn([process.execPath, import.meta.path, WORKER, machine], {
      env: {
        MIMALLOC_PURGE_HOLES_MIN_INTERVAL: PURGE_MS,
        ...process.env,
        PORT: String(port.number),
      },
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (text) => events.text(String(text)),
      onExit: (_, code) => events.exited(code),
    });
    // They all wait for the supervisor, which therefore goes first where cores are scarce.
    const isOneOfMany = settings.workers > MANY * availableParallelism();
    if (isOneOfMany) setPriority(child.pid, Math.min(19, getPriority() + BEHIND));
    const clock = new ProcessClock(child.pid);
    return {
      send: (text) => void child.send(text),
      kill: (signal) => child.kill(signal),
      time: () => clock.now(),
    };
  };
  const supervisor = new Supervisor({ settings, log, spawn });
  supervisor.failed.catch((error: Error) => fail(error.message));
  const url = await supervisor.start();
  port.leave();
  process.on("SIGHUP", () => {
    log.info("SIGHUP: replacing the workers");
    supervisor.replace().then(
      () => log.info("all workers are replaced"),
      (error: unknown) => log.error({ err: error }, "replacing the workers failed"),
    );
  });
  return { url, shutdown: () => supervisor.shutdown() };
}

/** Ends when the supervisor says so, or has gone; signals are its business, as those of a terminal reach all. */
async function workerMain(settings: Settings, log: Log): Promise<never> {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  const supervisor = {
    send: (text: string) => void process.send?.(text),
    onText: (hear: (text: string) => void) => process.on("message", (text) => hear(String(text))),
    onLost: (gone: () => void) => process.on("disconnect", gone),
  };
  const machine = process.argv[3];
  const end = await work(settings, log.child({ worker: process.pid }), supervisor, machine);
  if (end === "orphaned" && machine !== undefined) {
    await Bun.sleep(SIBLINGS_MS);
    killSiblings(machine);
  }
  process.exit(0);
}

async function main(): Promise<void> {
  let settings: Settings;
  try {
    settings = readSettings(process.env);
  } catch (error) {
    if (error instanceof SettingError) return fail(error.message);
    throw error;
  }
  const log = createLog(settings.logLevel);
  // A fault in one place must not end the service of all: log it and go on.
  process.on("uncaughtException", (error) => log.error({ err: error }, "uncaught exception"));
  process.on("unhandledRejection", (error) => log.error({ err: error }, "unhandled rejection"));

  const failed = (error: unknown): never => {
    if (error instanceof WorkerFailure && error.code === 1) process.exit(1);
    return fail(startFailure(error, settings));
  };
  if (process.argv[2] === WORKER) return workerMain(settings, log).catch(failed);
  const run = settings.workers > 1 ? supervise : start;
  const service: Service = await run(settings, log).catch(failed);
  onSignals(service, settings, log);
  for (const variable of settings.unknownVariables) {
    log.warn(
      { variable: sanitized(variable) },
      "this variable is no setting of Baton; see the README",
    );
  }
  for (const warning of warnings(settings)) log.warn(warning);
  const { url } = service;
  log.info(
    `Baton listens on ${url}. Try: curl ${url}/register -H 'content-type: application/json' -d '{"user_id":1}', connect to the url it gives, and see ${url}/openapi for the rest.`,
  );
}

if (import.meta.main) await main();
