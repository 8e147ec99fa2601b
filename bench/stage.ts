// One run of one target: its server, the load processes and the publisher, from start to end.
// A phase counts only if every connection got every message, once and in order; else it throws.
import { Fleet } from "./fleet";
import { Histogram } from "./load/histogram";
import { cpuUsBetween, readCpu } from "./measure/usage";
import { Publisher } from "./publisher";
import { Server } from "./server";
import { type Target, TOPIC } from "./targets/target";

/** Messages count as lost when for this long none has come. */
const SILENCE_MS = 5_000;
/** How long to wait, when all have come, for any that should not. */
const EXTRA_MS = 30;
/** Publications that receivers may be behind before lanes wait: far below any server's send limit. */
const BEHIND_MAX = 1_000;

/**
 * What each turn begins with and does not count: after others have had theirs, a server's first 0.3 s cost a quarter more, with
 * cold caches. Not to count it favours nobody; to count it favoured those whose turns came one after the other.
 */
const LEAD_IN_S = 0.3;

/** A run whose counts are wrong, or that could not be done at all. */
export class RunError extends Error {}

/** What to publish in a phase, and who shall get it. */
export interface Plan {
  readonly topic?: string;
  readonly lanes: number;
  /** Publications in one request; 1 if not set. */
  readonly batch?: number;
  readonly users?: readonly number[];
  /** Connections that each publication must reach. */
  readonly receivers: number;
  readonly seconds?: number;
  readonly count?: number;
  /** Publications a second, open loop; without it each lane goes on as soon as it is answered. */
  readonly rate?: number;
}

export interface Phase {
  readonly publications: number;
  readonly expected: number;
  readonly received: number;
  readonly cpuUs: number;
  readonly wallUs: number;
  /** Cores the server used: 1 is one core all the time. */
  readonly serverCores: number;
  readonly latency: Histogram;
  readonly lateness: Histogram;
}

export interface Spent {
  readonly cpuUs: number;
  readonly wallUs: number;
}

export interface Arrived {
  readonly expected: number;
  readonly received: number;
}

export class Stage {
  readonly #target: Target;
  readonly #server: Server;
  readonly #fleet: Fleet;

  private constructor(target: Target, server: Server, fleet: Fleet) {
    this.#target = target;
    this.#server = server;
    this.#fleet = fleet;
  }

  /**
   * Takes steps on a fresh server with fresh load processes, which end with it in any case.
   * Each `yield` of the steps is a place where another target may have its turn.
   */
  static async *play<T>(
    target: Target,
    processes: number,
    steps: (stage: Stage) => AsyncGenerator<void, T>,
  ): AsyncGenerator<void, T> {
    const server = await Server.start(target);
    const fleet = new Fleet(processes);
    try {
      await fleet.guard(server.pid);
      return yield* steps(new Stage(target, server, fleet));
    } catch (error) {
      const output = server.output();
      const told = output === "" ? "" : `; the server printed: ${output}`;
      throw new RunError((error instanceof Error ? error.message : String(error)) + told);
    } finally {
      await Promise.all([fleet.stop(), server.stop()]);
    }
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Makes the addresses of connections from..to-1 known (Baton registers here); and its cost. */
  prepare(from: number, to: number, users: boolean): Promise<Spent> {
    const crowd = { target: this.#target.name, port: this.#server.port, from, to, users };
    return this.#spent(() => this.#fleet.prepare(crowd));
  }

  /** Opens what was prepared; and its cost. */
  connect(): Promise<Spent> {
    return this.#spent(() => this.#fleet.connect());
  }

  async enter(from: number, to: number, users: boolean): Promise<void> {
    await this.prepare(from, to, users);
    await this.connect();
  }

  /** Drops all connections and gives the server time to notice. */
  async empty(): Promise<void> {
    await this.#fleet.close();
    await Bun.sleep(300);
  }

  /** Drops all connections, which will come back to the same addresses, and gives the server time to notice. */
  async drop(): Promise<void> {
    await this.#fleet.drop();
    await Bun.sleep(500);
  }

  /**
   * Connections that come back all at once: each must get the `missed` publications that were sent while they were
   * away, once and in order; and the cost of it.
   */
  async comeBack(connections: number, missed: number): Promise<Spent & Arrived> {
    await this.publish({ lanes: 1, receivers: 0, count: missed });
    // The sequence of each connection begins with what it missed.
    await this.#fleet.expect(connections);
    const expected = connections * missed;
    const spent = await this.#spent(async () => {
      await this.#fleet.connect();
      await this.#arrivals(expected);
    });
    const report = await this.#fleet.report();
    if (report.received !== expected || report.faults.length > 0) {
      const faults = report.faults.slice(0, 3).join("; ");
      throw new RunError(`recovered ${report.received} of ${expected} messages; ${faults}`);
    }
    return { ...spent, expected, received: report.received };
  }

  /** Lets the server's publish path compile, with publications that nobody receives. */
  async warmPublishing(quick: boolean): Promise<void> {
    const count = quick ? 200 : 5_000;
    await this.publish({ topic: "nobody", lanes: 16, receivers: 0, count });
  }

  /**
   * A phase of `seconds` in equal slices with a turn for others before each: what disturbs the
   * machine for longer than a slice then meets every target alike. A lead-in before each slice is not counted.
   */
  async *publishInTurns(plan: Plan, seconds: number, slices: number): AsyncGenerator<void, Phase> {
    const phases: Phase[] = [];
    for (let slice = 0; slice < slices; slice++) {
      yield;
      if (slices > 1) await this.publish({ ...plan, seconds: LEAD_IN_S });
      phases.push(await this.publish({ ...plan, seconds: seconds / slices }));
    }
    return together(phases);
  }

  /** One phase: publishes as planned, waits until all arrived, checks, and says what it cost. */
  async publish(plan: Plan): Promise<Phase> {
    const fleet = this.#fleet;
    await fleet.watch(plan.lanes, plan.rate !== undefined);
    const port = this.#server.port;
    const publisher = await Publisher.open(
      port,
      plan.topic ?? TOPIC,
      plan.lanes,
      plan.users,
      plan.batch,
    );
    const before = readCpu(this.pid);
    const started = Bun.nanoseconds();
    const mayGo = (published: number) =>
      published * plan.receivers - fleet.received <= BEHIND_MAX * Math.max(1, plan.receivers);
    const published =
      plan.rate === undefined
        ? await publisher.publishAtOnce(plan, mayGo)
        : await publisher.publishOnTime(plan.seconds ?? 1, plan.rate);
    const expected = published.count * plan.receivers;
    await this.#arrivals(expected);
    const after = readCpu(this.pid);
    const wallUs = (Bun.nanoseconds() - started) / 1e3;
    publisher.close();
    await Bun.sleep(EXTRA_MS);
    const report = await fleet.report();
    if (report.received !== expected || report.faults.length > 0) {
      const faults = report.faults.slice(0, 3).join("; ");
      throw new RunError(`received ${report.received} of ${expected} messages; ${faults}`);
    }
    if (this.#target.countsPart !== true && published.delivered !== expected) {
      throw new RunError(`the server says ${published.delivered} delivered, not ${expected}`);
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

  async #arrivals(expected: number): Promise<void> {
    let last = -1;
    let since = performance.now();
    while (this.#fleet.received < expected) {
      if (this.#fleet.received !== last) {
        last = this.#fleet.received;
        since = performance.now();
      }
      if (performance.now() - since > SILENCE_MS) return;
      await Bun.sleep(2);
    }
  }

  async #spent(work: () => Promise<void>): Promise<Spent> {
    const before = readCpu(this.pid);
    const started = Bun.nanoseconds();
    await work();
    const wallUs = (Bun.nanoseconds() - started) / 1e3;
    // What the server still does for the last ones belongs to them.
    await Bun.sleep(EXTRA_MS);
    return { cpuUs: cpuUsBetween(before, readCpu(this.pid)), wallUs };
  }
}

/** The sums of several phases of one plan. */
function together(phases: readonly Phase[]): Phase {
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
