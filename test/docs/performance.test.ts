// The figures of docs/performance.md, and the sizes in docs/operations.md, are those of bench/results.
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

test("docs/operations.md reckons with what bench/results/latest.json has, within a quarter", () => {
  const sizes = [
    ["an open connection, plain", "idle-memory", "baton", "rss"],
    ["an open connection, JSON", "idle-memory", "baton-json", "rss"],
    ["an open connection, Centrifuge or Pusher protocol", "idle-memory", "baton-pusher", "rss"],
    ["an open event stream", "idle-streams", "baton-sse", "rss"],
    ["opening a connection, with its registration", "open", "baton", "whole"],
    ["a publication", "publish", "baton", "alone"],
    ["a delivery", "fan-out-1", "baton", "cpu"],
  ] as const;
  for (const [what, scenario, target, figure] of sizes) {
    const panel = results.panels.find((each) => each.scenario === scenario);
    const row = panel?.rows.find((each) => each.target === target);
    const cell = row?.cells.find((each) => each.figure === figure);
    const said = Number(
      readPage("docs/operations.md")
        .split(`\n| ${what} | `)[1]
        ?.match(/^[\d.]+/)?.[0],
    );
    const measured = cell?.value?.median ?? Number.NaN;
    expect(Math.abs(said / measured - 1), `${what}: ${said}, measured ${measured}`).toBeLessThan(
      0.25,
    );
  }
});
