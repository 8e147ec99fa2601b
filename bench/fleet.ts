// The load processes of one run, as one: orders go to all of them, answers are added up.
// Connections are split into equal ranges, so that no process holds more than its share of descriptors.
import { join } from "node:path";
import type { Subprocess } from "bun";
import { endChild, startChild } from "./children";
import { Histogram } from "./load/histogram";
import type { FromLoad, Order, Report } from "./load/orders";
import { CONNECTIONS_PER_USER, type Crowd } from "./targets/target";

/** Registering and opening 20,000 connections takes the slowest target some 10 s here. */
const ORDER_MS = 120_000;

interface Pending {
  readonly resolve: (report: Report) => void;
  readonly reject: (error: Error) => void;
}

export interface FleetReport {
  readonly received: number;
  readonly open: number;
  readonly faults: readonly string[];
  readonly latency: Histogram;
}

/** One load process at the other end of an IPC pipe. */
class Member {
  readonly child: Subprocess;
  received = 0;
  #numbers = 0;
  readonly #pending = new Map<number, Pending>();

  constructor() {
    this.child = startChild(["bun", join(import.meta.dir, "load/process.ts")], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      ipc: (message: FromLoad) => this.#take(message),
    });
    void this.child.exited.then((code) => {
      for (const { reject } of this.#pending.values()) {
        reject(new Error(`a load process ended with ${code}`));
      }
    });
  }

  ask(order: Order): Promise<Report> {
    const number = ++this.#numbers;
    const { promise, resolve, reject } = Promise.withResolvers<Report>();
    const late = setTimeout(
      () => reject(new Error(`"${order.kind}" took more than ${ORDER_MS / 1e3} s`)),
      ORDER_MS,
    );
    this.#pending.set(number, { resolve, reject });
    this.child.send({ number, order });
    return promise.finally(() => {
      clearTimeout(late);
      this.#pending.delete(number);
    });
  }

  #take(message: FromLoad): void {
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

export class Fleet {
  readonly #members: readonly Member[];

  constructor(processes: number) {
    this.#members = Array.from({ length: processes }, () => new Member());
  }

  /** Messages received in this phase by all, as of a few milliseconds ago. */
  get received(): number {
    return this.#members.reduce((sum, member) => sum + member.received, 0);
  }

  /** Gives each process its range of the crowd, whole users only. */
  async prepare(crowd: Crowd): Promise<void> {
    const users = Math.ceil((crowd.to - crowd.from) / CONNECTIONS_PER_USER);
    const share = Math.ceil(users / this.#members.length) * CONNECTIONS_PER_USER;
    await Promise.all(
      this.#members.map((member, i) => {
        const from = Math.min(crowd.to, crowd.from + i * share);
        const to = Math.min(crowd.to, from + share);
        return member.ask({ kind: "prepare", crowd: { ...crowd, from, to } });
      }),
    );
  }

  async connect(): Promise<void> {
    await this.#all({ kind: "connect" });
  }

  /** Before connections come back: their first messages will be the first of one lane. */
  async expect(connections: number): Promise<void> {
    await this.#all({ kind: "watch", lanes: 1, latency: false, links: connections });
  }

  async watch(lanes: number, latency: boolean): Promise<void> {
    await this.#all({ kind: "watch", lanes, latency });
  }

  async drop(): Promise<void> {
    await this.#all({ kind: "drop" });
  }

  async close(): Promise<void> {
    await this.#all({ kind: "close" });
  }

  async guard(pid: number): Promise<void> {
    await this.#all({ kind: "guard", pid });
  }

  async report(): Promise<FleetReport> {
    const reports = await this.#all({ kind: "report" });
    const latency = new Histogram();
    for (const report of reports) {
      if (report.latency !== undefined) latency.addAll(new Histogram(report.latency));
    }
    return {
      received: reports.reduce((sum, report) => sum + report.received, 0),
      open: reports.reduce((sum, report) => sum + report.open, 0),
      faults: reports.flatMap((report) => report.faults),
      latency,
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#members.map((member) => endChild(member.child)));
  }

  #all(order: Order): Promise<Report[]> {
    return Promise.all(this.#members.map((member) => member.ask(order)));
  }
}
