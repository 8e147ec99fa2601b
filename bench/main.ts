// `bun run bench`: runs every scenario on every target, and writes the tables, the JSON, the charts and the figures of the docs.
// The exit code is 0 only if every connection received exactly what it should have in every run.
import { join } from "node:path";
import { describeMachine } from "./measure/machine";
import { helpText, OptionError, readOptions, readScaleOptions, resultName } from "./options";
import { chartsOf } from "./report/chart";
import { markdownOf } from "./report/markdown";
import { withFigures } from "./report/page";
import { clearProgress, showNote } from "./report/progress";
import {
  allPassed,
  type OutcomesByScenario,
  type Results,
  resultsOf,
  type TargetOutcomes,
} from "./report/results";
import { endAllChildren, isEnding } from "./run/child-processes";
import type { Options } from "./run/scenario";
import { runScale } from "./scale/scale";
import { SCENARIOS } from "./scenarios";
import { runScenario } from "./turns";

const RESULTS = join(import.meta.dir, "results");
/** The result that the docs quote, and the page that does. */
const QUOTED = "latest";
const PAGE = join(import.meta.dir, "../docs/performance.md");

async function bench(options: Options): Promise<boolean> {
  const machine = describeMachine();
  const all: OutcomesByScenario = new Map();
  for (const scenario of SCENARIOS) {
    if (!options.scenarios.includes(scenario.name)) continue;
    const byTarget = new Map<string, TargetOutcomes>();
    all.set(scenario.name, byTarget);
    await runScenario(scenario, options, byTarget);
  }
  clearProgress();
  const results = resultsOf(all, options, machine);
  await Bun.write(join(RESULTS, `${options.out}.json`), `${JSON.stringify(results, null, 2)}\n`);
  process.stdout.write(markdownOf(results));
  showNote(`written: bench/results/${options.out}.json`);
  await draw(results, options.out);
  return allPassed(results);
}

/** Draws the charts of a result, and fills in the page if it quotes that result. */
async function draw(results: Results, name: string): Promise<void> {
  for (const [suffix, svg] of chartsOf(results)) {
    await Bun.write(join(RESULTS, `${name}${suffix}.svg`), svg);
    showNote(`written: bench/results/${name}${suffix}.svg`);
  }
  if (name !== QUOTED) return;
  await Bun.write(PAGE, withFigures(await Bun.file(PAGE).text(), results, name));
  showNote("written: docs/performance.md");
}

/** Does what the arguments ask for; returns the exit code. */
async function run(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  if (command === "chart") {
    const name = resultName("chart", rest[0] ?? "");
    await draw(await Bun.file(join(RESULTS, `${name}.json`)).json(), name);
    return 0;
  }
  const options = command === "scale" ? readScaleOptions(rest) : readOptions(args);
  if (options === "help") {
    process.stdout.write(helpText());
    return 0;
  }
  const isWell = "scenarios" in options ? await bench(options) : await runScale(options);
  return isWell ? 0 : 1;
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
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  clearProgress();
  if (!isEnding()) console.error(error instanceof OptionError ? error.message : error);
  process.exitCode = 1;
} finally {
  await endAllChildren();
}
process.exit(signalled);
