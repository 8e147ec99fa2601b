// The supervisor: starts workers that share the port, has the engine that they share, starts again what dies, and
// replaces all of them.
import { availableParallelism, loadavg } from "node:os";
import type { Settings } from "./config";
import type { Log } from "./edge/log";
import type { FromWorker } from "./engines/calls";
import { Channel } from "./engines/channel";
import { Hub, type LocalEngine, Member } from "./engines/hub";
import { makeEngine, sharesEngine, startEngine } from "./node";
import type { Order, Report } from "./worker";

/** A worker that says nothing for so long is stuck: it is killed, since its socket goes on taking connections. */
const SILENCE_MS = 5_000;

/** How often workers are told the engine's state, which they must acknowledge. */
const TICK_MS = 1_000;

/** Characters that a worker may leave unread: one that reads leaves less than a second's worth. */
const UNREAD_MAX = 67_108_864;

/** A worker that dies sooner than this after its start makes the next start wait, up to this long. */
const SOON_MS = 10_000;
const PAUSE_MS = 5_000;

/** So many such deaths in a row end the relay. */
const DEATHS_MAX = 20;

/** How long a worker may take to listen. */
const READY_MS = 30_000;

/** How long beyond the shutdown window a worker may take to end. */
const END_MS = 5_000;

export interface SupervisorOptions {
  readonly settings: Settings;
  readonly log: Log;
  /** Starts a worker process that hears and says texts. */
  readonly spawn: (events: WorkerEvents) => WorkerProcess;
}

/** A worker ended before it listened. With code 1 it has said why. */
export class WorkerFailure extends Error {
  readonly code: number | null;

  constructor(name: string, code: number | null) {
    super(`worker ${name} ended with ${code}`);
    this.code = code;
  }
}

export interface WorkerEvents {
  text(text: string): void;
  exited(code: number | null): void;
}

export interface WorkerProcess {
  send(text: string): void;
  kill(signal: "SIGKILL"): void;
}

/** A worker from its start to its exit. */
class Worker {
  readonly name: string;
  readonly startedAt = performance.now();
  readonly ready = Promise.withResolvers<string>();
  readonly exited = Promise.withResolvers<void>();
  readonly process: WorkerProcess;
  readonly member: Member | undefined;
  readonly channel: Channel;
  heardAt = performance.now();
  isReady = false;
  /** It was told to end. */
  isEnding = false;

  constructor(name: string, supervisor: Supervisor, options: SupervisorOptions) {
    this.name = name;
    const { hub, engine } = supervisor;
    this.channel = new Channel({
      send: (text) => this.process.send(text),
      receive: (message) => this.#receive(message as FromWorker | Report, hub),
    });
    if (engine !== undefined) this.member = new Member(name, this.channel, engine);
    this.process = options.spawn({
      text: (text) => {
        this.heardAt = performance.now();
        this.channel.heard(text);
      },
      exited: (code) => {
        this.channel.close();
        if (this.member !== undefined) hub?.leave(this.member);
        this.ready.reject(new WorkerFailure(name, code));
        this.exited.resolve();
        supervisor.exited(this, code);
      },
    });
    this.ready.promise.catch(() => {});
    if (this.member !== undefined) hub?.join(this.member);
  }

  order(order: Order["order"]): void {
    if (order !== "answer") this.isEnding = true;
    this.channel.push({ order } satisfies Order);
  }

  #receive(message: FromWorker | Report, hub: Hub | undefined): void {
    if ("ready" in message) {
      this.isReady = true;
      this.ready.resolve(message.ready);
    } else if (this.member !== undefined) hub?.heard(this.member, message);
  }
}

export class Supervisor {
  /** Undefined where each worker has its own. */
  readonly engine: LocalEngine | undefined;
  readonly hub: Hub | undefined;
  readonly #options: SupervisorOptions;
  readonly #workers = new Set<Worker>();
  #names = 0;
  #deaths = 0;
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
    this.hub = new Hub(this.engine);
  }

  /** Rejects when workers die as soon as they start, again and again. */
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
    // Where each has an engine of its own, what is wrong with it shall be said once.
    if (this.engine === undefined) await first.ready.promise;
    const others = Array.from({ length: this.#options.settings.workers - 1 }, () => this.#spawn());
    await Promise.all(others.map(({ ready }) => ready.promise));
    this.#hasStarted = true;
    return first.ready.promise;
  }

  /** Replaces all workers by new ones, which listen before the old ones stop to. Again when asked for meanwhile. */
  replace(): Promise<void> {
    const after = this.#replacing ?? Promise.resolve();
    this.#replacing = after.then(() => this.#replace());
    return this.#replacing;
  }

  /** Has all workers end their connections over the shutdown window, then closes the engine. */
  async shutdown(): Promise<void> {
    this.#isEnding = true;
    const { shutdownMs } = this.#options.settings;
    await Promise.all(
      [...this.#workers].map(async (worker) => {
        worker.order("shutdown");
        await this.#end(worker, shutdownMs + END_MS);
      }),
    );
    clearInterval(this.#ticking);
    await this.engine?.close();
  }

  /** Called by a worker. */
  exited(worker: Worker, code: number | null): void {
    this.#workers.delete(worker);
    if (this.#isEnding || worker.isEnding) return;
    if (!this.#hasStarted && code === 1) return;
    const { log } = this.#options;
    const lived = performance.now() - worker.startedAt;
    this.#deaths = lived < SOON_MS ? this.#deaths + 1 : 0;
    if (this.#deaths > DEATHS_MAX) {
      this.#failed.reject(new Error(`workers end as soon as they start, the last with ${code}`));
      return;
    }
    const pause = this.#deaths === 0 ? 0 : Math.min(PAUSE_MS, 50 * 2 ** this.#deaths);
    log.error(
      { worker: worker.name, code },
      `a worker has died; another one starts in ${pause} ms`,
    );
    setTimeout(() => {
      if (!this.#isEnding) this.#spawn();
    }, pause);
  }

  #spawn(): Worker {
    const worker = new Worker(String(++this.#names), this, this.#options);
    this.#workers.add(worker);
    return worker;
  }

  async #replace(): Promise<void> {
    const { log, settings } = this.#options;
    const olds = [...this.#workers].filter(({ isEnding }) => !isEnding);
    const news = olds.map(() => this.#spawn());
    const late = setTimeout(() => {
      for (const { isReady, process } of news) if (!isReady) process.kill("SIGKILL");
    }, READY_MS);
    try {
      await Promise.all(news.map(({ ready }) => ready.promise));
    } catch (error) {
      log.error({ err: error }, "a new worker does not start: the old ones go on");
      for (const worker of news) worker.order("retire");
      return;
    } finally {
      clearTimeout(late);
    }
    if (this.#isEnding) return;
    // All at once, so that each client has to come back once.
    await Promise.all(
      olds.map(async (old) => {
        old.order("retire");
        await this.#end(old, settings.shutdownMs + END_MS);
      }),
    );
  }

  async #end(worker: Worker, ms: number): Promise<void> {
    const late = setTimeout(() => worker.process.kill("SIGKILL"), ms);
    await worker.exited.promise;
    clearTimeout(late);
  }

  #tick(): void {
    const now = performance.now();
    // Stopped itself, it has heard nothing of anybody.
    const wasAsleep = now - this.#tickedAt > SILENCE_MS / 2;
    this.#tickedAt = now;
    this.hub?.sweep();
    // Where the machine has more to do than it can, each waits longer for its turn.
    const patience = SILENCE_MS * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
    for (const worker of this.#workers) {
      if (wasAsleep || !worker.isReady) worker.heardAt = now;
      if (this.hub === undefined) worker.order("answer");
      const isStuck = now - worker.heardAt > patience;
      if (!isStuck && worker.channel.unreadSize < UNREAD_MAX) continue;
      this.#options.log.error({ worker: worker.name }, "a worker does not answer: it is killed");
      worker.process.kill("SIGKILL");
    }
  }
}
