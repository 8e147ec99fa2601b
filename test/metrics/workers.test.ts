// How the reports of several processes become one. The metrics of a relay with workers: slow/workers/metrics.slow.ts.
import { expect, test } from "bun:test";
import { lastingPart, type Report, sumOf } from "../../src/metrics/report";

const REPORT: Report = [
  {
    name: "c_total",
    help: "C.",
    type: "counter",
    aggregator: "sum",
    values: [
      { labels: { code: "a" }, value: 1 },
      { labels: { code: "b" }, value: 2 },
    ],
  },
  { name: "g", help: "G.", type: "gauge", aggregator: "max", values: [{ labels: {}, value: 3 }] },
];

test("reports are added up by labels, gauges as they say, and of a process that has ended the counts alone stay", async () => {
  const sum = await sumOf([REPORT, REPORT, lastingPart(REPORT)]);
  expect(sum.map(({ name, values }) => [name, values])).toEqual([
    [
      "c_total",
      [
        { labels: { code: "a" }, value: 3 },
        { labels: { code: "b" }, value: 6 },
      ],
    ],
    ["g", [{ labels: {}, value: 3 }]],
  ]);
});
