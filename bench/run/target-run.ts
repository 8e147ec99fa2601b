// One run of one target: its server, the load processes and the publisher, from start to end.
// A phase counts only if every connection got every message, once and in order; otherwise it throws.
import { MESSAGE_BYTES } from "../load/message";
import { Histogram } from "../measure/histogram";
import { cpuUsBetween, readCpu } from "../measure/usage";
import { type Identity, type Target, TOPIC } from "../targets/target";
import { LoadProcesses, type TotalReport } from "./load-processes";
import { Publisher } from "./publisher";
import type { Options } from "./scenario";
import { Server } from "./server";

/** Messages that are still missing count as lost after this time without a new one: longer than any pause of a busy machine. */
const SILENCE_MS = 60_000;
/** How long to wait for messages that should not arrive, once all that should have. */
const EXTRA_MS = 30;
/** How long a server gets to notice that its connections are closed. */
const DISCONNECT_MS = 500;
/** Publications that receivers may be behind before senders wait: far below any server's send limit. */
const BEHIND_MAX = 250;

/**
 * Each turn begins with this much work that is not counted. After the turns of others the caches are cold, and a server's first
 * 0.3 s cost a quarter more: to count them would favour the target that happens to have its turns one after the other.
 */
const LEAD_IN_S = 0.3;

/** At full speed this many connections share one whose messages are timed: to time all of them would slow the load clients. */
const EXAMINED_ONE_IN = 8;

/** What to publish in a phase, and how many connections must receive it. */
interface Plan {
  readonly topic?: string;
  /** Requests in flight, each over an HTTP connection of its own. */
  readonly inFlight: number;
  /** Publications in one request; 1 if not set. */
  readonly batch?: number;
  /** Sends them as lines of requests that stay open, `batch` lines at a time. */
  readonly asLines?: boolean;
  /** The length of a message; 64 if not set. */
  readonly bytes?: number;
  readonly users?: readonly number[];
  /** Connections that each publication must reach. */
  readonly receivers: number;
  readonly seconds?: number;
  readonly count?: number;
  /** Publications a second, whether or not earlier ones are answered; if not set, each sender waits only for its answer. */
  readonly rate?: number;
}

/** What some work cost the server. */
export interface Cost {
  readonly cpuUs: number;
  readonly wallUs: number;
}

interface Arrived {
  readonly expected: number;
  readonly received: number;
}

interface Phase extends Cost, Arrived {
  readonly publications: number;
  /** Cores that the server used: 1 is one core all the time. */
  readonly serverCores: number;
  readonly latency: Histogram;
  readonly lateness: Histogram;
}

/**
 * Takes the steps on a fresh server with fresh load processes, which end in any case.
 * At each `yield` of the steps another target may take its turn.
 */
export async function* runTarget<T>(
  target: Target,
  options: Options,
  steps: (run: TargetRun) => AsyncGenerator<void, T>,
): AsyncGenerator<void, T> {
  const server = await Server.start(target);
  const load = new LoadProcesses(options.processes);
  try {
    return yield* steps(new TargetRun(target, options, server, load));
  } catch (error) {
    const output = server.output();
    const printed = output === "" ? "" : `; the server printed: ${output}`;
    throw new Error((error instanceof Error ? error.message : String(error)) + printed);
  } finally {
    await Promise.all([load.stop(), server.stop()]);
  }
}

class TargetRun {
  readonly #target: Target;
  readonly #options: Options;
  readonly #server: Server;
  readonly #load: LoadProcesses;

  constructor(target: Target, options: Options, server: Server, load: LoadProcesses) {
    this.#target = target;
    this.#options = options;
    this.#server = server;
    this.#load = load;
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Prepares the addresses of connections from..to-1, for which Baton registers them; returns the cost. */
  prepare(from: number, to: number, identity: Identity = "anonymous"): Promise<Cost> {
    const range = { target: this.#target.name, port: this.#server.port, from, to, identity };
    return this.#costOf(() => this.#load.prepare(range));
  }

  /** Connects to the prepared addresses; returns the cost. */
  connect(): Promise<Cost> {
    return this.#costOf(() => this.#load.connect());
  }

  /** Opens connections from..to-1. */
  async open(from: number, to: number, identity: Identity = "anonymous"): Promise<void> {
    await this.prepare(from, to, identity);
    await this.connect();
  }

  /** Closes all connections and gives the server time to notice. */
  async disconnect(): Promise<void> {
    await this.#load.disconnect();
    await Bun.sleep(DISCONNECT_MS);
  }

  /**
   * Reconnects all at once after `missed` publications were sent. Each connection must get them, once and in order;
   * returns the cost.
   */
  async reconnect(connections: number, missed: number): Promise<Cost & Arrived> {
    await this.publish({ inFlight: 1, receivers: 0, count: missed });
    // The first messages of each connection are those it missed.
    await this.#load.startPhase({
      ...{ senders: 1, bytes: MESSAGE_BYTES, examinedOneIn: EXAMINED_ONE_IN },
      connections,
    });
    const expected = connections * missed;
    const cost = await this.#costOf(async () => {
      await this.#load.connect();
      await this.#untilReceived(expected);
    });
    const { received } = await this.#checkedReport(expected);
    return { ...cost, expected, received };
  }

  /** Lets the server compile its publish path, with publications that nobody receives. */
  async warmUp(): Promise<void> {
    const count = this.#options.quick ? 200 : 5_000;
    await this.publish({ topic: "nobody", inFlight: 16, receivers: 0, count });
  }

  /**
   * A phase in equal slices, with a turn for the other targets before each, so that whatever disturbs the machine for longer
   * than a slice affects all targets alike. The lead-in before each slice is not counted.
   */
  async *publishInTurns(plan: Plan): AsyncGenerator<void, Phase> {
    const { slices } = this.#options;
    const seconds = plan.seconds ?? this.#options.seconds;
    const phases: Phase[] = [];
    for (let slice = 0; slice < slices; slice++) {
      yield;
      if (slices > 1) await this.publish({ ...plan, seconds: LEAD_IN_S });
      phases.push(await this.publish({ ...plan, seconds: seconds / slices }));
    }
    return sumOf(phases);
  }

  /** One phase: publishes as planned, waits until everything has arrived, checks it, and returns what it cost. */
  async publish(plan: Plan): Promise<Phase> {
    const load = this.#load;
    const { bytes = MESSAGE_BYTES } = plan;
    const examinedOneIn = plan.rate === undefined ? EXAMINED_ONE_IN : 1;
    await load.startPhase({ senders: plan.inFlight, bytes, examinedOneIn });
    const publisher = await Publisher.open(this.#server.port, {
      target: this.#target,
      bytes,
      topic: plan.topic ?? TOPIC,
      senders: plan.inFlight,
      users: plan.users,
      batch: plan.batch,
      asLines: plan.asLines,
    });
    const before = readCpu(this.pid);
    const started = Bun.nanoseconds();
    const mayPublish = (published: number) =>
      published * plan.receivers - load.received <= BEHIND_MAX * Math.max(1, plan.receivers);
    const published =
      plan.rate === undefined
        ? await publisher.publishUnpaced(plan, mayPublish)
        : await publisher.publishAtRate(plan.seconds ?? 1, plan.rate);
    const expected = published.count * plan.receivers;
    await this.#untilReceived(expected);
    const after = readCpu(this.pid);
    const wallUs = (Bun.nanoseconds() - started) / 1e3;
    publisher.close();
    await Bun.sleep(EXTRA_MS);
    const report = await this.#checkedReport(expected);
    if (this.#target.countsPart !== true && published.delivered !== expected) {
      throw new Error(`the server counted ${published.delivered} deliveries, not ${expected}`);
    }
    const cpuUs = cpuUsBetween(before, after);
    return {
      publications: published.count,
      expected,
      received: report.received,
      cpuUs,
      wallUs,
      serverCores: cpuUs / wallUs,
      latency: report.latency,
      lateness: published.lateness,
    };
  }

  /** Ends the phase. Throws unless exactly the expected messages arrived, without any fault. */
  async #checkedReport(expected: number): Promise<TotalReport> {
    const report = await this.#load.report();
    if (report.received !== expected || report.faults.length > 0) {
      const faults = report.faults.slice(0, 3).join("; ");
      throw new Error(`received ${report.received} of ${expected} messages; ${faults}`);
    }
    return report;
  }

  /** Waits until the expected messages have arrived, or no more arrive for SILENCE_MS. */
  async #untilReceived(expected: number): Promise<void> {
    let last = -1;
    let since = performance.now();
    while (this.#load.received < expected) {
      if (this.#load.received !== last) {
        last = this.#load.received;
        since = performance.now();
      }
      if (performance.now() - since > SILENCE_MS) return;
      await Bun.sleep(2);
    }
  }

  async #costOf(work: () => Promise<void>): Promise<Cost> {
    const before = readCpu(this.pid);
    const started = Bun.nanoseconds();
    await work();
    const wallUs = (Bun.nanoseconds() - started) / 1e3;
    // What the server still does for the last connections is part of their cost.
    await Bun.sleep(EXTRA_MS);
    return { cpuUs: cpuUsBetween(before, readCpu(this.pid)), wallUs };
  }
}

/** Several phases of one plan, added up. */
function sumOf(phases: readonly Phase[]): Phase {
  const sum = (part: (phase: Phase) => number) =>
    phases.reduce((total, phase) => total + part(phase), 0);
  const merged = (part: (phase: Phase) => Histogram) => {
    const all = new Histogram();
    for (const phase of phases) all.addAll(part(phase));
    return all;
  };
  const cpuUs = sum((phase) => phase.cpuUs);
  const wallUs = sum((phase) => phase.wallUs);
  return {
    publications: sum((phase) => phase.publications),
    expected: sum((phase) => phase.expected),
    received: sum((phase) => phase.received),
    cpuUs,
    wallUs,
    serverCores: cpuUs / wallUs,
    latency: merged((phase) => phase.latency),
    lateness: merged((phase) => phase.lateness),
  };
}
