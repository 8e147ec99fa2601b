// The charts of the bench: the committed ones are drawn from the committed results, and their texts are legible.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { chartOf } from "../../bench/report/chart";
import type { Results } from "../../bench/report/results";
import { textWidth } from "../../bench/report/svg-text";

const folder = join(import.meta.dir, "../../bench/results");

async function readResults(name: string): Promise<Results> {
  return Bun.file(join(folder, `${name}.json`)).json();
}

interface Box {
  readonly text: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Where each text of a chart is, as wide as it can be. */
function textBoxes(svg: string): Box[] {
  const fonts = new Map<string, { sizePx: number; weight: number }>();
  for (const [, name = "", size, weight] of svg.matchAll(
    /\.(\w+) \{ font-size: ([\d.]+)px; font-weight: (\d+); \}/g,
  )) {
    fonts.set(name, { sizePx: Number(size), weight: Number(weight) });
  }
  const texts = svg.matchAll(
    /<text x="([\d.]+)" y="([\d.]+)" class="(?:failed )?(\w+)"( text-anchor="end")?>([^<]*)</g,
  );
  return [...texts].map(([, x, y, kind = "", end, text = ""]) => {
    const font = fonts.get(kind);
    if (font === undefined) throw new Error(`no font for "${kind}"`);
    const width = textWidth(text, font);
    const left = Number(x) - (end === undefined ? 0 : width);
    const [top, bottom] = [Number(y) - font.sizePx * 0.8, Number(y) + font.sizePx * 0.25];
    return { text, left, right: left + width, top, bottom };
  });
}

for (const name of ["latest", "recovery", "engines"]) {
  test(`in the chart of ${name}.json no text overlaps another or leaves the picture`, async () => {
    const svg = chartOf(await readResults(name));
    const width = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1]);
    const boxes = textBoxes(svg);
    expect(boxes.length).toBe(svg.match(/<text /g)?.length ?? 0);
    expect(boxes.length).toBeGreaterThan(10);
    for (const [i, one] of boxes.entries()) {
      expect(one.left, one.text).toBeGreaterThanOrEqual(0);
      expect(one.right, one.text).toBeLessThanOrEqual(width);
      for (const other of boxes.slice(i + 1)) {
        const isApart =
          one.right <= other.left ||
          other.right <= one.left ||
          one.bottom <= other.top ||
          other.bottom <= one.top;
        expect(isApart, `"${one.text}" and "${other.text}"`).toBe(true);
      }
    }
  });
}

test("the committed charts are what the committed results give", async () => {
  for (const name of ["latest", "recovery"]) {
    const drawn = await Bun.file(join(folder, `${name}.svg`)).text();
    expect(drawn, `run: bun run bench chart ${name}`).toBe(chartOf(await readResults(name)));
  }
});

test("a row that failed shows that in place of a bar", async () => {
  const results = await readResults("latest");
  const panels = results.panels.map((panel) => ({
    ...panel,
    rows: panel.rows.map((row) => ({ ...row, failure: "it stopped" })),
  }));
  const svg = chartOf({ ...results, panels });
  expect(svg).toContain(">failed</text>");
  expect(svg).not.toContain('class="bar');
});
