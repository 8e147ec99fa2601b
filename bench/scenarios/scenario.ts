// What a scenario is: figures, and one run that gives a value for each of them.
// A run is one fresh server, and goes in steps, so that the targets take turns within it.
import type { Options } from "../options";
import type { Target } from "../targets/target";

export interface Figure {
  readonly name: string;
  /** With its unit, as the head of a column. */
  readonly label: string;
  readonly unit: string;
  readonly better: "less" | "more";
  /** Whether the chart shows it; figures of one scenario share one panel and its unit. */
  readonly charted: boolean;
}

export interface Outcome {
  /** One value for each figure, in its unit, by its name. */
  readonly values: Readonly<Record<string, number>>;
  readonly expected: number;
  readonly received: number;
  /** Cores the server used while it was measured; undefined where it shall be idle. */
  readonly serverCores: number | undefined;
}

export interface Scenario {
  readonly name: string;
  readonly title: (options: Options) => string;
  /** Which targets it is for, of those that are asked for; all if not set. */
  readonly targets?: (asked: readonly string[]) => readonly string[];
  readonly figures: (options: Options) => readonly Figure[];
  /** One run, with a `yield` wherever another target may go on. Throws if received is not expected. */
  readonly run: (target: Target, options: Options) => AsyncGenerator<void, Outcome>;
}
