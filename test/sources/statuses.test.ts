// How a source is over all nodes, of which one reads it at a time.
import { expect, test } from "bun:test";
import { overAllNodes, type SourceStatus } from "../../src/sources/sources";

const orders: SourceStatus = {
  name: "orders",
  kind: "redis",
  state: "waiting",
  sinceMs: 100,
  lag: undefined,
  lost: 0,
  failure: undefined,
};

const down: SourceStatus = { ...orders, state: "down", failure: "away", failedMs: 100 };

test("a source is as the node says that reads it, or tries to", () => {
  const reading: SourceStatus = { ...orders, state: "reading", lag: 3 };
  expect(overAllNodes([[down], [reading], [orders]])).toEqual([reading]);
  expect(overAllNodes([[orders], [down]])).toMatchObject([{ state: "down", failure: "away" }]);
});

test("a source at which nodes take turns is down since the first of them failed", () => {
  const resigned = { ...orders, failedMs: 60_000, readMs: 60_000 };
  expect(overAllNodes([[resigned], [down]])).toMatchObject([{ state: "down", sinceMs: 60_000 }]);
});

test("a source is not down for longer than since another node has read it", () => {
  const resigned = { ...orders, failedMs: 60_000 };
  const lost = { ...down, failedMs: 5_000, readMs: 5_000 };
  expect(overAllNodes([[resigned], [lost]])).toMatchObject([{ state: "down", sinceMs: 5_000 }]);
});
