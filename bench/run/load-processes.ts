// The load processes of one run, used as one: requests go to all of them, their reports are added up.
// Each gets an equal range of the connections, so that no process needs too many descriptors.
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { FromLoadProcess, LoadReport, LoadRequest, PhaseSetup } from "../load/requests";
import { Histogram } from "../measure/histogram";
import { CONNECTIONS_PER_USER, type ConnectionRange } from "../targets/target";
import { endChild, startChild } from "./child-processes";

/** The slowest target takes about 10 s to register and open 20,000 connections. */
const REQUEST_TIMEOUT_MS = 120_000;

/** What helps where the load is more than its processes or the machine can take. */
const LIGHTER = "try fewer --connections, or more --processes";

interface PendingRequest {
  readonly resolve: (report: LoadReport) => void;
  readonly reject: (error: Error) => void;
}

/** The reports of all load processes, added up. */
export interface TotalReport {
  readonly received: number;
  readonly faults: readonly string[];
  readonly latency: Histogram;
}

/** One load process, at the other end of an IPC pipe. */
class LoadProcess {
  readonly child: Subprocess;
  received = 0;
  #requests = 0;
  readonly #pending = new Map<number, PendingRequest>();

  constructor() {
    this.child = startChild(["bun", join(import.meta.dir, "../load/process.ts")], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      ipc: (message: FromLoadProcess) => this.#onMessage(message),
    });
    void this.child.exited.then((code) => {
      for (const { reject } of this.#pending.values()) {
        reject(new Error(`a load process ended with ${code}: ${LIGHTER}`));
      }
    });
  }

  request(request: LoadRequest): Promise<LoadReport> {
    const number = ++this.#requests;
    const { promise, resolve, reject } = Promise.withResolvers<LoadReport>();
    const timer = setTimeout(() => {
      const seconds = REQUEST_TIMEOUT_MS / 1e3;
      reject(new Error(`"${request.kind}" took more than ${seconds} s: ${LIGHTER}`));
    }, REQUEST_TIMEOUT_MS);
    this.#pending.set(number, { resolve, reject });
    this.child.send({ number, request });
    return promise.finally(() => {
      clearTimeout(timer);
      this.#pending.delete(number);
    });
  }

  #onMessage(message: FromLoadProcess): void {
    if (message.kind === "progress") {
      this.received = message.received;
    } else if (message.kind === "failed") {
      this.#pending.get(message.number)?.reject(new Error(message.message));
    } else {
      this.received = message.report.received;
      this.#pending.get(message.number)?.resolve(message.report);
    }
  }
}

export class LoadProcesses {
  readonly #processes: readonly LoadProcess[];

  constructor(count: number) {
    this.#processes = Array.from({ length: count }, () => new LoadProcess());
  }

  /** Messages that all of them received in this phase, as of a few milliseconds ago. */
  get received(): number {
    return this.#processes.reduce((sum, process) => sum + process.received, 0);
  }

  /** Gives each process its part of the range; a user's connections stay together. */
  async prepare(range: ConnectionRange): Promise<void> {
    const users = Math.ceil((range.to - range.from) / CONNECTIONS_PER_USER);
    const share = Math.ceil(users / this.#processes.length) * CONNECTIONS_PER_USER;
    await Promise.all(
      this.#processes.map((process, i) => {
        const from = Math.min(range.to, range.from + i * share);
        const to = Math.min(range.to, from + share);
        return process.request({ kind: "prepare", range: { ...range, from, to } });
      }),
    );
  }

  async connect(): Promise<void> {
    await this.#requestAll({ kind: "connect" });
  }

  async startPhase(setup: PhaseSetup): Promise<void> {
    await this.#requestAll({ kind: "startPhase", setup });
  }

  async disconnect(): Promise<void> {
    await this.#requestAll({ kind: "disconnect" });
  }

  async report(): Promise<TotalReport> {
    const reports = await this.#requestAll({ kind: "report" });
    const latency = new Histogram();
    for (const report of reports) latency.addAll(new Histogram(report.latency));
    return {
      received: reports.reduce((sum, report) => sum + report.received, 0),
      faults: reports.flatMap((report) => report.faults),
      latency,
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => endChild(process.child)));
  }

  #requestAll(request: LoadRequest): Promise<LoadReport[]> {
    return Promise.all(this.#processes.map((process) => process.request(request)));
  }
}
