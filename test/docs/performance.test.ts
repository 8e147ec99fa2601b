// The figures of docs/performance.md are those of bench/results.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { withFigures } from "../../bench/report/page";
import type { Results } from "../../bench/report/results";
import { ROOT, readPage } from "../support/docs/pages";

const results: Results = await Bun.file(join(ROOT, "bench/results/latest.json")).json();
const page = readPage("docs/performance.md");

test("docs/performance.md shows the figures of bench/results/latest.json", () => {
  expect(page, "run: bun run bench chart latest").toBe(withFigures(page, results, "latest"));
});

test("docs/performance.md has a place for every table, in which a renewed figure appears", () => {
  const panels = results.panels.map((panel) => ({
    ...panel,
    rows: panel.rows.map((row) => ({
      ...row,
      cells: row.cells.map((cell) => ({ ...cell, value: { median: 777, min: 777, max: 777 } })),
    })),
  }));
  const renewed = withFigures(page, { ...results, panels }, "latest");
  const places = (text: string) => text.match(/<!-- figures: [\w-]+ -->/g) ?? [];
  expect(places(renewed)).toEqual(places(page));
  const tables = [...renewed.matchAll(/<!-- figures: (?!chart|run)([\w-]+) -->\n\n(.*)\n/g)];
  expect(tables.length).toBeGreaterThan(5);
  for (const [, place, first] of tables) {
    const begin = renewed.indexOf(`<!-- figures: ${place} -->`);
    const table = renewed.slice(begin, renewed.indexOf("<!-- /figures -->", begin));
    if (first !== "Not measured in this run.") expect(table, place).toMatch(/\| 777\b/);
  }
});
