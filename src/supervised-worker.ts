// A worker process as its supervisor holds it: what it says and is told, whether it is ready, and how it is ended.
import type { Log } from "./edge/log";
import type { FromWorker } from "./engines/calls";
import { Channel } from "./engines/channel";
import { type Hub, type LocalEngine, Member } from "./engines/hub";
import type { Wave } from "./engines/wave";
import type { Order, Report } from "./worker";

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
  /** Whether it is known that it will not answer: the system has stopped it. */
  isStopped(): boolean;
}

export interface WorkerOptions {
  readonly log: Log;
  /** Starts a worker process that hears and says texts. */
  readonly spawn: (events: WorkerEvents) => WorkerProcess;
}

/** What a worker needs of its supervisor. */
interface Holder {
  readonly hub: Hub | undefined;
  readonly engine: LocalEngine | undefined;
  readonly wave: Wave;
  exited(worker: SupervisedWorker, code: number | null): void;
}

/** A worker from its start to its exit. */
export class SupervisedWorker {
  readonly name: string;
  readonly startedAt = performance.now();
  readonly ready = Promise.withResolvers<string>();
  readonly exited = Promise.withResolvers<void>();
  readonly process: WorkerProcess;
  readonly member: Member | undefined;
  readonly channel: Channel;
  heardAt = performance.now();
  isReady = false;
  /** It is to take another one's place, and counts from then on. */
  onTrial = false;
  /** It was told to end. */
  isEnding = false;
  hasExited = false;
  #isKilled = false;
  readonly #log: Log;

  constructor(name: string, supervisor: Holder, { log, spawn }: WorkerOptions) {
    this.name = name;
    const { hub, engine } = supervisor;
    this.#log = log;
    this.channel = new Channel({
      send: (text) => this.process.send(text),
      receive: (message) => this.#receive(message as FromWorker | Report, hub),
      failed: (error) => log.error({ err: error, worker: name }, "a worker's message failed"),
      now: () => performance.now(),
      wave: supervisor.wave,
      read: () => hub?.caughtUp(),
      full: () => this.kill("leaves unread what it is sent"),
    });
    if (engine !== undefined) this.member = new Member(name, this.channel, engine);
    this.process = spawn({
      text: (text) => {
        this.heardAt = performance.now();
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
