// The dashboard and the alert rules use series that there are; test/slow/metrics.slow.ts runs them.
import { expect, test } from "bun:test";
import { join } from "node:path";
import dashboard from "../../docs/grafana.json";
import { SERIES } from "../../src/metrics/series";

const read = (name: string) => Bun.file(join(import.meta.dir, "../../docs", name)).text();

test("the dashboard, the alert rules and the runbook name series that the relay has", async () => {
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  for (const text of [...queries, await read("alerts.yml"), await read("runbook.md")]) {
    for (const [name] of text.matchAll(/\b(?:baton|process)_[a-z_]+/g)) {
      expect(Object.keys(SERIES)).toContain(name.replace(/_(?:bucket|sum|count)$/, ""));
    }
  }
});

test("the runbook has a section with steps for every alert, in their order", async () => {
  const names = [...(await read("alerts.yml")).matchAll(/alert: (\w+)/g)].map(([, name]) => name);
  const sections = (await read("runbook.md")).split(/^## /m).slice(1);
  const ofAlerts = sections.filter((section) => section.startsWith("Baton"));
  expect(ofAlerts.map((section) => section.split("\n")[0])).toEqual(names);
  for (const section of ofAlerts) expect(section).toMatch(/^1\. \S/m);
  expect(names).toHaveLength(17);
});
