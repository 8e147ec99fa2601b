// `bun run bench scale --connections 1000000`: as many connections of one relay as this machine can hold, over as many
// workers and load processes as the limit of open files requires.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openFilesMax } from "../measure/open-files";
import { showNote, showTimedNote } from "../report/progress";
import { isEnding } from "../run/child-processes";
import { Findings } from "./findings";
import { ScaleLoad } from "./load";
import { ScaleRelay } from "./relay";

const RESULTS = join(import.meta.dir, "../results");

/** The share of a worker's open files that is left for other files, and for an uneven distribution over the workers. */
const WORKER_SPARE = 0.2;
/** The same of a load process, whose connections are counted beforehand. */
const LOAD_SPARE = 0.08;
const CHECK_MS = 100;
const NOTE_MS = 10_000;
/** How long memory is left to settle once all connections are open. */
const SETTLE_MS = 5_000;
/**
 * Handshakes in progress at once in each load process. Each takes several turns of several processes, which wait long for a core
 * when there are a hundred of them: with 16, opening half a million was three times slower. With 256, each takes 7 s when a
 * million reconnect, and the relay closes connections that have not sent a command within 10 s.
 */
const HANDSHAKES_MAX = 64;
/** The run has failed when nothing changes for this long. To start 63 new workers took over a minute. */
const STUCK_MS = 240_000;
/**
 * How fast the old workers close their connections: at half the rate at which two cores can open them, both ends included, since
 * there are twice as many workers then, and publications. Any faster, all of them wait for each other and hardly any reconnects.
 */
const SHUTDOWN_MS_MIN = 60_000;
const RECONNECTS_PER_SECOND = 1_800;
/** The share of the time that publications may take while connections resume. */
const PUBLISHING_SHARE = 0.2;
const FIRST_PUBLICATIONS = 3;

export interface ScaleOptions {
  readonly connections: number;
  /** Undefined for as many as the limit of open files requires. */
  readonly workers: number | undefined;
  /** The name of the files in bench/results. */
  readonly out: string;
}

interface Setup {
  readonly connections: number;
  readonly workers: number;
  readonly loadProcesses: number;
  /** The files of the findings and of the relay's log. */
  readonly findings: string;
  readonly log: string;
}

/** The machine's memory that is in use, including the kernel's, in bytes. */
function memoryInUse(): number {
  const text = readFileSync("/proc/meminfo", "utf8");
  const kilobytes = (name: string) => Number(new RegExp(`${name}: +(\\d+)`).exec(text)?.[1]);
  return (kilobytes("MemTotal") - kilobytes("MemAvailable")) * 1024;
}

/** The steps of the run, each of which adds what it found out. */
class ScaleRun {
  readonly #connections: number;
  readonly #shutdownMs: number;
  readonly #relay: ScaleRelay;
  readonly #load: ScaleLoad;
  readonly #findings: Findings;
  #published = 0;

  constructor(setup: Setup, shutdownMs: number, relay: ScaleRelay) {
    this.#connections = setup.connections;
    this.#shutdownMs = shutdownMs;
    this.#relay = relay;
    this.#load = new ScaleLoad(setup.loadProcesses);
    this.#findings = new Findings(setup.findings);
  }

  async open({ workers, loadProcesses }: Setup): Promise<void> {
    const load = this.#load;
    const connections = this.#connections;
    load.register(connections, this.#relay.port, HANDSHAKES_MAX);
    const registerS = await this.#until("registered", () => load.sum("registered"), connections);
    const machineBefore = memoryInUse();
    const relayBefore = this.#relay.memoryBytes();
    load.connect();
    const openS = await this.#until("open", () => load.sum("open"), connections);
    await Bun.sleep(SETTLE_MS);
    const each = (bytes: number) => `${(bytes / connections / 1024).toFixed(2)} KB`;
    const relayBytes = this.#relay.memoryBytes() - relayBefore;
    const machineBytes = memoryInUse() - machineBefore;
    const findings = this.#findings;
    await findings.add(
      "connections, each registered, with positions, in one topic",
      load.sum("open").toLocaleString("en"),
    );
    await findings.add("workers and load processes", `${workers} and ${loadProcesses}`);
    await findings.add("time to register all", `${registerS.toFixed(0)} s`);
    await findings.add("time to open all", `${openS.toFixed(0)} s`);
    await findings.add("memory of the relay's processes for each connection", each(relayBytes));
    await findings.add(
      "memory of the machine for each connection, both ends and the kernel",
      each(machineBytes),
    );
  }

  /** Publishes to all connections; returns the seconds that each publication took to reach all of them. */
  async publish(): Promise<number[]> {
    const reachS: number[] = [];
    for (let i = 0; i < FIRST_PUBLICATIONS; i++) {
      const start = performance.now();
      await this.#publish(`publication ${i}`);
      await this.#untilAllReceived();
      reachS.push((performance.now() - start) / 1000);
    }
    await this.#findings.add(
      "three publications, one after the other, have reached all after",
      `${reachS.map((s) => s.toFixed(1)).join(", ")} s`,
    );
    return reachS;
  }

  /** Replaces all workers while publications go on, until every connection has resumed. */
  async restart(reachS: readonly number[]): Promise<void> {
    const load = this.#load;
    const old = this.#relay.workerPids();
    this.#relay.restart();
    const resuming = this.#until("resumed", () => load.sum("resumed"), this.#connections);
    let isResumed = false;
    const pauseMs = Math.max(
      this.#shutdownMs / 10,
      (1_000 * Math.min(...reachS)) / PUBLISHING_SHARE,
    );
    const publishing = (async () => {
      for (let i = 0; !isResumed; i++) {
        await this.#publish(`during the restart ${i}`);
        await Bun.sleep(pauseMs);
      }
    })();
    const resumedS = await resuming;
    isResumed = true;
    await publishing;
    await this.#untilAllReceived();
    const gone = () => {
      const running = this.#relay.workerPids();
      return old.filter((pid) => !running.includes(pid)).length;
    };
    await this.#until("old workers gone", gone, old.length);
    await this.#findings.add(
      `all reconnected and resumed after a rolling restart over ${this.#shutdownMs / 1000} s`,
      `${resumedS.toFixed(0)} s`,
    );
  }

  /** Adds the totals. Throws if there was any fault. */
  async finish(): Promise<void> {
    const load = this.#load;
    const expected = this.#published * this.#connections;
    const findings = this.#findings;
    await findings.add(
      "publications received, each once and in order",
      `${load.sum("received").toLocaleString("en")} of ${expected.toLocaleString("en")}`,
    );
    const awayS = load.awayMaxMs() / 1000;
    await findings.add("the longest that a connection was away", `${awayS.toFixed(0)} s`);
    await findings.add(
      "publishes and connects that were tried again",
      `${this.#relay.retried} and ${load.sum("retried")}`,
    );
    const faults = [...load.faults];
    await findings.add("faults", faults.length === 0 ? "none" : faults.join("; "));
    if (faults.length > 0) throw new Error("there were faults");
  }

  async #publish(message: string): Promise<void> {
    await this.#relay.publish(message);
    this.#published++;
  }

  async #untilAllReceived(): Promise<void> {
    const expected = this.#published * this.#connections;
    await this.#until("received", () => this.#load.sum("received"), expected);
  }

  /** Waits until `measure` gives `goal`; returns the seconds that it took. Throws when nothing changes any more. */
  async #until(description: string, measure: () => number, goal: number): Promise<number> {
    const start = performance.now();
    let last = -1;
    let changedAt = start;
    let notedAt = start;
    for (;;) {
      const now = performance.now();
      const value = measure();
      if (value >= goal) return (now - start) / 1000;
      if (value !== last) changedAt = now;
      last = value;
      if (now - changedAt > STUCK_MS) {
        const faults = [...this.#load.faults].slice(0, 3);
        throw new Error(`${description}: stuck at ${value} of ${goal}; ${faults}`);
      }
      if (now - notedAt > NOTE_MS) {
        showTimedNote(
          `${description}: ${value.toLocaleString("en")} of ${goal.toLocaleString("en")}`,
        );
        notedAt = now;
      }
      await Bun.sleep(CHECK_MS);
    }
  }
}

async function scale(setup: Setup): Promise<void> {
  const { connections, workers, loadProcesses } = setup;
  showTimedNote(
    `${connections.toLocaleString("en")} connections, ${workers} workers, ${loadProcesses} load processes`,
  );
  const shutdownMs = Math.max(
    SHUTDOWN_MS_MIN,
    Math.ceil(connections / RECONNECTS_PER_SECOND) * 1_000,
  );
  const relay = await ScaleRelay.start(workers, shutdownMs, setup.log);
  const run = new ScaleRun(setup, shutdownMs, relay);
  await run.open(setup);
  await run.restart(await run.publish());
  await run.finish();
}

/** Returns whether all went well. */
export async function runScale({
  connections,
  workers: asked,
  out,
}: ScaleOptions): Promise<boolean> {
  const perWorker = Math.floor(openFilesMax() * (1 - WORKER_SPARE));
  const perLoadProcess = Math.floor(openFilesMax() * (1 - LOAD_SPARE));
  const workers = asked ?? Math.max(2, Math.ceil(connections / perWorker));
  const loadProcesses = Math.max(1, Math.ceil(connections / perLoadProcess));
  const [findings, log] = [join(RESULTS, `${out}.json`), join(RESULTS, `${out}.log`)];
  try {
    await scale({ connections, workers, loadProcesses, findings, log });
    showNote(`written: bench/results/${out}.json`);
    return true;
  } catch (error) {
    if (isEnding()) throw error;
    const message = error instanceof Error ? error.message : String(error);
    showNote(`FAILED: ${message}; the relay's log is ${log}`);
    return false;
  }
}
