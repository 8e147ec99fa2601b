// The dashboard and the alert rules use series that there are; test/slow/metrics.slow.ts runs them.
import { expect, test } from "bun:test";
import { join } from "node:path";
import dashboard from "../../docs/grafana.json";
import { SERIES } from "../../src/metrics/series";

const read = (name: string) => Bun.file(join(import.meta.dir, "../../docs", name)).text();

test("the dashboard and the alert rules name series that the relay has", async () => {
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  for (const text of [...queries, await read("alerts.yml")]) {
    for (const [name] of text.matchAll(/\b(?:baton|process)_[a-z_]+/g)) {
      expect(Object.keys(SERIES)).toContain(name.replace(/_(?:bucket|sum|count)$/, ""));
    }
  }
});

test("docs/metrics.md says of every alert what to do", async () => {
  const names = [...(await read("alerts.yml")).matchAll(/alert: (\w+)/g)].map(([, name]) => name);
  const rows = [...(await read("metrics.md")).matchAll(/^\| `(Baton\w+)` \| \S/gm)];
  expect(rows.map(([, name]) => name)).toEqual(names);
  expect(names).toHaveLength(8);
});
