// The results as one SVG for a page of the docs: a few panels of horizontal bars, with the value next to each bar.
// It has its own background and both colour schemes, so that it is readable on a light and on a dark page.
import type { Summary } from "../measure/statistics";
import { CONTROL } from "../targets";
import { type Panel, type Results, readable } from "./results";
import { escaped, type Font, textWidth, wrapped } from "./svg-text";

/** What can be charted, the most telling first; a chart shows the first PANELS_MAX that the results contain. */
const CHARTED: readonly { readonly scenario: string; readonly figures: readonly string[] }[] = [
  { scenario: "fan-out-1", figures: ["cpu"] },
  { scenario: "fan-out-16", figures: ["cpu"] },
  { scenario: "publish", figures: ["alone"] },
  { scenario: "idle-memory", figures: ["rss"] },
  { scenario: "fan-out-wires", figures: ["cpu"] },
  { scenario: "resume", figures: ["cold", "resumed"] },
  { scenario: "workers", figures: ["cpu"] },
  { scenario: "engines", figures: ["cpu"] },
  { scenario: "nodes", figures: ["cpu"] },
  { scenario: "latency", figures: ["p99"] },
  { scenario: "open", figures: ["whole"] },
  { scenario: "user-publish", figures: ["many"] },
];
const PANELS_MAX = 4;

const WIDTH = 800;
const MARGIN = 28;
const INNER_WIDTH = WIDTH - 2 * MARGIN;
const TITLE_HEIGHT = 54;
const PANEL_HEAD_HEIGHT = 50;
const ROW_HEIGHT = 23;
const BAR_HEIGHT = 15;
const LINE_HEIGHT = 17;
const GAP = 4;
/** Of a row, from its top to the baseline of its texts. */
const BASELINE = 12;

const FONTS = {
  title: { sizePx: 19, weight: 600 },
  head: { sizePx: 14.5, weight: 600 },
  text: { sizePx: 13, weight: 400 },
  name: { sizePx: 13.5, weight: 400 },
  own: { sizePx: 13.5, weight: 600 },
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
  .spread { stroke: #16202c; stroke-opacity: 0.55; }
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
    .spread { stroke: #ffffff; stroke-opacity: 0.6; }
    .bar { fill: #455361; }
    .bar-control { fill: #7c8b9c; }
    .bar-baton { fill: #5b9bff; }
  }`;

/** One bar: a target, or one of several figures of a target. */
interface Bar {
  readonly name: string;
  readonly target: string;
  /** Undefined if the row failed. */
  readonly value: Summary | undefined;
  readonly ratio: Summary | undefined;
  readonly unit: string;
}

interface BarChart {
  readonly title: string;
  /** What all of the bars show. */
  readonly caption: string;
  readonly bars: readonly Bar[];
}

function barsOf(panel: Panel, names: readonly string[]): BarChart {
  const figures = panel.figures.filter(({ name }) => names.includes(name));
  // The labels of several figures say the same before the comma, and what is different after it.
  const labels = figures.map(({ label }) => (figures.length > 1 ? label.split(", ") : [label]));
  const bars = panel.rows.flatMap((row) =>
    figures.map((figure, i) => {
      const cell = row.cells.find((each) => each.figure === figure.name);
      return {
        name: labels[i]?.[1] ?? row.title,
        target: row.target,
        value: row.failure === undefined ? cell?.value : undefined,
        ratio: row.target === CONTROL ? undefined : cell?.ratio,
        unit: figure.unit,
      };
    }),
  );
  return { title: panel.title, caption: labels[0]?.[0] ?? "", bars };
}

function textAt(x: number, y: number, font: FontName, text: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${font}">${escaped(text)}</text>`;
}

function isOwn(bar: Bar): boolean {
  return bar.target.startsWith("baton");
}

function fontOf(bar: Bar): "own" | "name" {
  return isOwn(bar) ? "own" : "name";
}

function valueText({ value, ratio, unit }: Bar): string {
  if (value === undefined) return "failed";
  const number = `${readable(value.median)} ${unit}`;
  if (ratio === undefined) return number;
  return `${number} (${ratio.median.toFixed(ratio.median < 10 ? 2 : 1)}×)`;
}

function colourOf(bar: Bar): string {
  if (isOwn(bar)) return "bar bar-baton";
  return bar.target === CONTROL ? "bar bar-control" : "bar";
}

/** One row: the name, the bar with its spread, and the value next to it. `scale` is in pixels per unit. */
function rowAt(bar: Bar, barX: number, y: number, scale: number): string {
  const parts = [textAt(MARGIN, y + BASELINE, fontOf(bar), bar.name)];
  let end = barX;
  if (bar.value !== undefined) {
    const { median, min, max } = bar.value;
    const width = Math.max(1.5, median * scale);
    const from = barX + min * scale;
    const to = barX + max * scale;
    end = Math.max(barX + width, to);
    parts.push(
      `<rect x="${barX.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2" class="${colourOf(bar)}"/>`,
    );
    if (to - from > 1.5) {
      parts.push(
        `<path d="M${from.toFixed(1)} ${(y + BAR_HEIGHT / 2).toFixed(1)}H${to.toFixed(1)}" class="spread"/>`,
      );
    }
  }
  const text = textAt(end + 7, y + BASELINE, fontOf(bar), valueText(bar));
  parts.push(bar.value === undefined ? text.replace('class="', 'class="failed ') : text);
  return parts.join("\n");
}

function chartHeight({ bars }: BarChart): number {
  return PANEL_HEAD_HEIGHT + bars.length * ROW_HEIGHT + GAP;
}

/** A title, a caption and the bars, which begin at the same place and have the same scale. */
function barChartAt({ title, caption, bars }: BarChart, top: number): string {
  const widest = (text: (bar: Bar) => string) =>
    Math.max(...bars.map((bar) => textWidth(text(bar), FONTS[fontOf(bar)])));
  const barX = MARGIN + widest((bar) => bar.name) + 10;
  const barWidth = WIDTH - MARGIN - barX - widest(valueText) - 10;
  const longest = Math.max(...bars.map(({ value }) => value?.max ?? 0), 1e-9);
  const parts = [
    `<path d="M${MARGIN} ${top + 0.5}H${WIDTH - MARGIN}" class="line"/>`,
    textAt(MARGIN, top + 28, "head", title),
    `<text x="${WIDTH - MARGIN}" y="${top + 28}" class="text" text-anchor="end">${escaped(caption)}</text>`,
  ];
  bars.forEach((bar, i) => {
    parts.push(rowAt(bar, barX, top + PANEL_HEAD_HEIGHT - 10 + i * ROW_HEIGHT, barWidth / longest));
  });
  return parts.join("\n");
}

/** How to read the chart, and what was measured. */
function footOf({ machine, parameters, date }: Results): string {
  const runs = parameters.runs === 1 ? "One run" : `Median of ${parameters.runs} runs`;
  return (
    `${runs}; thin line: least to greatest; (n×): times the control, a bare Bun.serve with native publish. ` +
    `${machine.cores} cores (${machine.processor}), ${machine.memoryGiB} GiB, Bun ${machine.bun}, ` +
    `Node ${machine.node}, Baton ${machine.commit}, ${date.slice(0, 10)}.` +
    (parameters.quick ? " This was a quick run: its times mean nothing." : "")
  );
}

/** The whole chart as SVG text. */
export function chartOf(results: Results): string {
  const charts = CHARTED.flatMap(({ scenario, figures }) => {
    const panel = results.panels.find((each) => each.scenario === scenario);
    return panel === undefined ? [] : [barsOf(panel, figures)];
  }).slice(0, PANELS_MAX);
  const parts: string[] = [];
  let y = TITLE_HEIGHT;
  for (const chart of charts) {
    parts.push(barChartAt(chart, y));
    y += chartHeight(chart);
  }
  parts.push(`<path d="M${MARGIN} ${y + 0.5}H${WIDTH - MARGIN}" class="line"/>`);
  const foot = wrapped(footOf(results), FONTS.text, INNER_WIDTH);
  foot.forEach((line, i) => {
    parts.push(textAt(MARGIN, y + 24 + i * LINE_HEIGHT, "text", line));
  });
  const height = y + 24 + foot.length * LINE_HEIGHT + 4;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>Server CPU and memory of Baton and other servers</title>
<style>${STYLE}
</style>
<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10" class="card"/>
${textAt(MARGIN, 36, "title", "Server CPU and memory (less is better)")}
${parts.join("\n")}
</svg>
`;
}
