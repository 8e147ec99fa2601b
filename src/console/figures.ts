// The stream of figures, and what happened between two of them. The console is a client of the relay like any other: it is
// registered with the topic of the figures, and connects with format=json.
import { messageOf, register } from "./api";
import {
  type AllFigures,
  FIGURES_TOPIC,
  type NodeFigures,
  type SourceFigures,
  type WayOutFigures,
} from "./node-figures";

const USER = "$console";
const AGAIN_MS = 1_500;

/** Figures come once a second. A browser does not say that a network has gone. */
const SILENCE_MS = 10_000;

/** One process in the second before. */
export interface ProcessSecond {
  /** What it is, and the beginning of its name. */
  readonly title: string;
  /** Undefined for a supervisor, which takes none. */
  readonly connections: number | undefined;
  /** Of one core. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
}

/** All nodes in the second before. */
export interface Second {
  readonly at: Date;
  readonly silent: number;
  readonly open: Readonly<Record<string, number>>;
  readonly connections: number;
  /** A second. */
  readonly publications: number;
  readonly deliveries: number;
  /** Until publications had left; undefined when none did. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly refusals: Readonly<Record<string, number>>;
  readonly slow: readonly { readonly user: string; readonly protocol: string; readonly at: Date }[];
  readonly processes: readonly ProcessSecond[];
  readonly sources: readonly SourceFigures[];
  readonly waysOut: readonly WayOutFigures[];
}

interface Listener {
  onSecond(second: Second): void;
  onState(state: "live" | "lost", why: string): void;
}

/** Connects, and connects again whenever the connection is lost. */
export function follow(listener: Listener): void {
  let before: AllFigures | undefined;
  const again = (why: string) => {
    listener.onState("lost", why);
    setTimeout(connect, AGAIN_MS * (0.5 + Math.random()));
  };
  const connect = async () => {
    let address: string;
    try {
      address = (await register(USER, [FIGURES_TOPIC])).ws;
    } catch (error) {
      again(messageOf(error));
      return;
    }
    const socket = new WebSocket(`${address}?format=json`);
    let silence: ReturnType<typeof setTimeout> | undefined;
    const end = (why: string) => {
      clearTimeout(silence);
      socket.onclose = null;
      socket.close();
      again(why);
    };
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => end("No figures have come for 10 s."), SILENCE_MS);
    };
    listen();
    socket.onopen = () => {
      socket.send(JSON.stringify({ topics: [FIGURES_TOPIC] }));
      listener.onState("live", "");
    };
    socket.onmessage = ({ data: frame }) => {
      listen();
      const { topic, data } = JSON.parse(frame);
      if (topic !== FIGURES_TOPIC) return;
      if (before !== undefined && data.at > before.at) listener.onSecond(difference(before, data));
      before = data;
    };
    socket.onclose = ({ code }) => end(`The connection was lost (${code}).`);
  };
  connect();
}

function difference(before: AllFigures, after: AllFigures): Second {
  const seconds = (after.at - before.at) / 1_000;
  const older = new Map(before.nodes.map((node) => [node.node, node]));
  const pairs = after.nodes.flatMap((now) => {
    const was = older.get(now.node);
    return was === undefined ? [] : [{ was, now }];
  });
  const rate = (of: (node: NodeFigures) => number) =>
    pairs.reduce((sum, { was, now }) => sum + of(now) - of(was), 0) / seconds;
  const open: Record<string, number> = {};
  for (const { open: here } of after.nodes) add(open, here);
  const refusals: Record<string, number> = {};
  for (const { was, now } of pairs) {
    add(refusals, now.refusals);
    add(refusals, was.refusals, -1);
  }
  const departures = departuresOf(pairs);
  return {
    at: new Date(after.at),
    silent: after.silent,
    open,
    connections: Object.values(open).reduce((sum, value) => sum + value, 0),
    publications: rate(({ publications }) => publications),
    deliveries: rate(({ deliveries }) => deliveries),
    p50Ms: quantile(departures, 0.5),
    p99Ms: quantile(departures, 0.99),
    refusals: Object.fromEntries(Object.entries(refusals).filter(([, value]) => value > 0)),
    slow: pairs.flatMap(({ was, now }) => slowSince(was, now, after.at)),
    processes: [
      ...pairs.map(({ was, now }) => ({
        title: titleOf("process", now.node),
        connections: Object.values(now.open).reduce((sum, value) => sum + value, 0),
        cpuPercent: (now.cpuMs - was.cpuMs) / seconds / 10,
        memoryBytes: now.memoryBytes,
      })),
      ...supervisorsIn(after),
    ],
    sources: (after.sources ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    waysOut: waysOutIn(after),
  };
}

/** What all nodes count of each, added up. */
function waysOutIn({ nodes }: AllFigures): WayOutFigures[] {
  const sums = new Map<string, WayOutFigures>();
  for (const { name, waiting, givenUp, lateMs } of nodes.flatMap(({ waysOut }) => waysOut ?? [])) {
    const sum = sums.get(name) ?? { name, waiting: 0, givenUp: 0 };
    sums.set(name, {
      name,
      waiting: sum.waiting + waiting,
      givenUp: sum.givenUp + givenUp,
      lateMs: lateMs === undefined ? sum.lateMs : Math.max(lateMs, sum.lateMs ?? 0),
    });
  }
  return [...sums.values()];
}

/** One for each machine: all of its workers say the same of it. */
function supervisorsIn({ nodes }: AllFigures): ProcessSecond[] {
  const found = nodes.flatMap(({ supervisor }) => supervisor ?? []);
  const byMachine = new Map(found.map((supervisor) => [supervisor.machine, supervisor]));
  return Array.from(byMachine.values(), ({ machine, cpuPercent, memoryBytes }) => ({
    title: titleOf("supervisor", machine),
    connections: undefined,
    cpuPercent,
    memoryBytes,
  }));
}

function titleOf(kind: "process" | "supervisor", name: string): string {
  return `${kind} ${name.slice(0, 6)}`;
}

/** The newest ends of slow consumers, as many as were counted since. */
function slowSince(was: NodeFigures, now: NodeFigures, at: number): Second["slow"] {
  const count = now.slowConsumers - was.slowConsumers;
  return now.slow
    .slice(0, count)
    .map(({ user, protocol, agoMs }) => ({ user, protocol, at: new Date(at - agoMs) }));
}

function add(
  sums: Record<string, number>,
  values: Readonly<Record<string, number>>,
  sign = 1,
): void {
  for (const [name, value] of Object.entries(values)) {
    sums[name] = (sums[name] ?? 0) + sign * value;
  }
}

interface Departures {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

function departuresOf(
  pairs: readonly { readonly was: NodeFigures; readonly now: NodeFigures }[],
): Departures {
  const bounds = pairs[0]?.now.departures.bounds ?? [];
  const counts = Array.from({ length: bounds.length + 1 }, (_, i) =>
    pairs.reduce(
      (sum, { was, now }) =>
        sum + (now.departures.counts[i] ?? 0) - (was.departures.counts[i] ?? 0),
      0,
    ),
  );
  return { bounds, counts };
}

/** Within its bucket it is taken to be spread evenly. */
function quantile({ bounds, counts }: Departures, share: number): number | undefined {
  const total = counts.reduce((sum, value) => sum + value, 0);
  if (total === 0) return undefined;
  let rest = share * total;
  for (const [i, value] of counts.entries()) {
    const low = bounds[i - 1] ?? 0;
    const high = bounds[i] ?? 2 * low;
    if (rest <= value) return 1_000 * (low + ((high - low) * rest) / (value || 1));
    rest -= value;
  }
  return undefined;
}
