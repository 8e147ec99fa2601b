// The bench: runs every scenario on every target, in turn, and writes table, JSON and chart.
// Exit code 0 only if every connection received exactly what it should have in every run.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { endAllChildren, isEnding } from "./children";
import { describeMachine } from "./measure/machine";
import { helpText, OptionError, type Options, readOptions } from "./options";
import { chartOf } from "./report/chart";
import { markdownOf } from "./report/markdown";
import { clearProgress, showNote, showProgress } from "./report/progress";
import { allPassed, type Records, resultsOf, type Tally } from "./report/results";
import { runScale } from "./scale/run";
import { SCENARIOS } from "./scenarios";
import type { Outcome, Scenario } from "./scenarios/scenario";
import { targetNamed } from "./targets";

/** One target's part in one run. */
interface Player {
  readonly target: string;
  readonly tally: Tally;
  readonly steps: AsyncGenerator<void, Outcome>;
  done: boolean;
}

/** Goes to the player's next turn, or to its end. */
async function step(player: Player, doing: string): Promise<void> {
  const { target, tally, steps } = player;
  try {
    const { done, value } = await steps.next();
    if (done !== true) return;
    tally.outcomes.push(value);
  } catch (error) {
    if (isEnding()) throw error;
    tally.failure = error instanceof Error ? error.message : String(error);
    showNote(`FAILED: ${doing}, ${target}: ${tally.failure}`);
  }
  player.done = true;
}

async function runScenario(scenario: Scenario, options: Options, records: Records): Promise<void> {
  const tallies = new Map<string, Tally>();
  const targets = scenario.targets?.(options.targets) ?? options.targets;
  for (const target of targets) tallies.set(target, { outcomes: [], failure: undefined });
  records.set(scenario.name, tallies);
  for (let run = 1; run <= options.runs; run++) {
    const doing = `${scenario.name}, run ${run} of ${options.runs}`;
    let players: Player[] = [...tallies]
      .filter(([, tally]) => tally.failure === undefined)
      .map(([target, tally]) => {
        const steps = scenario.run(targetNamed(target), options);
        return { target, tally, steps, done: false };
      });
    // So that a machine that slows down favours nobody.
    if (run % 2 === 0) players.reverse();
    for (let turn = 0; players.length > 0; turn++) {
      for (const player of players) {
        showProgress(`${doing}: ${player.target}`, turn === 0);
        await step(player, doing);
      }
      // In the same order, so that as many others have their turns before each one's.
      players = players.filter((player) => !player.done);
    }
  }
}

async function bench(options: Options): Promise<boolean> {
  const machine = describeMachine();
  const records: Records = new Map();
  for (const scenario of SCENARIOS) {
    if (options.scenarios.includes(scenario.name)) await runScenario(scenario, options, records);
  }
  clearProgress();
  const results = resultsOf(records, options, machine);
  const folder = join(import.meta.dir, "results");
  mkdirSync(folder, { recursive: true });
  await Bun.write(join(folder, `${options.out}.json`), `${JSON.stringify(results, null, 2)}\n`);
  await Bun.write(join(folder, `${options.out}.svg`), chartOf(results));
  process.stdout.write(markdownOf(results));
  showNote(`written: bench/results/${options.out}.json and .svg`);
  return allPassed(results);
}

let signalled: number | undefined;

async function stopBySignal(code: number): Promise<void> {
  signalled = code;
  clearProgress();
  await endAllChildren();
  process.exit(code);
}

process.on("SIGHUP", () => void stopBySignal(129));
process.on("SIGINT", () => void stopBySignal(130));
process.on("SIGTERM", () => void stopBySignal(143));

try {
  const [subject, ...rest] = process.argv.slice(2);
  const options = subject === "scale" ? subject : readOptions(process.argv.slice(2));
  if (options === "scale") {
    await runScale(rest);
  } else if (options === "help") {
    process.stdout.write(helpText());
  } else {
    const passed = await bench(options);
    process.exitCode = passed ? 0 : 1;
  }
} catch (error) {
  clearProgress();
  if (!isEnding()) console.error(error instanceof OptionError ? error.message : error);
  process.exitCode = 1;
} finally {
  await endAllChildren();
}
process.exit(signalled);
