// Moving charts of the last five minutes. Their lines are drawn by uPlot; what they show now stands next to them as text.
import uPlot from "uplot";
import { fill, h } from "./dom";
import { clock } from "./text";

const POINTS_MAX = 300;
const HEIGHT = 140;

/** What is shown from the first moment on, so that the times below a new chart can be told apart. */
const SHOWN_MIN_S = 60;

/** Room for half of a time that stands below the end of the lines. */
const MARGIN_RIGHT_PX = 30;

/** Lines that can be told apart; what is beyond them is shown in the tables alone. */
const LINES_MAX = 8;

const COLORS = {
  light: ["#3a49c9", "#c2410c", "#11703f", "#a21caf", "#0e7490", "#b3261e", "#6d5b00", "#555b6e"],
  dark: ["#aab4ff", "#ffa366", "#6fd39c", "#f0a3ff", "#67d6ee", "#ff9d94", "#e3cf61", "#b9bfd0"],
};

const isDark = matchMedia("(prefers-color-scheme: dark)");

export class Chart {
  readonly element: HTMLElement;
  readonly #plot = h("div", { class: "plot", "aria-hidden": "true" });
  readonly #now = h("span", { class: "now" }, "–");
  readonly #legend = h("ul", { class: "legend" });
  readonly #format: (value: number) => string;
  readonly #times: number[] = [];
  /** By the names of the lines. */
  readonly #lines = new Map<string, (number | null)[]>();
  #uplot: uPlot | undefined;
  #drawn = "";

  constructor(title: string, format: (value: number) => string) {
    this.#format = format;
    this.element = h(
      "figure",
      { class: "card chart" },
      h("figcaption", {}, h("h3", {}, title), this.#now),
      this.#plot,
      this.#legend,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#plot);
    isDark.addEventListener("change", () => this.#draw("anew"));
  }

  /** Adds what each line was at a time; `now` is what the chart says in a word. */
  add(at: Date, values: Readonly<Record<string, number | undefined>>, now: string): void {
    this.#times.push(at.getTime() / 1_000);
    for (const name of Object.keys(values)) {
      if (this.#lines.has(name) || this.#lines.size >= LINES_MAX) continue;
      this.#lines.set(name, Array(this.#times.length - 1).fill(null));
    }
    for (const [name, line] of this.#lines) line.push(values[name] ?? null);
    if (this.#times.length > POINTS_MAX) {
      this.#times.shift();
      for (const line of this.#lines.values()) line.shift();
    }
    for (const [name, line] of this.#lines) {
      if (line.every((value) => value === null)) this.#lines.delete(name);
    }
    this.#now.textContent = now;
    this.#draw("further");
  }

  #draw(how: "anew" | "further"): void {
    // What is not shown has no width, and takes no time.
    if (this.#plot.clientWidth === 0 || this.#times.length === 0) return;
    const names = [...this.#lines.keys()];
    const key = names.join("\n");
    const data = [this.#times, ...this.#lines.values()] as uPlot.AlignedData;
    if (how === "further" && key === this.#drawn && this.#uplot !== undefined) {
      this.#uplot.setData(data);
      return;
    }
    this.#drawn = key;
    this.#uplot?.destroy();
    this.#uplot = new uPlot(this.#options(names), data, this.#plot);
    const colors = colorsNow();
    fill(
      this.#legend,
      ...(names.length > 1 ? names : []).map((name, i) => legendItem(name, colors[i])),
    );
  }

  #options(names: readonly string[]): uPlot.Options {
    const style = getComputedStyle(document.body);
    const text = style.getPropertyValue("--quiet");
    const grid = { stroke: style.getPropertyValue("--line"), width: 1 };
    const axis = { stroke: text, grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const colors = colorsNow();
    return {
      width: this.#plot.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [null, MARGIN_RIGHT_PX, null, null],
      scales: {
        x: { range: (_, low, high) => [Math.min(low, high - SHOWN_MIN_S), high] },
        y: { range: (_, __, high) => [0, niceTop(high)] },
      },
      axes: [
        { ...axis, size: 24, space: 90, values: (_, times) => times.map(timeText) },
        { ...axis, size: 58, space: 34, values: (_, values) => values.map(this.#format) },
      ],
      series: [
        {},
        ...names.map((label, i) => ({
          label,
          stroke: colors[i] ?? text,
          width: 1.75,
          points: { show: false },
          spanGaps: true,
        })),
      ],
    };
  }

  #resize(): void {
    const width = this.#plot.clientWidth;
    if (width === 0) return;
    if (this.#uplot === undefined) this.#draw("anew");
    else this.#uplot.setSize({ width, height: HEIGHT });
  }
}

function colorsNow(): readonly string[] {
  return isDark.matches ? COLORS.dark : COLORS.light;
}

function timeText(seconds: number): string {
  return clock(new Date(seconds * 1_000));
}

function niceTop(high: number | null): number {
  if (high === null || high <= 0) return 1;
  return high * 1.15;
}

/** The color is set by script, which the page's policy allows; an attribute it would not. */
function legendItem(name: string, color = "currentColor"): HTMLElement {
  const swatch = h("span", { class: "swatch" });
  swatch.style.background = color;
  return h("li", {}, swatch, name);
}
