// The results as one SVG that a README can show: a panel of horizontal bars for each scenario.
// Carries its own background and both colour schemes, so it reads on a light and on a dark page.
import type { Figure } from "../scenarios/scenario";
import { CONTROL } from "../targets";
import { type Panel, type Results, type Row, readable } from "./results";

const WIDTH = 1020;
const MARGIN = 28;
const COLUMNS = 3;
const GUTTER = 30;
const HEAD = 92;
const PANEL_HEAD = 52;
const GROUP_HEAD = 24;
const GROUP_GAP = 12;
const ROW = 21;
const BAR = 13;
const NAME = 62;
/** Room after the longest bar for its value and ratio. */
const VALUE = 88;
const FOOT = 40;

const PANEL_WIDTH = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GUTTER) / COLUMNS;
const BAR_WIDTH = PANEL_WIDTH - NAME - VALUE;

const STYLE = `
  svg { color-scheme: light dark; }
  text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
  .card { fill: #ffffff; stroke: #d8dee6; }
  .title { fill: #16202c; font-size: 19px; font-weight: 650; }
  .head { fill: #16202c; font-size: 13.5px; font-weight: 650; }
  .text { fill: #506072; font-size: 11.5px; }
  .group { fill: #34414f; font-size: 11.5px; font-weight: 600; }
  .name { fill: #34414f; font-size: 11.5px; }
  .value { fill: #34414f; font-size: 11.5px; font-variant-numeric: tabular-nums; }
  .own { fill: #16202c; font-weight: 700; }
  .line { stroke: #e3e8ee; }
  .spread { stroke: #16202c; stroke-opacity: 0.55; }
  .failed { fill: #b3261e; font-weight: 700; }
  .bar { fill: #b9c3cf; }
  .bar-control { fill: #77879a; }
  .bar-baton { fill: #2f6fde; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #10161d; stroke: #2b3541; }
    .title, .head, .own { fill: #eef3f8; }
    .text { fill: #9aa9b9; }
    .group, .name, .value { fill: #c7d1dc; }
    .line { stroke: #26303b; }
    .spread { stroke: #ffffff; stroke-opacity: 0.6; }
    .failed { fill: #ff8a80; }
    .bar { fill: #455361; }
    .bar-control { fill: #7c8b9c; }
    .bar-baton { fill: #5b9bff; }
  }`;

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function textAt(x: number, y: number, kind: string, text: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${kind}">${escaped(text)}</text>`;
}

function barClass(target: string): string {
  return target === "baton" || target === CONTROL ? `bar bar-${target}` : "bar";
}

function charted(panel: Panel): readonly Figure[] {
  return panel.figures.filter((figure) => figure.charted);
}

function panelHeight(panel: Panel): number {
  const group = GROUP_HEAD + panel.rows.length * ROW + GROUP_GAP;
  return PANEL_HEAD + charted(panel).length * group;
}

/** One bar with its name, spread and value; `longest` is the value of a bar of full width. */
function bar(row: Row, figure: Figure, x: number, y: number, longest: number): string {
  const own = row.target === "baton" ? " own" : "";
  const name = row.title.replace(/ \(.*/, "");
  const parts = [textAt(x, y + BAR - 2.5, `name${own}`, name)];
  const cell = row.cells.find((each) => each.figure === figure.name);
  const start = x + NAME;
  if (row.failure !== undefined || cell?.value === undefined) {
    parts.push(textAt(start, y + BAR - 2.5, "failed", "failed"));
    return parts.join("\n");
  }
  const scale = BAR_WIDTH / longest;
  const { median, min, max } = cell.value;
  const width = Math.max(1.5, median * scale);
  const middle = y + BAR / 2;
  const end = Math.min(max * scale, BAR_WIDTH);
  parts.push(
    `<rect x="${start.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${BAR}" ` +
      `rx="2" class="${barClass(row.target)}"/>`,
  );
  if (end - min * scale > 1.5) {
    parts.push(
      `<path d="M${(start + min * scale).toFixed(1)} ${middle}H${(start + end).toFixed(1)}" ` +
        `class="spread"/>`,
    );
  }
  const ratio =
    row.target === CONTROL || cell.ratio === undefined
      ? ""
      : ` (${cell.ratio.median.toFixed(cell.ratio.median < 10 ? 2 : 1)}×)`;
  const valueAt = start + Math.max(width, end) + 6;
  parts.push(textAt(valueAt, y + BAR - 2.5, `value${own}`, readable(median) + ratio));
  return parts.join("\n");
}

function panelAt(panel: Panel, x: number, top: number): string {
  const figures = charted(panel);
  const [first = "", second = ""] = titleLines(panel.title);
  // One scale for the whole panel, so that its groups compare.
  const medians = panel.rows
    .filter((row) => row.failure === undefined)
    .flatMap((row) => figures.map(({ name }) => medianOf(row, name)));
  const longest = Math.max(...medians, 1e-9);
  const parts = [
    `<path d="M${x.toFixed(1)} ${top + 0.5}h${PANEL_WIDTH.toFixed(1)}" class="line"/>`,
    textAt(x, top + 22, "head", first),
    textAt(x, top + 39, "text", second),
  ];
  let y = top + PANEL_HEAD;
  for (const figure of figures) {
    parts.push(textAt(x, y + 13, "group", `${figure.label}, ${figure.unit}`));
    y += GROUP_HEAD;
    for (const row of panel.rows) {
      parts.push(bar(row, figure, x, y, longest));
      y += ROW;
    }
    y += GROUP_GAP;
  }
  return parts.join("\n");
}

/** "Latency, 100 publications/s" as a title and what is said below it. */
function titleLines(title: string): string[] {
  const comma = title.indexOf(", ");
  return comma < 0 ? [title] : [title.slice(0, comma), title.slice(comma + 2)];
}

function medianOf(row: Row, figure: string): number {
  return row.cells.find((each) => each.figure === figure)?.value?.median ?? 0;
}

/** The whole chart as SVG text. */
export function chartOf(results: Results): string {
  const { machine, parameters, date } = results;
  // Panels of the same height side by side, otherwise in the order of the scenarios.
  const panels = results.panels.toSorted((a, b) => charted(a).length - charted(b).length);
  const parts: string[] = [];
  let y = HEAD;
  for (let i = 0; i < panels.length; i += COLUMNS) {
    const line = panels.slice(i, i + COLUMNS);
    line.forEach((panel, column) => {
      parts.push(panelAt(panel, MARGIN + column * (PANEL_WIDTH + GUTTER), y));
    });
    y += Math.max(...line.map(panelHeight)) + 8;
  }
  const height = y + FOOT;
  const runs = parameters.runs === 1 ? "one run" : `median of ${parameters.runs} runs`;
  const what =
    `Less is better everywhere. The server's own use, read from the operating system; ${runs}, ` +
    `thin line: least to greatest; (n×): times the control.`;
  const control =
    "Control: bare Bun.serve with native publish and nothing else, so the floor. " +
    "ws loop: ws 8 on Node, send() in a loop. socket.io: version 4 on Node, WebSocket only.";
  const where =
    `${machine.cores} cores (${machine.processor}), ${machine.memoryGiB} GiB, ` +
    `Bun ${machine.bun}, Node ${machine.node}, Baton ${machine.commit}, ${date.slice(0, 10)}` +
    (parameters.quick ? ". A quick run: its times mean nothing." : "");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>Baton against bare Bun, a ws loop and socket.io</title>
<style>${STYLE}
</style>
<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10" class="card"/>
${textAt(MARGIN, 38, "title", "What one relay process costs")}
${textAt(MARGIN, 59, "text", what)}
${textAt(MARGIN, 76, "text", control)}
${parts.join("\n")}
${textAt(MARGIN, height - 20, "text", where)}
</svg>
`;
}
