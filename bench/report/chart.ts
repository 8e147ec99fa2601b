// The charts of a result, each an SVG for a page of the docs: rows of targets, with a bar and its value in each column. It has its own
// background and both colour schemes, so that it is legible on a light and on a dark page.
import { CONTROL, targetNamed } from "../targets";
import { CHARTS, type Chart, type Column, type Panel } from "./charts";
import { type Results, readable } from "./results";
import { escaped, type Font, textWidth, wrapped } from "./svg-text";

const WIDTH = 800;
const MARGIN = 28;
const INNER_WIDTH = WIDTH - 2 * MARGIN;
const TITLE_HEIGHT = 54;
const PANEL_TITLE_HEIGHT = 28;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 16;
const LINE_HEIGHT = 17;
/** Between the names and the columns, and between the columns. */
const COLUMN_GAP = 24;
/** Between a bar and its value. */
const VALUE_GAP = 7;
const BAR_WIDTH_MIN = 1.5;
/** Of a row, from its top to the baseline of its texts. */
const BASELINE = 13;

const FONTS = {
  title: { sizePx: 19, weight: 600 },
  head: { sizePx: 14.5, weight: 600 },
  text: { sizePx: 13, weight: 400 },
  name: { sizePx: 14, weight: 400 },
  own: { sizePx: 14, weight: 600 },
} satisfies Record<string, Font>;

type FontName = keyof typeof FONTS;

const FONT_STYLE = Object.entries(FONTS)
  .map(
    ([name, { sizePx, weight }]) =>
      `  .${name} { font-size: ${sizePx}px; font-weight: ${weight}; }`,
  )
  .join("\n");

const STYLE = `
  svg { color-scheme: light dark; }
  text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #34414f; }
${FONT_STYLE}
  .title, .head, .own { fill: #16202c; }
  .text { fill: #506072; }
  .failed { fill: #b3261e; }
  .card { fill: #ffffff; stroke: #d8dee6; }
  .line { stroke: #e3e8ee; }
  .bar { fill: #b9c3cf; }
  .bar-control { fill: #77879a; }
  .bar-baton { fill: #2f6fde; }
  @media (prefers-color-scheme: dark) {
    text { fill: #c7d1dc; }
    .title, .head, .own { fill: #eef3f8; }
    .text { fill: #9aa9b9; }
    .failed { fill: #ff8a80; }
    .card { fill: #10161d; stroke: #2b3541; }
    .line { stroke: #26303b; }
    .bar { fill: #5a6a7b; }
    .bar-control { fill: #7c8b9c; }
    .bar-baton { fill: #5b9bff; }
  }`;

/** The value of one target in one column; undefined if its row failed. */
interface Bar {
  readonly median: number | undefined;
  readonly text: string;
}

/** What a panel shows of a result. */
interface Grid {
  readonly title: string | undefined;
  readonly targets: readonly string[];
  readonly columns: readonly { readonly caption: string; readonly bars: Map<string, Bar> }[];
}

function barsOf(results: Results, { scenario, figure }: Column): Map<string, Bar> {
  const panel = results.panels.find((each) => each.scenario === scenario);
  const unit = panel?.figures.find(({ name }) => name === figure)?.unit;
  const bars = new Map<string, Bar>();
  for (const { target, cells, failure } of panel?.rows ?? []) {
    const median = cells.find((cell) => cell.figure === figure)?.value?.median;
    if (failure !== undefined) bars.set(target, { median: undefined, text: "failed" });
    else if (median !== undefined)
      bars.set(target, { median, text: `${readable(median)} ${unit}` });
  }
  return bars;
}

function gridOf(results: Results, { title, targets, columns }: Panel): Grid {
  const shownColumns = columns
    .map((column) => ({
      caption: filled(column.caption, results),
      bars: barsOf(results, column),
    }))
    .filter(({ bars }) => bars.size > 0);
  const measured = new Set(shownColumns.flatMap(({ bars }) => [...bars.keys()]));
  const shown = targets?.filter((target) => measured.has(target)) ?? [...measured];
  return {
    title: title === undefined ? undefined : filled(title, results),
    targets: shown,
    columns: shownColumns,
  };
}

function textAt(x: number, y: number, font: string, text: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${font}">${escaped(text)}</text>`;
}

function isOwn(target: string): boolean {
  return target.startsWith("baton");
}

function fontOf(target: string): FontName {
  return isOwn(target) ? "own" : "name";
}

function colourOf(target: string): string {
  if (isOwn(target)) return "bar bar-baton";
  return target.startsWith(CONTROL) ? "bar bar-control" : "bar";
}

/** The bars of a column, which have the same scale, and their values. */
function columnAt(
  { bars }: Grid["columns"][number],
  targets: readonly string[],
  place: { readonly x: number; readonly y: number; readonly width: number },
): string[] {
  const shown = targets.flatMap((target) => bars.get(target) ?? []);
  const widest = Math.max(...shown.map(({ text }) => textWidth(text, FONTS.own)));
  const longest = Math.max(...shown.map(({ median }) => median ?? 0), 1e-9);
  const scale = (place.width - widest - VALUE_GAP) / longest;
  return targets.flatMap((target, i) => {
    const bar = bars.get(target);
    if (bar === undefined) return [];
    const y = place.y + i * ROW_HEIGHT;
    if (bar.median === undefined) return [textAt(place.x, y + BASELINE, "failed name", bar.text)];
    const width = Math.max(BAR_WIDTH_MIN, bar.median * scale);
    return [
      `<rect x="${place.x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2" class="${colourOf(target)}"/>`,
      textAt(place.x + width + VALUE_GAP, y + BASELINE, fontOf(target), bar.text),
    ];
  });
}

function nameOf(target: string): string {
  return targetNamed(target).title;
}

/** Draws a panel whose top is at `top`; returns it with where it ends. */
function panelAt(
  { title, targets, columns }: Grid,
  top: number,
  columnsX: number,
): { svg: string; end: number } {
  const parts = [`<path d="M${MARGIN} ${top + 0.5}H${WIDTH - MARGIN}" class="line"/>`];
  let y = top + 10;
  if (title !== undefined) {
    parts.push(textAt(MARGIN, y + 18, "head", title));
    y += PANEL_TITLE_HEIGHT;
  }
  const step = (WIDTH - MARGIN - columnsX + COLUMN_GAP) / columns.length;
  const captions = columns.map(({ caption }) => wrapped(caption, FONTS.text, step - COLUMN_GAP));
  captions.forEach((lines, i) => {
    lines.forEach((line, n) => {
      parts.push(textAt(columnsX + i * step, y + 14 + n * LINE_HEIGHT, "text", line));
    });
  });
  y += Math.max(...captions.map((lines) => lines.length)) * LINE_HEIGHT + 8;
  targets.forEach((target, i) => {
    parts.push(textAt(MARGIN, y + i * ROW_HEIGHT + BASELINE, fontOf(target), nameOf(target)));
  });
  columns.forEach((column, i) => {
    const place = { x: columnsX + i * step, y, width: step - COLUMN_GAP };
    parts.push(...columnAt(column, targets, place));
  });
  return { svg: parts.join("\n"), end: y + targets.length * ROW_HEIGHT + 6 };
}

/** What was measured where. */
function footOf({ machine, parameters, date }: Results, note: string): string {
  const runs = parameters.runs === 1 ? "One run" : `Medians of ${parameters.runs} runs`;
  return (
    `${note} ${runs} on ${machine.cores} cores (${machine.processor}), Bun ${machine.bun}, ` +
    `Node ${machine.node}, Baton ${machine.commit}, ${date.slice(0, 10)}.` +
    (parameters.quick ? " This was a quick run: its times mean nothing." : "")
  ).trimStart();
}

/** A text of a chart, with the sizes of the run in its places. */
export function filled(text: string, { parameters }: Results): string {
  const { subscribers, connections, rate } = parameters;
  const sizes: Record<string, number> = { subscribers, connections, rate };
  return text.replace(/\{(\w+)\}/g, (place, name) => sizes[name]?.toLocaleString("en") ?? place);
}

/** The charts as SVG text, by the suffix of their names; without those of which the results have nothing. */
export function chartsOf(results: Results): ReadonlyMap<string, string> {
  const charts = new Map<string, string>();
  for (const chart of CHARTS) {
    const svg = drawn(chart, results);
    if (svg !== undefined) charts.set(chart.suffix, svg);
  }
  return charts;
}

function drawn(chart: Chart, results: Results): string | undefined {
  const grids = chart.panels
    .map((panel) => gridOf(results, panel))
    .filter(({ columns }) => columns.length > 0);
  if (grids.length === 0) return undefined;
  const targets = new Set(grids.flatMap((grid) => grid.targets));
  const nameWidths = [...targets].map((target) => textWidth(nameOf(target), FONTS[fontOf(target)]));
  const columnsX = MARGIN + Math.max(...nameWidths) + COLUMN_GAP;
  const parts: string[] = [];
  let y = TITLE_HEIGHT;
  for (const grid of grids) {
    const { svg, end } = panelAt(grid, y, columnsX);
    parts.push(svg);
    y = end;
  }
  parts.push(`<path d="M${MARGIN} ${y + 0.5}H${WIDTH - MARGIN}" class="line"/>`);
  const foot = wrapped(footOf(results, filled(chart.note, results)), FONTS.text, INNER_WIDTH);
  foot.forEach((line, i) => {
    parts.push(textAt(MARGIN, y + 24 + i * LINE_HEIGHT, "text", line));
  });
  const height = y + 24 + foot.length * LINE_HEIGHT + 4;
  const title = filled(chart.title, results);
  const remark = "less is better";
  const remarkX = WIDTH - MARGIN - textWidth(remark, FONTS.text);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escaped(title)}, less is better</title>
<style>${STYLE}
</style>
<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10" class="card"/>
${textAt(MARGIN, 36, "title", title)}
${textAt(remarkX, 36, "text", remark)}
${parts.join("\n")}
</svg>
`;
}
