// A worker process as its supervisor sees it, from its start to its exit: what it is sent, the state that it is in, and when
// it is killed. A worker that is stuck must be killed, since the kernel goes on giving it connections.
import type { SupervisorUsage } from "../console/node-figures";
import type { Log } from "../log";
import type { Report } from "../metrics/report";
import type { EngineServer, WorkerLink } from "./engine-server";
import {
  type FromSupervisor,
  type FromWorker,
  type Order,
  PIPE_VERSION,
  type Ping,
  SILENCE_MS,
} from "./messages";
import { Pipe } from "./pipe";
import type { WorkerEvents, WorkerProcess } from "./spawn";

/** A worker that does not listen after this time, of its own clock, is killed. */
const START_MAX_MS = 30_000;

/** How long a worker may take to say that it is not ready. One that hangs says nothing at all. */
const ANNOUNCED_WITHIN_MS = 1_000;

/** The worker ended before it listened. With code 1 it has said why. */
export class WorkerFailure extends Error {
  readonly code: number | null;

  constructor(name: string, code: number | null) {
    super(`worker ${name} ended with code ${code} before it listened`);
    this.code = code;
  }
}

interface WorkerHandleOptions {
  readonly name: string;
  readonly log: Log;
  readonly spawn: (events: WorkerEvents) => WorkerProcess;
  /** Undefined where each worker has an engine of its own. */
  readonly engineServer: EngineServer | undefined;
  /** Resolves with the metrics of all processes, for somebody who has asked this worker. */
  readonly metrics: () => Promise<string>;
  /** The process has exited. `before` is the state in which it was. */
  readonly onExit: (worker: WorkerHandle, code: number | null, before: WorkerState) => void;
}

/** "ending": it was ordered to stop listening or to end, whether or not it was ready. */
type WorkerState = "starting" | "ready" | "ending" | "exited";

export class WorkerHandle {
  readonly name: string;
  readonly startedAt = performance.now();
  /** Resolves with the address at which it listens; rejects with WorkerFailure. */
  readonly listening = Promise.withResolvers<string>();
  readonly #exited = Promise.withResolvers<void>();
  readonly #log: Log;
  readonly #process: WorkerProcess;
  readonly #pipe: Pipe;
  readonly #link: WorkerLink | undefined;
  readonly #metrics: () => Promise<string>;
  /** What it has reported last. */
  #report: Report | undefined;
  #reported = Promise.withResolvers<void>();
  #state: WorkerState = "starting";
  #isKilled = false;
  /** Whether it has sent anything since the last check. */
  #hasSpoken = true;
  /** Times of the worker's own clock: when it was last known to have spoken, and by when it must listen and end. */
  #spokeAt = 0;
  #listensBy = START_MAX_MS;
  #endsBy = Number.POSITIVE_INFINITY;

  constructor({ name, log, spawn, engineServer, metrics, onExit }: WorkerHandleOptions) {
    this.name = name;
    this.#log = log;
    this.#metrics = metrics;
    this.#pipe = new Pipe({
      send: (text) => this.#process.send(text),
      onMessage: (message) => this.#receive(message as FromWorker, engineServer),
      onFault: (error) =>
        log.error({ err: error, worker: name }, "the supervisor could not obey a worker's message"),
      onAcknowledged: () => engineServer?.onProgress(),
      onFull: () => this.#kill("the worker does not read what it is sent"),
    });
    this.listening.promise.catch(() => {});
    this.#process = spawn({
      text: (text) => {
        this.#hasSpoken = true;
        this.#pipe.receive(text);
      },
      exited: (code) => {
        const before = this.#state;
        this.#state = "exited";
        this.#pipe.close();
        if (this.#link !== undefined) engineServer?.disconnect(this.#link);
        this.listening.reject(new WorkerFailure(name, code));
        this.#exited.resolve();
        this.#reported.resolve();
        onExit(this, code, before);
      },
    });
    this.#link = engineServer?.connect(name, this.#pipe);
  }

  get state(): WorkerState {
    return this.#state;
  }

  get report(): Report | undefined {
    return this.#report;
  }

  /** Resolves when it has reported, or has nothing to report. It may never resolve: the worker may be stuck. */
  askForReport(): Promise<void> {
    if (this.#state === "starting" || this.#state === "exited") return Promise.resolve();
    this.#pipe.push({ reportWanted: true } satisfies FromSupervisor);
    return this.#reported.promise;
  }

  /** All workers listen. */
  serve(): void {
    this.#pipe.push({ order: "serve" } satisfies FromSupervisor);
  }

  /** Resolves when it says that it is not ready. It must go on serving after that. */
  announceShutdown(): Promise<void> {
    this.#pipe.push({ order: "announce shutdown" } satisfies FromSupervisor);
    this.#pipe.flush();
    return this.#pipe.acknowledged(ANNOUNCED_WITHIN_MS);
  }

  stopListening(): void {
    this.#order("stop listening");
  }

  /** Orders it to end within this time of its own clock. Resolves when it has exited. */
  end(how: "retire" | "shutdown", withinMs: number): Promise<void> {
    this.#order(how);
    this.#endsBy = this.#process.time() + withinMs;
    return this.#exited.promise;
  }

  /** Has it show a sign of life. To be called about once a second, with what the supervisor takes itself. */
  ping(usage: SupervisorUsage): void {
    this.#pipe.push({ ping: usage } satisfies Ping);
  }

  /** Its silence since the last check does not count. */
  forgiveSilence(): void {
    this.#hasSpoken = true;
  }

  /** Kills the worker if it is stuck. To be called about once a second. */
  check(): void {
    const time = this.#process.time();
    if (this.#hasSpoken) this.#spokeAt = time;
    this.#hasSpoken = false;
    if (this.#listensBy !== Number.POSITIVE_INFINITY) {
      if (time > this.#listensBy) this.#kill("the worker does not start");
    } else if (time - this.#spokeAt > SILENCE_MS) this.#kill("the worker does not answer");
    else if (time > this.#endsBy) this.#kill("the worker does not end");
  }

  #order(order: Exclude<Order["order"], "serve" | "announce shutdown">): void {
    if (this.#state !== "exited") this.#state = "ending";
    this.#pipe.push({ order } satisfies FromSupervisor);
  }

  /** `reason` begins the line in the log. */
  #kill(reason: string): void {
    if (this.#state === "exited" || this.#isKilled) return;
    this.#isKilled = true;
    this.#log.error({ worker: this.name }, `${reason}, so it is killed`);
    this.#pipe.close();
    this.#process.kill("SIGKILL");
  }

  #receive(message: FromWorker, engineServer: EngineServer | undefined): void {
    if ("listensAt" in message) {
      if ((message.pipeVersion ?? 0) < PIPE_VERSION) {
        this.#kill("the worker is of an older Baton, which needs a restart of the relay");
        return;
      }
      if (this.#state === "starting") this.#state = "ready";
      this.#listensBy = Number.POSITIVE_INFINITY;
      this.listening.resolve(message.listensAt);
      // Its first report, from which on it knows that reports are wanted, and sends one when it ends.
      this.#pipe.push({ reportWanted: true } satisfies FromSupervisor);
    } else if ("report" in message) {
      this.#report = message.report;
      this.#reported.resolve();
      this.#reported = Promise.withResolvers();
    } else if ("metricsWanted" in message) {
      this.#metrics().then(
        (metrics) => this.#pipe.push({ metrics } satisfies FromSupervisor),
        (error: unknown) => this.#log.error({ err: error }, "the metrics could not be added up"),
      );
    } else if (this.#link !== undefined) engineServer?.receive(this.#link, message);
  }
}
