// The supervisor: starts workers that share the port, has the engine that they share, starts again what dies, and
// replaces all of them.

import { availableParallelism } from "node:os";
import { Batcher } from "../engines/batcher";
import { makeEngine, sharesEngine, startEngine } from "../node";
import type { LocalEngine } from "../relay/contracts/engine";
import type { Settings } from "../settings/definitions";
import { EngineServer } from "./engine-server";
import { SILENCE_MS, WorkerHandle, type WorkerOptions } from "./worker-handle";

/** How often workers are told the engine's state, which they must acknowledge. */
const TICK_MS = 1_000;

/** A worker that dies sooner than this after its start makes the next start wait, up to this long. */
const SOON_MS = 10_000;
const PAUSE_MS = 5_000;

/** So many such deaths in a row end the relay, unless other workers serve. */
const DEATHS_MAX = 20;

/** How far apart old workers stop to listen: a client that one has refused has tried again by then. */
const APART_MS = 100;

/** How long beyond the shutdown window a worker may take to end. */
const END_MS = 5_000;

export interface SupervisorOptions extends WorkerOptions {
  readonly settings: Settings;
}

export class Supervisor {
  /** Undefined where each worker has its own. */
  readonly engine: LocalEngine | undefined;
  readonly hub: EngineServer | undefined;
  readonly wave = new Batcher();
  readonly #options: SupervisorOptions;
  readonly #workers = new Set<WorkerHandle>();
  #names = 0;
  #deaths = 0;
  #diedAt = 0;
  #ticking: ReturnType<typeof setInterval> | undefined;
  #tickedAt = performance.now();
  #hasStarted = false;
  #isEnding = false;
  #replacing: Promise<void> | undefined;
  readonly #failed = Promise.withResolvers<never>();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#failed.promise.catch(() => {});
    if (!sharesEngine(options.settings)) return;
    this.engine = makeEngine(options.settings, options.log, { node: "" }) as LocalEngine;
    this.hub = new EngineServer(this.engine);
  }

  /** Rejects when workers die as soon as they start, again and again, and none serves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Starts engine and workers; resolves with the relay's address when all of them listen. */
  async start(): Promise<string> {
    if (this.engine !== undefined && this.hub !== undefined) {
      await startEngine(this.engine, this.hub.events);
    }
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    const first = this.#spawn();
    // What is wrong with all of them shall be said once.
    const url = await first.ready.promise;
    await this.#fill([first], false);
    this.#hasStarted = true;
    return url;
  }

  /**
   * Replaces all workers by new ones, which listen before the old ones stop to. Again when asked for meanwhile. Rejects
   * when a new one does not start; the old ones go on then.
   */
  replace(): Promise<void> {
    const after = this.#replacing ?? Promise.resolve();
    this.#replacing = after.catch(() => {}).then(() => this.#replace());
    return this.#replacing;
  }

  /** Has all workers end their connections over the shutdown window, then closes the engine. */
  async shutdown(): Promise<void> {
    this.#isEnding = true;
    const { shutdownMs } = this.#options.settings;
    await Promise.all([...this.#workers].map((one) => one.end("shutdown", shutdownMs + END_MS)));
    clearInterval(this.#ticking);
    await this.engine?.close();
  }

  /** Called by a worker. */
  exited(worker: WorkerHandle, code: number | null): void {
    this.#workers.delete(worker);
    if (this.#isEnding || worker.isEnding || worker.onTrial) return;
    if (!this.#hasStarted && code === 1) return;
    const now = performance.now();
    const isSoon = now - worker.startedAt < SOON_MS;
    const isInRow = now - this.#diedAt < SOON_MS + PAUSE_MS;
    this.#diedAt = now;
    this.#deaths = isSoon ? (isInRow ? this.#deaths : 0) + 1 : 0;
    if (this.#deaths > DEATHS_MAX && !this.#serving.some(({ isReady }) => isReady)) {
      this.#failed.reject(new Error(`workers end as soon as they start, the last with ${code}`));
      return;
    }
    const pause = this.#deaths === 0 ? 0 : Math.min(PAUSE_MS, 50 * 2 ** this.#deaths);
    this.#options.log.error(
      { worker: worker.name, code },
      `a worker has died; another one starts in ${pause} ms`,
    );
    setTimeout(() => {
      const isMissing = this.#serving.length < this.#options.settings.workers;
      if (isMissing && !this.#isEnding) this.#spawn();
    }, pause);
  }

  /** The relay's workers, but those that end and those that are to replace others. */
  get #serving(): WorkerHandle[] {
    return [...this.#workers].filter(({ isEnding, onTrial }) => !isEnding && !onTrial);
  }

  #spawn(onTrial = false): WorkerHandle {
    const worker = new WorkerHandle(String(++this.#names), this, this.#options);
    worker.onTrial = onTrial;
    this.#workers.add(worker);
    return worker;
  }

  /**
   * Adds workers until there are as many as there shall be, a few at a time: each takes a core for half a second, which
   * those that serve need too. Rejects when one does not start; no more are added then.
   */
  async #fill(workers: WorkerHandle[], onTrial: boolean): Promise<void> {
    let wanted = this.#options.settings.workers;
    const turn = async (): Promise<void> => {
      while (workers.length < wanted && !this.#isEnding) {
        const worker = this.#spawn(onTrial);
        workers.push(worker);
        await worker.ready.promise;
      }
    };
    try {
      await Promise.all(Array.from({ length: availableParallelism() }, turn));
    } finally {
      wanted = 0;
    }
  }

  async #replace(): Promise<void> {
    if (this.#isEnding) return;
    const { settings } = this.#options;
    const news: WorkerHandle[] = [];
    const started = await this.#fill(news, true).then(
      () => !news.some(({ hasExited }) => hasExited),
      () => false,
    );
    if (this.#isEnding) return;
    const leaving = started ? this.#serving : news;
    for (const worker of news) worker.onTrial = !started;
    // One after the other: what waits at a port that is given up is refused, and shall not be refused twice.
    for (const worker of leaving) {
      worker.order("stop listening");
      await Bun.sleep(APART_MS);
    }
    // Then all at once, so that each client has to come back once.
    await Promise.all(leaving.map((one) => one.end("retire", settings.shutdownMs + END_MS)));
    if (!started) throw new Error("a new worker does not start: the old ones go on");
  }

  #tick(): void {
    const now = performance.now();
    // Stopped itself, it has heard nothing of anybody.
    const wasAsleep = now - this.#tickedAt > SILENCE_MS / 2;
    this.#tickedAt = now;
    this.hub?.sweep();
    for (const worker of this.#workers) {
      if (this.hub === undefined) worker.order("answer");
      worker.look(wasAsleep);
    }
  }
}
