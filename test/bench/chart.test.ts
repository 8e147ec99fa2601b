// The charts of the bench. That no text of theirs is cut or overlaps another is seen in a browser: test/slow/charts.slow.ts.
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { chartsOf } from "../../bench/report/chart";
import type { Results } from "../../bench/report/results";

const folder = join(import.meta.dir, "../../bench/results");
const results: Results = await Bun.file(join(folder, "latest.json")).json();

test("the committed charts are what the committed results give", async () => {
  const charts = chartsOf(results);
  const names = [...charts.keys()].map((suffix) => `latest${suffix}.svg`);
  const committed = readdirSync(folder).filter((file) => /^latest.*\.svg$/.test(file));
  expect(committed.toSorted()).toEqual(names.toSorted());
  for (const [suffix, svg] of charts) {
    const drawn = await Bun.file(join(folder, `latest${suffix}.svg`)).text();
    expect(drawn, "run: bun run bench chart latest").toBe(svg);
  }
});

test("a row that failed shows that in place of a bar", () => {
  const panels = results.panels.map((panel) => ({
    ...panel,
    rows: panel.rows.map((row) => ({ ...row, failure: "it stopped" })),
  }));
  const svg = chartsOf({ ...results, panels }).get("");
  expect(svg).toContain(">failed</text>");
  expect(svg).not.toContain('class="bar');
});

test("a chart shows no column whose scenario was not run, and is not drawn without columns", () => {
  const panels = results.panels.filter(({ scenario }) => scenario === "idle-memory");
  const charts = chartsOf({ ...results, panels });
  expect([...charts.keys()]).toEqual([""]);
  expect(charts.get("")).not.toContain("CPU time");
});

test("a chart names the sizes of its run", () => {
  const parameters = { ...results.parameters, subscribers: 50, connections: 200 };
  const charts = chartsOf({ ...results, parameters });
  expect(charts.get("")).toContain("Every message goes to 50 clients");
  expect(charts.get("-publishing")).toContain(">200 connected</text>");
  for (const svg of charts.values())
    expect(svg.replace(/<style>.*<\/style>/s, "")).not.toContain("{");
});
