// What the relay sends to the console once a second: edge/operator/figures.ts makes it, figures.ts here reads it.

/** Where it is published. */
export const FIGURES_TOPIC = "$baton";

/** What a process that starts workers, and takes no connections itself, has taken in the second before. */
export interface SupervisorUsage {
  /** The name of its machine, which all of its workers know. */
  readonly machine: string;
  /** Of one core. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
}

/** How a source of BATON_SOURCES_FILE is. */
export interface SourceFigures {
  readonly name: string;
  readonly kind: string;
  /** waiting, opening, down, held or reading. */
  readonly state: string;
  readonly sinceMs: number;
  readonly lag?: number | undefined;
  /** Why it is down. */
  readonly failure?: string | undefined;
}

/** What leaves the relay by another way than connections, such as webhooks. */
export interface WayOutFigures {
  readonly name: string;
  /** What waits, as far as this node knows. */
  readonly waiting: number;
  /** What nobody will get any more. */
  readonly givenUp: number;
  /** For how long the oldest has waited, where that is known. */
  readonly lateMs?: number | undefined;
}

/** What one node counts; counts only grow, so that two of them tell how much it was in between. */
export interface NodeFigures {
  readonly node: string;
  /** Open connections by protocol. */
  readonly open: Readonly<Record<string, number>>;
  readonly deliveries: number;
  readonly publications: number;
  /** Upper bounds in seconds, and how many publications left within each of them (and the one before not). */
  readonly departures: { readonly bounds: readonly number[]; readonly counts: readonly number[] };
  readonly refusals: Readonly<Record<string, number>>;
  readonly slowConsumers: number;
  /** The newest first. */
  readonly slow: readonly { readonly user: string; protocol: string; agoMs: number }[];
  readonly topics: number;
  readonly users: number;
  readonly cpuMs: number;
  readonly memoryBytes: number;
  /** As they are on this node: another one may read what waits here. */
  readonly sources: readonly SourceFigures[];
  /** Those that the settings ask for. */
  readonly waysOut: readonly WayOutFigures[];
  /** The process that has started it, where it is a worker; each of the workers says the same. */
  readonly supervisor?: SupervisorUsage | undefined;
}

/** Those of all nodes. */
export interface AllFigures {
  /** In ms of Unix time. */
  readonly at: number;
  /** How many nodes did not answer. */
  readonly silent: number;
  readonly nodes: readonly NodeFigures[];
  /** How each source is over all nodes; a node of the version before does not say it. */
  readonly sources?: readonly SourceFigures[];
}
