// `bun run bench scale --connections 1000000`: as many connections of one relay as this machine can hold, over as many
// workers and load processes as the limit of descriptors asks for.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { endAllChildren, startChild } from "../children";
import { describeMachine } from "../measure/machine";
import { showNote } from "../report/progress";
import { publishBody, TOPIC } from "../targets/target";
import type { Order, State } from "./orders";

/** Of a process's descriptors, what is left for other things, and for an uneven spread over the workers. */
const SPARE = 0.2;
const PORT = 31_999;
const STEP_MS = 100;
/**
 * Handshakes under way at once in each load process: each takes several turns of several processes, which wait long for a core
 * when there are a hundred of them. With 16, opening half a million was three times slower. With 256 each takes 7 s when a million
 * come back, and the relay ends those that have not asked for anything after 10.
 */
const AT_ONCE = 64;
/** Nothing moves for so long: the run has failed. Beginning with 63 new workers took over a minute. */
const STUCK_MS = 240_000;
/**
 * Over how long the old workers close their connections: half as many a second as two cores can open, both ends of them, since
 * there are twice as many workers then, and publications. Faster, all of them wait for each other and hardly any comes back.
 */
const WINDOW_MS_MIN = 60_000;
const BACK_PER_SECOND = 1_800;
/** Of the time, what publications may take of the machine while connections come back. */
const PUBLISHING = 0.2;

/** What the relay says. */
const LOG = join(import.meta.dir, "../results/scale.log");

interface Scale {
  readonly connections: number;
  readonly workers: number;
  readonly loads: number;
}

class Load {
  state: State = { registered: 0, open: 0, received: 0, back: 0, again: 0, awayMs: 0, faults: [] };
  readonly #child;

  constructor() {
    this.#child = startChild(["bun", join(import.meta.dir, "crowd.ts")], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      ipc: (state: State) => {
        this.state = state;
        for (const what of state.faults) {
          if (!faults.includes(what)) note(`fault: ${what}`);
          faults.push(what);
        }
      },
    });
  }

  order(order: Order): void {
    this.#child.send(order);
  }
}

/** What was found out: shown and kept line by line, so that what fails later takes nothing away. */
class Table {
  readonly #rows: Record<string, string> = {};

  async add(name: string, value: string): Promise<void> {
    this.#rows[name] = value;
    process.stdout.write(`| ${name.padEnd(76)} | ${value} |\n`);
    const text = JSON.stringify({ machine: describeMachine(), ...this.#rows }, null, 2);
    await Bun.write(join(import.meta.dir, "../results/scale.json"), `${text}\n`);
  }
}

const TRIES = 20;

const faults: string[] = [];
/** Publishes that were tried again. */
let retried = 0;
const begun = performance.now();

function note(text: string): void {
  const s = Math.round((performance.now() - begun) / 1000);
  showNote(`[${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}] ${text}`);
}

/** The machine's memory that is in use, kernel included, in bytes. */
function memoryInUse(): number {
  const text = readFileSync("/proc/meminfo", "utf8");
  const kb = (name: string) => Number(new RegExp(`${name}: +(\\d+)`).exec(text)?.[1]);
  return (kb("MemTotal") - kb("MemAvailable")) * 1024;
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

/** What the relay's processes have of memory for themselves, in bytes. */
function relayMemory(pid: number): number {
  const own = (each: number) => {
    const text = readFileSync(`/proc/${each}/smaps_rollup`, "utf8");
    return Number(/Pss: +(\d+)/.exec(text)?.[1]) * 1024;
  };
  return [pid, ...childrenOf(pid)].reduce((sum, each) => sum + own(each), 0);
}

/** Resolves with how many seconds it took; throws when nothing moves any more. */
async function until(what: string, measure: () => number, goal: number): Promise<number> {
  const start = performance.now();
  let last = -1;
  let movedAt = start;
  let toldAt = start;
  for (;;) {
    const now = performance.now();
    const value = measure();
    if (value >= goal) return (now - start) / 1000;
    if (value !== last) movedAt = now;
    last = value;
    if (now - movedAt > STUCK_MS)
      throw new Error(`${what}: stuck at ${value} of ${goal}; ${faults.slice(0, 3)}`);
    if (now - toldAt > 10_000) {
      note(`${what}: ${value.toLocaleString("en")} of ${goal.toLocaleString("en")}`);
      toldAt = now;
    }
    await Bun.sleep(STEP_MS);
  }
}

async function ready(pid: number): Promise<void> {
  const deadline = performance.now() + 180_000;
  while (performance.now() < deadline) {
    const answer = await fetch(`http://127.0.0.1:${PORT}/health`).catch(() => undefined);
    if (answer?.ok === true) return;
    process.kill(pid, 0);
    await Bun.sleep(STEP_MS);
  }
  throw new Error("the relay does not start");
}

/** With a key, so that it can be tried again. */
async function publish(message: string): Promise<void> {
  const headers = {
    "content-type": "application/json",
    "idempotency-key": crypto.randomUUID(),
    connection: "close",
  };
  const body = publishBody(TOPIC, message, undefined);
  for (let tries = 1; ; tries++) {
    const url = `http://127.0.0.1:${PORT}/publish`;
    const answer = await fetch(url, { method: "POST", headers, body }).catch(() => undefined);
    if (answer?.ok === true) return;
    if (tries === TRIES) throw new Error(`publish was answered ${answer?.status}`);
    retried++;
    await Bun.sleep(1_000);
  }
}

async function scale({ connections, workers, loads: count }: Scale): Promise<void> {
  const windowMs = Math.max(WINDOW_MS_MIN, Math.ceil(connections / BACK_PER_SECOND) * 1_000);
  note(
    `${connections.toLocaleString("en")} connections, ${workers} workers, ${count} load processes`,
  );
  await Bun.write(LOG, "");
  const server = startChild(["bun", join(import.meta.dir, "../../src/main.ts")], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: String(PORT),
      HOST: "0.0.0.0",
      BATON_INSECURE: "1",
      BATON_LOG_LEVEL: "warn",
      BATON_WORKERS: String(workers),
      BATON_REGISTRATIONS_MAX: "10000000",
      BATON_REGISTRATION_TTL_MS: "1800000",
      // Longer than anybody is away: with a million on two cores some are for minutes.
      BATON_HISTORY_TTL_MS: "1800000",
      BATON_PING_MS: "300000",
      BATON_PONG_MS: "60000",
      BATON_SHUTDOWN_MS: String(windowMs),
    },
    stdin: "ignore",
    stdout: Bun.file(LOG),
    stderr: "inherit",
  });
  await ready(server.pid);
  const loads = Array.from({ length: count }, () => new Load());
  const sum = (part: (state: State) => number) => () =>
    loads.reduce((total, { state }) => total + part(state), 0);
  const received = sum((state) => state.received);
  const open = sum((state) => state.open);
  const back = sum((state) => state.back);
  const again = sum((state) => state.again);
  const share = Math.ceil(connections / count);
  let first = 0;
  for (const [i, load] of loads.entries()) {
    const size = Math.min(share, connections - first);
    const hosts = [2, 3].map((last) => `127.0.${i + 1}.${last}`);
    const crowd = { hosts, port: PORT, first: first + 1, count: size, atOnce: AT_ONCE };
    load.order({ kind: "register", crowd });
    first += size;
  }
  const registerS = await until(
    "registered",
    sum((state) => state.registered),
    connections,
  );
  const usedBefore = memoryInUse();
  const relayBefore = relayMemory(server.pid);
  for (const load of loads) load.order({ kind: "open" });
  const openS = await until("open", open, connections);
  await Bun.sleep(5_000);
  const each = (bytes: number) => `${(bytes / connections / 1024).toFixed(2)} KB`;
  const relay = relayMemory(server.pid) - relayBefore;
  const used = memoryInUse() - usedBefore;
  const table = new Table();
  await table.add(
    "connections, each registered, with positions, in one topic",
    open().toLocaleString("en"),
  );
  await table.add("workers and load processes", `${workers} and ${count}`);
  await table.add("time to register all", `${registerS.toFixed(0)} s`);
  await table.add("time to open all", `${openS.toFixed(0)} s`);
  await table.add("memory of the relay's processes for each connection", each(relay));
  await table.add(
    "memory of the machine for each connection, both ends and the kernel",
    each(used),
  );

  let published = 0;
  const reachS: number[] = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    await publish(`publication ${i}`);
    published++;
    await until("reached", received, published * connections);
    reachS.push((performance.now() - start) / 1000);
  }
  const reached = `${reachS.map((s) => s.toFixed(1)).join(", ")} s`;
  await table.add("three publications, one after the other, have reached all after", reached);

  const old = childrenOf(server.pid);
  server.kill("SIGHUP");
  const coming = until("came back", back, connections);
  let isBack = false;
  const pauseMs = Math.max(windowMs / 10, (1_000 * Math.min(...reachS)) / PUBLISHING);
  const publishing = (async () => {
    for (let i = 0; !isBack; i++) {
      await publish(`while they come back ${i}`);
      published++;
      await Bun.sleep(pauseMs);
    }
  })();
  const backS = await coming;
  isBack = true;
  await publishing;
  await until("all received", received, published * connections);
  await until(
    "old workers gone",
    () => old.filter((pid) => !childrenOf(server.pid).includes(pid)).length,
    old.length,
  );
  await table.add(
    `all came back and resumed after a rolling restart over ${windowMs / 1000} s`,
    `${backS.toFixed(0)} s`,
  );
  await table.add(
    "publications received, each once and in order",
    `${received().toLocaleString("en")} of ${(published * connections).toLocaleString("en")}`,
  );
  const awayS = Math.max(...loads.map(({ state }) => state.awayMs)) / 1000;
  await table.add("the longest that a connection was away", `${awayS.toFixed(0)} s`);
  await table.add("publishes and connects that were tried again", `${retried} and ${again()}`);
  const problems = [...new Set(faults)];
  await table.add("faults", problems.length === 0 ? "none" : problems.join("; "));
  if (problems.length > 0) throw new Error("the run has faults");
}

/** Reads `--connections N` and perhaps `--workers N`, and does it. Throws what went wrong. */
export async function runScale(args: readonly string[]): Promise<void> {
  const numberOf = (name: string): number | undefined => {
    const at = args.indexOf(name);
    return at < 0 ? undefined : Number(args[at + 1]);
  };
  const connections = numberOf("--connections") ?? 100_000;
  if (!(connections >= 1 && connections <= 10_000_000))
    throw new Error("--connections takes a number.");
  const limit = Number(
    /Max open files +(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1],
  );
  const each = Math.floor(limit * (1 - SPARE));
  const workers = numberOf("--workers") ?? Math.max(2, Math.ceil(connections / each));
  const loads = Math.ceil(connections / Math.floor(limit * 0.92));
  try {
    await scale({ connections, workers, loads });
  } catch (error) {
    note(`FAILED: ${error instanceof Error ? error.message : error}; the relay's log is ${LOG}`);
    process.exitCode = 1;
  } finally {
    await endAllChildren();
  }
}
