// The results of a bench: every run of every row, their medians, and the ratios to the control.
// Plain data: bench/results/*.json contains it, and the table and the chart are made from it.
import type { Machine } from "../measure/machine";
import { type Summary, summaryOf } from "../measure/statistics";
import type { Figure, Options, Outcome } from "../run/scenario";
import { SCENARIOS } from "../scenarios";
import { CONTROL, targetNamed } from "../targets";

interface Cell {
  readonly figure: string;
  /** One value for each run, in the order of the runs. */
  readonly runs: readonly number[];
  readonly value: Summary | undefined;
  /** This target's value divided by the control's in the same run. */
  readonly ratio: Summary | undefined;
}

/** One target in one scenario. */
export interface Row {
  readonly target: string;
  readonly title: string;
  readonly cells: readonly Cell[];
  /** Messages in all measured phases; the row is valid only if both are equal. */
  readonly received: number;
  readonly expected: number;
  readonly serverCores: Summary | undefined;
  /** Why the row failed; undefined if it did not. */
  readonly failure: string | undefined;
}

/** One scenario. */
export interface Panel {
  readonly scenario: string;
  readonly title: string;
  /** The target whose values the ratios are to. */
  readonly control: string;
  readonly figures: readonly Figure[];
  readonly rows: readonly Row[];
}

export interface Results {
  readonly date: string;
  readonly machine: Machine;
  readonly parameters: Options;
  readonly panels: readonly Panel[];
}

/** What the runs of one target in one scenario gave. */
export interface TargetOutcomes {
  readonly outcomes: Outcome[];
  failure: string | undefined;
}

/** By scenario, then by target; the bench fills them. */
export type OutcomesByScenario = Map<string, Map<string, TargetOutcomes>>;

function ratios(own: readonly number[], control: readonly number[]): number[] {
  return own.flatMap((value, run) => {
    const floor = control[run];
    return floor === undefined || floor === 0 ? [] : [value / floor];
  });
}

/** Turns the outcomes into results; a scenario that has not run is left out. */
export function resultsOf(all: OutcomesByScenario, options: Options, machine: Machine): Results {
  const panels = SCENARIOS.filter((scenario) => all.has(scenario.name)).map((scenario) => {
    const figures = scenario.figures(options);
    const control = scenario.control ?? CONTROL;
    const byTarget = all.get(scenario.name) ?? new Map<string, TargetOutcomes>();
    const runsOf = (target: string, figure: string) =>
      (byTarget.get(target)?.outcomes ?? []).map((outcome) => outcome.values[figure] ?? 0);
    const rows = [...byTarget].map(([target, { outcomes, failure }]) => ({
      target,
      title: targetNamed(target).title,
      cells: figures.map(({ name }) => {
        const runs = runsOf(target, name);
        return {
          figure: name,
          runs,
          value: summaryOf(runs),
          ratio: summaryOf(ratios(runs, runsOf(control, name))),
        };
      }),
      received: outcomes.reduce((sum, outcome) => sum + outcome.received, 0),
      expected: outcomes.reduce((sum, outcome) => sum + outcome.expected, 0),
      serverCores: summaryOf(outcomes.flatMap(({ serverCores }) => serverCores ?? [])),
      failure,
    }));
    return { scenario: scenario.name, title: scenario.title(options), control, figures, rows };
  });
  return { date: new Date().toISOString(), machine, parameters: options, panels };
}

/** The rows that did not receive what was expected, each as its scenario and target. */
export function failedRows(results: Results): string[] {
  return results.panels.flatMap(({ scenario, rows }) =>
    rows.flatMap(({ target, failure }) => (failure === undefined ? [] : `${scenario} ${target}`)),
  );
}

/** A value with its significant digits: 0.334, 5.61, 24.3, 1,234. */
export function readable(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** How many times something is another, with its significant digits. */
export function factor(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}
