// A worker process as its supervisor holds it: what it says and is told, whether it is ready, and how it is ended.

import type { Batcher } from "../engines/batcher";
import type { Log } from "../log";
import type { LocalEngine } from "../relay/contracts/engine";
import { type EngineServer, WorkerLink } from "./engine-server";
import type { FromWorker } from "./messages";
import { Pipe } from "./pipe";
import type { Order, Report } from "./worker";

/** One that says nothing for so long is stuck: it is killed, since its socket goes on taking connections. */
export const SILENCE_MS = 5_000;

/** How long it may take to listen. */
const READY_MS = 30_000;

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
  /** How much time it has had since its start, in ms: not that in which it could have run but had no core. */
  time(): number;
}

export interface WorkerOptions {
  readonly log: Log;
  /** Starts a worker process that hears and says texts. */
  readonly spawn: (events: WorkerEvents) => WorkerProcess;
}

/** What a worker needs of its supervisor. */
interface Holder {
  readonly hub: EngineServer | undefined;
  readonly engine: LocalEngine | undefined;
  readonly wave: Batcher;
  exited(worker: WorkerHandle, code: number | null): void;
}

/** A worker from its start to its exit. */
export class WorkerHandle {
  readonly name: string;
  readonly startedAt = performance.now();
  readonly ready = Promise.withResolvers<string>();
  readonly exited = Promise.withResolvers<void>();
  readonly process: WorkerProcess;
  readonly member: WorkerLink | undefined;
  readonly channel: Pipe;
  isReady = false;
  /** It is to take another one's place, and counts from then on. */
  onTrial = false;
  /** It was told to end. */
  isEnding = false;
  hasExited = false;
  #isKilled = false;
  #hasSpoken = true;
  /** By its own time, as it said something last, and must have ended. */
  #spokeAt = 0;
  #endsBy = Number.POSITIVE_INFINITY;
  readonly #log: Log;

  constructor(name: string, supervisor: Holder, { log, spawn }: WorkerOptions) {
    this.name = name;
    const { hub, engine } = supervisor;
    this.#log = log;
    this.channel = new Pipe({
      send: (text) => this.process.send(text),
      receive: (message) => this.#receive(message as FromWorker | Report, hub),
      failed: (error) => log.error({ err: error, worker: name }, "a worker's message failed"),
      now: () => performance.now(),
      wave: supervisor.wave,
      read: () => hub?.caughtUp(),
      full: () => this.kill("leaves unread what it is sent"),
    });
    if (engine !== undefined) this.member = new WorkerLink(name, this.channel, engine);
    this.process = spawn({
      text: (text) => {
        this.#hasSpoken = true;
        this.channel.heard(text);
      },
      exited: (code) => {
        this.hasExited = true;
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

  /** For a reason that goes into the log. */
  kill(why: string): void {
    if (this.hasExited || this.#isKilled) return;
    this.#isKilled = true;
    this.#log.error({ worker: this.name }, `a worker ${why}: it is killed`);
    this.channel.close();
    this.process.kill("SIGKILL");
  }

  /** Has it end; it may take so long, of its own time. Resolves when it has exited. */
  end(order: "retire" | "shutdown", withinMs: number): Promise<void> {
    this.order(order);
    this.#endsBy = this.process.time() + withinMs;
    return this.exited.promise;
  }

  order(order: Order["order"]): void {
    if (order !== "answer") this.isEnding = true;
    this.channel.push({ order } satisfies Order);
  }

  /** To be called about each second: kills it if it is stuck. `isForgiven`: its supervisor was asleep, and heard nobody. */
  look(isForgiven: boolean): void {
    const time = this.process.time();
    if (this.#hasSpoken || isForgiven) this.#spokeAt = time;
    this.#hasSpoken = false;
    if (!this.isReady) {
      if (time > READY_MS) this.kill("does not start");
    } else if (time - this.#spokeAt > SILENCE_MS) this.kill("does not answer");
    else if (time > this.#endsBy) this.kill("does not end");
  }

  #receive(message: FromWorker | Report, hub: EngineServer | undefined): void {
    if ("ready" in message) {
      this.isReady = true;
      this.ready.resolve(message.ready);
    } else if (this.member !== undefined) hub?.heard(this.member, message);
  }
}
