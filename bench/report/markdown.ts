// The results as Markdown: one table for each scenario, one row for each target.
// A failed row shows the reason in place of its figures.
import type { Summary } from "../measure/statistics";
import { factor, type Panel, type Results, type Row, readable } from "./results";

function spread(value: Summary | undefined): string {
  if (value === undefined) return "-";
  const { median, min, max } = value;
  if (min === max) return readable(median);
  return `${readable(median)} (${readable(min)}..${readable(max)})`;
}

function ratio(value: Summary | undefined): string {
  if (value === undefined) return "-";
  const { median, min, max } = value;
  const middle = `${factor(median)}×`;
  return min === max ? middle : `${middle} (${factor(min)}..${factor(max)})`;
}

function rowOf(row: Row, panel: Panel): string[] {
  if (row.failure !== undefined) {
    const text = `**FAILED**: ${row.failure.replaceAll("|", "/")}`;
    return [row.title, text, ...new Array<string>(panel.figures.length * 2 + 1).fill("")];
  }
  const cells = row.cells.flatMap((cell) => [
    spread(cell.value),
    row.target === panel.control ? "1" : ratio(cell.ratio),
  ]);
  const cores =
    row.serverCores === undefined ? "-" : `${Math.round(row.serverCores.median * 100)}%`;
  const received = row.received.toLocaleString("en");
  return [row.title, ...cells, cores, `${received} / ${row.expected.toLocaleString("en")}`];
}

function table(panel: Panel): string {
  const head = [
    "",
    ...panel.figures.flatMap(({ label, unit }) => [
      unit === "" ? label : `${label} [${unit}]`,
      "× control",
    ]),
    "server CPU",
    "received / expected",
  ];
  return markdownTable([head, ...panel.rows.map((row) => rowOf(row, panel))]);
}

/** The first row is the head. */
export function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const rule = head.map((_, i) => (i === 0 ? "---" : "---:"));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The whole report as Markdown text. */
export function markdownOf(results: Results): string {
  const { machine, parameters, date } = results;
  const { quick, runs } = parameters;
  const intro =
    `Baton ${machine.commit}, ${date.slice(0, 16).replace("T", " ")} UTC, ${machine.cores} cores ` +
    `(${machine.processor}), ${machine.memoryGiB} GiB, Linux ${machine.kernel}, ` +
    `Bun ${machine.bun}, Node ${machine.node}. ` +
    `Median (least..greatest) of ${runs} ${runs === 1 ? "run" : "runs"}.` +
    (quick
      ? " This was a quick run: it checks that everything works; its times mean nothing."
      : "");
  const parts = results.panels.map((panel) => `### ${panel.title}\n\n${table(panel)}`);
  return `${[intro, ...parts].join("\n\n")}\n`;
}
