// The runs of one scenario. Within a run the targets take turns, so that whatever slows the machine
// for a while affects all of them alike.
import { showNote, showProgress, updateProgress } from "./report/progress";
import type { TargetOutcomes } from "./report/results";
import { isEnding } from "./run/child-processes";
import type { Options, Outcome, Scenario } from "./run/scenario";
import { targetNamed } from "./targets";

/** One target's part of one run. */
interface ActiveRun {
  readonly target: string;
  readonly results: TargetOutcomes;
  readonly steps: AsyncGenerator<void, Outcome>;
  done: boolean;
}

/** Goes on to the run's next turn, or to its end. */
async function takeTurn(run: ActiveRun, description: string): Promise<void> {
  try {
    const { done, value } = await run.steps.next();
    if (done !== true) return;
    run.results.outcomes.push(value);
  } catch (error) {
    if (isEnding()) throw error;
    run.results.failure = error instanceof Error ? error.message : String(error);
    showNote(`FAILED: ${description}, ${run.target}: ${run.results.failure}`);
  }
  run.done = true;
}

/** Runs the scenario on its targets and adds what it gives to `byTarget`. A target that failed does not run again. */
export async function runScenario(
  scenario: Scenario,
  options: Options,
  byTarget: Map<string, TargetOutcomes>,
): Promise<void> {
  const targets = scenario.targets?.(options.targets) ?? options.targets;
  for (const target of targets) byTarget.set(target, { outcomes: [], failure: undefined });
  for (let number = 1; number <= options.runs; number++) {
    const description = `${scenario.name}, run ${number} of ${options.runs}`;
    let active: ActiveRun[] = [...byTarget]
      .filter(([, results]) => results.failure === undefined)
      .map(([target, results]) => {
        const steps = scenario.run(targetNamed(target), options);
        return { target, results, steps, done: false };
      });
    // Every other run goes backwards, so that a machine that slows down favours nobody.
    if (number % 2 === 0) active.reverse();
    for (let turn = 0; active.length > 0; turn++) {
      // The order stays the same within a run, so that each target has had equally many others before its turn.
      for (const run of active) {
        const text = `${description}: ${run.target}`;
        if (turn === 0) showProgress(text);
        else updateProgress(text);
        if (!options.quick) await takeTurn(run, description);
      }
      // A quick run does not ask for times, so nobody need wait for the turns of others.
      if (options.quick) await Promise.all(active.map((run) => takeTurn(run, description)));
      active = active.filter((run) => !run.done);
    }
  }
}
