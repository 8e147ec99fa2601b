// The process: reads the settings, decides whether this is a node, a supervisor or a worker, passes signals on, and ends.
// Nothing else reads the environment or ends the process.
import { closeSync, openSync } from "node:fs";
import { createProcessLog, type Log, throttledLog } from "./log";
import { MetricsFailure } from "./metrics/listener";
import { start } from "./node";
import { EngineFailure } from "./node/engine";
import { sanitized } from "./relay/text/visible";
import { warnings } from "./settings/checks";
import type { Settings } from "./settings/definitions";
import { closest } from "./settings/files/closest";
import { SettingError } from "./settings/kinds";
import { readSettings, VARIABLES } from "./settings/read";
import { guardsOf, inTurn } from "./settings/reloads";
import {
  killSiblings,
  parentProcess,
  type WorkerArguments,
  workerArguments,
} from "./workers/spawn";
import { Supervisor } from "./workers/supervisor";
import { watchRunner } from "./workers/system/script-runner";
import { Systemd } from "./workers/system/systemd";
import { runWorker } from "./workers/worker";
import { WorkerFailure } from "./workers/worker-handle";

/**
 * On a terminal, Ctrl-C reaches a process that `bun run` has started twice: from the terminal, and forwarded by `bun run`.
 * Two signals within this time are then one.
 */
const SAME_KEY_MS = 100;

/** How long a worker whose supervisor has died waits for the other workers to end before it kills them. */
const SIBLINGS_MS = 500;

/** Ends a start that has failed, with one line where the user looks for it, and with exit code 1. */
function fail(line: string): never {
  process.stderr.write(`baton: ${line.replaceAll("\n", " ")}\n`);
  process.exit(1);
}

function startFailure(error: unknown, settings: Settings): string {
  if (error instanceof EngineFailure || error instanceof MetricsFailure) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  const address = `${settings.host}:${settings.port}`;
  if (code === "EADDRINUSE") {
    return `${address} is in use, perhaps by another Baton. Stop it, or set PORT to another port.`;
  }
  if (code === "EACCES") {
    return `${address} needs rights that this user does not have. Set PORT to 1024 or more.`;
  }
  return `The relay cannot start at ${address}: ${error instanceof Error ? error.message : String(error)}`;
}

/** What this process runs, unless it is a worker. */
interface Service {
  readonly url: string;
  /** Says that it is not ready, and goes on serving. */
  announceShutdown(): Promise<void> | void;
  shutdown(): Promise<void>;
}

/** No process of the relay refuses anything while another one still says that it is ready. */
async function shutDown(service: Service, { shutdownDelayMs }: Settings): Promise<void> {
  await service.announceShutdown();
  await Bun.sleep(shutdownDelayMs);
  await service.shutdown();
}

/** Who is told what the process does. */
interface Observers {
  readonly log: Log;
  readonly systemd: Systemd;
}

function shutDownOnSignals(
  service: Service,
  settings: Settings,
  { log, systemd }: Observers,
): void {
  let firstAt: number | undefined;
  const onSignal = (signal: string): void => {
    const now = performance.now();
    if (firstAt !== undefined) {
      if (process.stdin.isTTY && now - firstAt < SAME_KEY_MS) return;
      process.exit(1);
    }
    firstAt = now;
    const { shutdownDelayMs, shutdownMs } = settings;
    systemd.stopping(shutdownDelayMs + shutdownMs);
    const delay = shutdownDelayMs > 0 ? `still serves for ${shutdownDelayMs} ms, then ` : "";
    log.info(
      `${signal}: the relay is shutting down: it ${delay}closes its connections over ${shutdownMs} ms. A second signal ends it at once.`,
    );
    shutDown(service, settings).then(
      () => {
        log.info("the relay has shut down");
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
  watchRunner(() => {
    if (firstAt === undefined) onSignal("the program that ran this script has died");
  });
}

/**
 * Calls this with the settings, read again, after each SIGHUP: when all has started and the last call has settled. An error is logged,
 * and so are settings that cannot be used.
 */
function reloadOnHangup(
  started: Promise<unknown>,
  { log, systemd }: Observers,
  reload: (settings: Settings) => Promise<void>,
  failure: string,
): void {
  const failed = (error: Error) => {
    const fields = error instanceof SettingError ? {} : { err: error };
    log.error(fields, `SIGHUP: ${failure}: ${error.message}`);
  };
  const reloadNext = inTurn(started, async () => {
    await systemd.reloading();
    try {
      const settings = readSettings(process.env);
      await reload(settings);
      for (const warning of warnings(settings)) log.warn(warning);
    } catch (error) {
      failed(error as Error);
    }
    await systemd.reloaded();
  });
  const hadTerminal = process.stdin.isTTY;
  process.on("SIGHUP", () => {
    // The kernel sends the same signal when the terminal is closed, and nobody would be left who could stop the relay with Ctrl-C.
    if (hadTerminal && !hasTerminal()) {
      process.kill(process.pid, "SIGTERM");
      return;
    }
    reloadNext();
  });
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}

/** Starts a node. SIGHUP has it take new settings, without an effect on its connections. */
async function startNode(settings: Settings, observers: Observers): Promise<Service> {
  const { log } = observers;
  const started = start(settings, log);
  const reload = async (next: Settings) => {
    for (const variable of await (await started).reloads.take(next)) {
      log.warn(`${variable} has changed, which only a restart takes up`);
    }
    log.info("SIGHUP: keys, topics, sources and the certificate have been read again");
  };
  reloadOnHangup(
    started,
    observers,
    reload,
    "nothing has changed, since what was read cannot be used",
  );
  return started;
}

/** Starts a supervisor and its workers. SIGHUP replaces the workers. */
async function startSupervisor(settings: Settings, observers: Observers): Promise<Service> {
  const { log } = observers;
  // The binary is its own runtime: it takes all arguments as its own, and has no file to be named.
  const program = Bun.isStandaloneExecutable
    ? [process.execPath]
    : [process.execPath, ...process.execArgv, import.meta.path];
  const supervisor = await Supervisor.make({ settings, log, program, env: process.env });
  supervisor.failed.catch((error: Error) => fail(error.message));
  const started = supervisor.start();
  const replace = async (next: Settings) => {
    log.info("SIGHUP: the workers are being replaced");
    await supervisor.replace(next);
    log.info("all workers have been replaced");
  };
  reloadOnHangup(started, observers, replace, "the workers could not be replaced");
  return {
    url: await started,
    announceShutdown: () => supervisor.announceShutdown(),
    shutdown: () => supervisor.shutdown(),
  };
}

/** Runs a worker until its supervisor ends it or dies. Signals are ignored: those of a terminal reach the supervisor too. */
async function workerMain(settings: Settings, log: Log, worker: WorkerArguments): Promise<never> {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  const workerLog = log.child({ worker: process.pid });
  const end = await runWorker(settings, workerLog, parentProcess(), worker);
  if (end === "orphaned") {
    await Bun.sleep(SIBLINGS_MS);
    killSiblings(worker.machine);
  }
  process.exit(0);
}

/** Runs until a signal, or a supervisor, ends it. */
export async function main(): Promise<void> {
  let settings: Settings;
  try {
    settings = readSettings(process.env);
  } catch (error) {
    if (error instanceof SettingError) return fail(error.message);
    throw error;
  }
  const log = await createProcessLog(settings.logLevel);
  // A fault in one place must not end the service for everyone, so it is logged and the relay goes on.
  process.on("uncaughtException", (error) =>
    log.error({ err: error }, "an exception was not caught"),
  );
  process.on("unhandledRejection", (error) =>
    log.error({ err: error }, "a rejection was not handled"),
  );

  const failed = (error: unknown): never => {
    if (error instanceof WorkerFailure && error.code === 1) process.exit(1);
    return fail(startFailure(error, settings));
  };
  const worker = workerArguments(process.argv.slice(2));
  if (worker !== undefined && worker.guards !== guardsOf(settings)) {
    return fail(
      "A worker must not start: the relay was started with other guards (keys, TLS, tokens, apps), or as another version of Baton. Restart it.",
    );
  }
  if (worker !== undefined) return workerMain(settings, log, worker).catch(failed);
  const run = settings.workers > 1 ? startSupervisor : startNode;
  const logFailure = throttledLog(log, "systemd could not be told what the relay does");
  const observers = {
    log,
    systemd: new Systemd({ env: process.env, onFailure: logFailure }),
  };
  const service: Service = await run(settings, observers).catch(failed);
  shutDownOnSignals(service, settings, observers);
  observers.systemd.started(`Baton listens on ${service.url}`);
  for (const variable of settings.unknownVariables) {
    log.warn(
      { variable: sanitized(variable) },
      `this environment variable is not a setting of Baton; perhaps ${closest(variable, [...VARIABLES])} is meant`,
    );
  }
  for (const warning of warnings(settings)) log.warn(warning);
  const { url } = service;
  const key = settings.apiKeys.length > 0 ? " -H 'X-API-Key: <your key>'" : "";
  log.info(
    `Baton listens on ${url}. Try: curl ${url}/register${key} -H 'content-type: application/json' -d '{"user_id":1}', connect to the url it gives, and see ${url}/openapi for the rest.`,
  );
}

if (import.meta.main) await main();
