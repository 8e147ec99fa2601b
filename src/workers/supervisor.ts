// The supervisor: starts the workers that share the port, has the engine that they share, starts a new worker where one dies,
// and replaces all of them on request. It takes no connection itself.
import { availableParallelism } from "node:os";
import type { Log } from "../log";
import { metricsOptions, ProcessMetrics } from "../metrics/process-metrics";
import { sharedEngine, startEngine, topicRulesOf } from "../node/engine";
import type { LocalEngine } from "../relay/contracts/engine";
import type { TopicRules } from "../relay/contracts/topic-rules";
import { SETTINGS, type Settings, type SettingValues } from "../settings/definitions";
import { SettingError } from "../settings/kinds";
import { changedSettings, checkGuards, guardsOf } from "../settings/reloads";
import { EngineServer } from "./engine-server";
import { SILENCE_MS } from "./messages";
import { reservePort } from "./port";
import { type SpawnOptions, spawnWorker } from "./spawn";
import { Usage } from "./usage";
import { WorkerHandle } from "./worker-handle";
import { WorkerMetrics } from "./worker-metrics";

/** How often each worker is sent the engine's state and a ping, and checked for a sign of life. */
const TICK_MS = 1_000;

/** A worker that dies within this time of its start has crashed early, and another one starts only after a pause. */
const EARLY_EXIT_MS = 10_000;

/** The pause before a restart, doubled for each early crash in a row up to the longest one. */
const RESTART_PAUSE_MS = 50;
const RESTART_PAUSE_MAX_MS = 5_000;

/** When more than this many workers in a row have crashed early, and no worker is ready, the relay ends. */
const CRASHES_MAX = 20;

/**
 * How long after each other old workers stop listening. A client that is refused by one, since it waited at a port that
 * was being closed, has tried again before the next one closes its own.
 */
const STAGGER_MS = 100;

/** How long beyond the shutdown window a worker may take to end. */
const END_MARGIN_MS = 5_000;

/** What the supervisor and its engine do not read again. Workers that differ from it in that would not be of this relay. */
const OF_SUPERVISOR: ReadonlySet<keyof SettingValues> = new Set([
  "host",
  "port",
  "workers",
  "engine",
  "redisPrefix",
  "metricsListen",
  "historyBytes",
  "storeBytes",
  "idempotencyMs",
  "idempotencyMax",
  "registrationTtlMs",
  "registrationsMax",
  "userConnectionsMax",
  "connectionsMax",
  "shutdownMs",
  "logLevel",
]);

interface SupervisorOptions {
  readonly settings: Settings;
  readonly log: Log;
  /** The program that is run as a worker, and its environment. */
  readonly program: SpawnOptions["program"];
  readonly env: SpawnOptions["env"];
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  /** Undefined where each worker has an engine of its own. */
  readonly #engine: LocalEngine | undefined;
  readonly #engineServer: EngineServer | undefined;
  /** Those of the engine. */
  readonly #rules: TopicRules;
  readonly #machine = crypto.randomUUID();
  readonly #usage = new Usage(this.#machine);
  /** All processes that have not exited. */
  readonly #workers = new Set<WorkerHandle>();
  /** Those of them that are to replace others, and do not count before all of them are ready. */
  readonly #candidates = new Set<WorkerHandle>();
  readonly #metrics: ProcessMetrics;
  readonly #workerMetrics = new WorkerMetrics(() => this.#metrics.report(), this.#workers);
  #port = 0;
  #lastName = 0;
  /** How many workers in a row have crashed early, and when the last one died. */
  #crashes = 0;
  #diedAt = 0;
  #ticking: ReturnType<typeof setInterval> | undefined;
  #tickedAt = performance.now();
  #phase: "starting" | "running" | "ending" = "starting";
  readonly #failed = Promise.withResolvers<never>();

  /** Loads and makes the engine, which `start` starts. */
  static async make(options: SupervisorOptions): Promise<Supervisor> {
    const rules = topicRulesOf(options.settings);
    return new Supervisor(options, rules, await sharedEngine(options.settings, rules, options.log));
  }

  private constructor(
    options: SupervisorOptions,
    rules: TopicRules,
    engine: LocalEngine | undefined,
  ) {
    this.#options = options;
    this.#failed.promise.catch(() => {});
    this.#rules = rules;
    this.#engine = engine;
    if (engine !== undefined) this.#engineServer = new EngineServer(engine);
    this.#metrics = new ProcessMetrics({
      ...metricsOptions(options.settings, engine),
      all: () => this.#workerMetrics.text(),
    });
  }

  /** Rejects when the relay cannot go on: workers crash early, again and again, and no worker is ready. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Starts the engine and the workers. Resolves with the relay's address when all of them listen. */
  async start(): Promise<string> {
    const port = await reservePort(this.#options.settings);
    this.#port = port.number;
    if (this.#engine !== undefined && this.#engineServer !== undefined) {
      await startEngine(this.#engine, this.#engineServer.events);
    }
    this.#metrics.listen(this.#options.settings.metricsListen, this.#options.log);
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    // The first one starts alone, so that what is wrong with all of them is said only once.
    const first = this.#spawn();
    const url = await first.listening.promise;
    await this.#spawnUpTo(this.#options.settings.workers, [first], () => this.#spawn());
    await port.leave();
    if (this.#isEnding) return url;
    this.#phase = "running";
    // Only now is GET /health answered with 200: from then on every call on the port is served.
    for (const worker of this.#workers) worker.serve();
    return url;
  }

  /**
   * Replaces all workers by new ones, which read the settings for themselves and listen before the old ones stop. To be called
   * again only when it has settled. Rejects when the settings cannot be used or a new worker does not start; the old ones then go on.
   */
  async replace(settings: Settings): Promise<void> {
    const changed = changedSettings(this.#options.settings, settings);
    const [fixed] = changed.filter((name) => OF_SUPERVISOR.has(name));
    if (fixed !== undefined) {
      const { variable } = SETTINGS[fixed];
      throw new SettingError(`${variable} has changed, which only a restart takes up.`);
    }
    checkGuards(this.#options.settings, settings);
    await this.#replace(settings);
  }

  /** Resolves when all workers say that they are not ready; they go on serving. From now on none takes the place of one that dies. */
  async announceShutdown(): Promise<void> {
    this.#phase = "ending";
    await Promise.all(Array.from(this.#workers, (worker) => worker.announceShutdown()));
  }

  /** Has all workers close their connections over the shutdown window and end, then closes the engine. */
  async shutdown(): Promise<void> {
    this.#phase = "ending";
    await this.#endAll(this.#workers, "shutdown");
    clearInterval(this.#ticking);
    await this.#metrics.stop();
    await this.#engine?.close();
  }

  /** The workers that the relay has, without those that are ending or are candidates. */
  get #serving(): WorkerHandle[] {
    return [...this.#workers].filter(
      (worker) => worker.state !== "ending" && !this.#candidates.has(worker),
    );
  }

  get #isEnding(): boolean {
    return this.#phase === "ending";
  }

  #spawn(): WorkerHandle {
    const { settings, log, program, env } = this.#options;
    const { workers } = settings;
    const machine = this.#machine;
    const start = this.#phase === "starting" ? "first" : "later";
    const guards = guardsOf(settings);
    const worker = new WorkerHandle({
      name: String(++this.#lastName),
      log,
      spawn: (events) =>
        spawnWorker({ program, env, port: this.#port, machine, start, guards, workers }, events),
      engineServer: this.#engineServer,
      metrics: () => this.#metrics.text(),
      onExit: (exited, code, before) => {
        this.#workerMetrics.ended(exited.report);
        this.#workers.delete(exited);
        const wasCandidate = this.#candidates.delete(exited);
        if (before !== "ending" && !wasCandidate) this.#onDeath(exited, code);
      },
    });
    this.#workers.add(worker);
    return worker;
  }

  #spawnCandidate(): WorkerHandle {
    const worker = this.#spawn();
    this.#candidates.add(worker);
    return worker;
  }

  /**
   * Adds workers to this list until there are this many, one at a time for each core: a start takes a core for half a second,
   * which the workers that serve need too. Rejects when one does not start, and adds no more then.
   */
  async #spawnUpTo(
    count: number,
    workers: WorkerHandle[],
    spawn: () => WorkerHandle,
  ): Promise<void> {
    let wanted = count;
    const fill = async (): Promise<void> => {
      while (workers.length < wanted && !this.#isEnding) {
        const worker = spawn();
        workers.push(worker);
        await worker.listening.promise;
      }
    };
    try {
      await Promise.all(Array.from({ length: availableParallelism() }, fill));
    } finally {
      wanted = 0;
    }
  }

  /** A worker has died that was not ordered to end: another one takes its place, or the relay fails. */
  #onDeath(worker: WorkerHandle, code: number | null): void {
    if (this.#isEnding) return;
    // It has said why, and the start fails with it.
    if (this.#phase === "starting" && code === 1) return;
    const now = performance.now();
    const isEarly = now - worker.startedAt < EARLY_EXIT_MS;
    const isInRow = now - this.#diedAt < EARLY_EXIT_MS + RESTART_PAUSE_MAX_MS;
    this.#diedAt = now;
    if (!isEarly) this.#crashes = 0;
    else if (isInRow) this.#crashes++;
    else this.#crashes = 1;
    if (this.#crashes > CRASHES_MAX && !this.#serving.some(({ state }) => state === "ready")) {
      const reason = `the workers end as soon as they start, the last one with code ${code}`;
      this.#failed.reject(new Error(reason));
      return;
    }
    const pauseMs =
      this.#crashes === 0
        ? 0
        : Math.min(RESTART_PAUSE_MAX_MS, RESTART_PAUSE_MS * 2 ** this.#crashes);
    this.#options.log.error(
      { worker: worker.name, code },
      `a worker has died; another one starts in ${pauseMs} ms`,
    );
    setTimeout(() => this.#restart(), pauseMs);
  }

  #restart(): void {
    const isMissing = this.#serving.length < this.#options.settings.workers;
    if (isMissing && !this.#isEnding) this.#spawn();
  }

  async #replace(settings: Settings): Promise<void> {
    if (this.#isEnding) return;
    const candidates: WorkerHandle[] = [];
    const started = await this.#spawnUpTo(this.#options.settings.workers, candidates, () =>
      this.#spawnCandidate(),
    ).then(
      () => !candidates.some(({ state }) => state === "exited"),
      () => false,
    );
    if (this.#isEnding) return;
    if (!started) {
      await this.#retire(candidates);
      throw new Error("a new worker does not start, so the old ones go on");
    }
    const before = this.#rules.replace(topicRulesOf(settings));
    this.#engine?.rulesChanged?.(before);
    const old = this.#serving;
    for (const worker of candidates) this.#candidates.delete(worker);
    await this.#retire(old);
  }

  /** They stop listening one after the other, and then close their connections together, so that each client reconnects once. */
  async #retire(workers: readonly WorkerHandle[]): Promise<void> {
    for (const worker of workers) {
      worker.stopListening();
      await Bun.sleep(STAGGER_MS);
    }
    await this.#endAll(workers, "retire");
  }

  async #endAll(workers: Iterable<WorkerHandle>, how: "retire" | "shutdown"): Promise<void> {
    const withinMs = this.#options.settings.shutdownMs + END_MARGIN_MS;
    await Promise.all(Array.from(workers, (worker) => worker.end(how, withinMs)));
  }

  #tick(): void {
    const now = performance.now();
    const wasPaused = now - this.#tickedAt > SILENCE_MS / 2;
    this.#tickedAt = now;
    this.#engineServer?.sweep();
    const usage = this.#usage.read();
    for (const worker of this.#workers) {
      worker.ping(usage);
      // Paused itself, the supervisor has received nothing from anybody.
      if (wasPaused) worker.forgiveSilence();
      worker.check();
    }
  }
}
