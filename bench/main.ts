// `bun run bench`: runs every scenario on every target, and writes the tables, the JSON, the charts and the figures of the docs.
// The exit code is 0 only if every connection received exactly what it should have in every run.
import { join } from "node:path";
import { describeMachine } from "./measure/machine";
import { helpText, OptionError, readChartName, readOptions, readScaleOptions } from "./options";
import { chartsOf } from "./report/chart";
import { markdownOf } from "./report/markdown";
import { withFigures } from "./report/page";
import { clearProgress, showNote } from "./report/progress";
import {
  failedRows,
  type OutcomesByScenario,
  type Results,
  resultsOf,
  type TargetOutcomes,
} from "./report/results";
import { checkMachine, checkTargets } from "./requirements";
import { endAllChildren, isEnding } from "./run/child-processes";
import type { Options } from "./run/scenario";
import { runScale, type ScaleOptions } from "./scale/scale";
import { SCENARIOS } from "./scenarios";
import { runScenario } from "./turns";

const RESULTS = join(import.meta.dir, "results");
/** The result that the docs quote, and the page that does. */
const QUOTED = "latest";
const PAGE = join(import.meta.dir, "../docs/performance.md");

async function bench(options: Options): Promise<boolean> {
  checkTargets(options);
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
  await Bun.write(fileOf(options.out), `${JSON.stringify(results, null, 2)}\n`);
  process.stdout.write(markdownOf(results));
  showNote(`written: bench/results/${options.out}.json`);
  await draw(results, options.out);
  const failed = failedRows(results);
  if (failed.length > 0) showNote(`FAILED, as their rows say: ${failed.join(", ")}`);
  return failed.length === 0;
}

function fileOf(result: string): string {
  return join(RESULTS, `${result}.json`);
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

/** Draws the charts of a result that was written before. */
async function drawAgain(name: string): Promise<boolean> {
  const file = Bun.file(fileOf(name));
  if (!(await file.exists())) {
    throw new OptionError(
      `there is no bench/results/${name}.json: run the bench with --out ${name}`,
    );
  }
  const results: Partial<Results> = await file.json();
  if (results.panels === undefined) {
    throw new OptionError(
      `bench/results/${name}.json has no charts: it is not of \`bun run bench\``,
    );
  }
  await draw(results as Results, name);
  return true;
}

async function scale(options: ScaleOptions): Promise<boolean> {
  checkMachine();
  return await runScale(options);
}

/** Does what the arguments ask for; returns whether all went well. */
async function run(args: readonly string[]): Promise<boolean> {
  const [command, ...rest] = args;
  const help = () => {
    process.stdout.write(helpText());
    return true;
  };
  if (command === "chart") {
    const asked = readChartName(rest);
    return asked === "help" ? help() : await drawAgain(asked.name);
  }
  if (command === "scale") {
    const options = readScaleOptions(rest);
    return options === "help" ? help() : await scale(options);
  }
  const options = readOptions(args);
  if (options === "help") return help();
  checkMachine();
  return await bench(options);
}

let signalled: number | undefined;

async function stopBySignal(code: number): Promise<void> {
  signalled = code;
  showNote("stopped");
  await endAllChildren();
  process.exit(code);
}

process.on("SIGHUP", () => void stopBySignal(129));
process.on("SIGINT", () => void stopBySignal(130));
process.on("SIGTERM", () => void stopBySignal(143));

try {
  process.exitCode = (await run(process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  clearProgress();
  if (!isEnding()) console.error(error instanceof OptionError ? error.message : error);
  process.exitCode = 1;
} finally {
  await endAllChildren();
}
process.exit(signalled);
