// The results of a bench: every run of every row, their medians, and the ratios to the control.
// Plain data: this is what bench/results/*.json holds, and what the table and the chart are drawn from.
import type { Machine } from "../measure/machine";
import { type Summary, summary } from "../measure/statistics";
import type { Options } from "../options";
import { SCENARIOS } from "../scenarios";
import type { Figure, Outcome } from "../scenarios/scenario";
import { CONTROL, targetNamed } from "../targets";

export interface Cell {
  readonly figure: string;
  /** One value for each run, in the order of the runs. */
  readonly runs: readonly number[];
  readonly value: Summary | undefined;
  /** This target's value divided by the control's of the same run. */
  readonly ratio: Summary | undefined;
}

export interface Row {
  readonly target: string;
  readonly title: string;
  readonly cells: readonly Cell[];
  /** Messages over all measured phases; a row counts only if these two are equal. */
  readonly received: number;
  readonly expected: number;
  readonly serverCores: Summary | undefined;
  /** Why the row failed; undefined when all is well. */
  readonly failure: string | undefined;
}

export interface Panel {
  readonly scenario: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  readonly rows: readonly Row[];
}

export interface Results {
  readonly date: string;
  readonly machine: Machine;
  readonly parameters: Options;
  readonly panels: readonly Panel[];
}

/** All that came out of one target in one scenario. */
export interface Tally {
  readonly outcomes: Outcome[];
  failure: string | undefined;
}

/** The records by scenario and target, as the bench fills them. */
export type Records = Map<string, Map<string, Tally>>;

function ratios(own: readonly number[], control: readonly number[]): number[] {
  return own.flatMap((value, run) => {
    const floor = control[run];
    return floor === undefined || floor === 0 ? [] : [value / floor];
  });
}

/** Turns the records into results; what has not run yet is left out. */
export function resultsOf(records: Records, options: Options, machine: Machine): Results {
  const panels = SCENARIOS.filter((scenario) => records.has(scenario.name)).map((scenario) => {
    const figures = scenario.figures(options);
    const ofTargets = records.get(scenario.name) ?? new Map<string, Tally>();
    const runsOf = (target: string, figure: string) =>
      (ofTargets.get(target)?.outcomes ?? []).map((outcome) => outcome.values[figure] ?? 0);
    const rows = [...ofTargets].map(([target, { outcomes, failure }]) => ({
      target,
      title: targetNamed(target).title,
      cells: figures.map(({ name }) => {
        const runs = runsOf(target, name);
        return {
          figure: name,
          runs,
          value: summary(runs),
          ratio: summary(ratios(runs, runsOf(CONTROL, name))),
        };
      }),
      received: outcomes.reduce((sum, outcome) => sum + outcome.received, 0),
      expected: outcomes.reduce((sum, outcome) => sum + outcome.expected, 0),
      serverCores: summary(outcomes.flatMap(({ serverCores }) => serverCores ?? [])),
      failure,
    }));
    return { scenario: scenario.name, title: scenario.title(options), figures, rows };
  });
  return { date: new Date().toISOString(), machine, parameters: options, panels };
}

/** Whether every row received what was expected. */
export function allPassed(results: Results): boolean {
  return results.panels.every((panel) => panel.rows.every((row) => row.failure === undefined));
}

/** A value with as many digits as mean something: 0.334, 5.61, 24.3, 1,234. */
export function readable(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
