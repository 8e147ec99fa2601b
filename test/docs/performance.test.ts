// The figures of docs/performance.md are those of bench/results.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Results, readable } from "../../bench/report/results";
import { ROOT, readPage } from "../support/docs/pages";

type Cell = Results["panels"][number]["rows"][number]["cells"][number];

/** How a cell of the page shows a figure: the control's alone, others with how many times the control's it is. */
function shown(cell: Cell | undefined, isControl: boolean): string {
  if (cell?.value === undefined) throw new Error("the results do not have this figure");
  const value = readable(cell.value.median);
  if (isControl || cell.ratio === undefined) return value;
  const { median } = cell.ratio;
  return `${value} (${median.toFixed(median < 10 ? 2 : 1)}×)`;
}

/** The rows of the page's tables: file, scenario, figure, and the targets in the order of the columns. */
const COSTS = ["baton", "control", "ws", "socket.io"];
const ROWS: readonly (readonly [string, string, string, string, readonly string[]])[] = [
  ["fan-out to 1,000, 1 in flight", "latest", "fan-out-1", "cpu", COSTS],
  ["fan-out to 1,000, 16 in flight: ", "latest", "fan-out-16", "cpu", COSTS],
  ["publish to one user with 2 connections, 100 ", "latest", "user-publish", "few", COSTS],
  ["publish to one user with 2 connections, 5,000", "latest", "user-publish", "many", COSTS],
  ["opening a connection", "latest", "open", "whole", COSTS],
  ["memory of an idle connection", "latest", "idle-memory", "rss", COSTS],
  ["100 publications/s to 1,000", "latest", "latency", "p50", COSTS],
  ["fan-out to 1,000 with", "recovery", "fan-out-wires", "cpu", ["baton-json", "control"]],
  ["fan-out to 1,000 EventSources", "recovery", "fan-out-wires", "cpu", ["baton-sse", "control"]],
  ["POST /publish:", "recovery", "publish", "alone", ["baton", "control"]],
  ["POST /publish in batches", "recovery", "publish", "batch", ["baton", "control"]],
  ["10,000 clients connect", "recovery", "resume", "cold", ["baton-json"]],
  ["the same 10,000 reconnect", "recovery", "resume", "resumed", ["baton-json"]],
];

test.each([...ROWS])("the row %p is that of bench/results/%s.json", async (...row) => {
  const [start, file, scenario, figure, targets] = row;
  const results: Results = await Bun.file(join(ROOT, `bench/results/${file}.json`)).json();
  const panel = results.panels.find((one) => one.scenario === scenario);
  const cells = targets.map((target) => {
    const found = panel?.rows.find((one) => one.target === target);
    const cell = found?.cells.find((one) => one.figure === figure);
    return shown(cell, target === "control");
  });
  const line = readPage("docs/performance.md")
    .split("\n")
    .find((one) => one.startsWith(`| ${start}`));
  const inPage = line?.split(" | ").slice(1, 1 + targets.length);
  expect(inPage?.map((cell) => cell.replace(/ \|$/, ""))).toEqual(cells);
});
