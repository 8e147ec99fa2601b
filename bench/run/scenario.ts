// What a scenario is: the figures it gives, and how one run of it on one target gives a value for each.
// A run has a fresh server and goes in steps, so that the targets can take turns.
import type { Target } from "../targets/target";

/** What the command line chose. The results keep it as their `parameters`. */
export interface Options {
  readonly quick: boolean;
  readonly connections: number;
  readonly subscribers: number;
  readonly runs: number;
  readonly seconds: number;
  readonly rate: number;
  readonly processes: number;
  /** Parts of a measured phase; the targets take turns between them. */
  readonly slices: number;
  readonly scenarios: readonly string[];
  readonly targets: readonly string[];
  readonly out: string;
}

export interface Figure {
  readonly name: string;
  /** The head of its column, which adds the unit. */
  readonly label: string;
  readonly unit: string;
}

/** What one run of a scenario on one target gave. */
export interface Outcome {
  /** A value for each figure, in its unit, by its name. */
  readonly values: Readonly<Record<string, number>>;
  readonly expected: number;
  readonly received: number;
  /** Cores that the server used while it was measured; undefined where it was idle. */
  readonly serverCores: number | undefined;
}

export interface Scenario {
  readonly name: string;
  readonly title: (options: Options) => string;
  /** Whether --quick runs it too, unless it is named; true if not set. */
  readonly isInQuick?: boolean;
  /** Which targets it runs on, given those that were asked for; all of them if not set. */
  readonly targets?: (asked: readonly string[]) => readonly string[];
  /** The target that the others are compared with; the control if not set. */
  readonly control?: string;
  readonly figures: (options: Options) => readonly Figure[];
  /** One run, with a `yield` wherever another target may take its turn. Throws if anything is lost, duplicate or damaged. */
  readonly run: (target: Target, options: Options) => AsyncGenerator<void, Outcome>;
}
