// The queues of receivers that are set no longer.
import { expect, test } from "bun:test";
import { QueueList } from "../../../src/edge/hooks/queue-list";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { engineOptions } from "../../support/relay/simulation";

const LATER_MS = 600_000;

test("what waits for a receiver that is set no longer is dropped once all nodes may have new settings", async () => {
  const engine = new MemoryEngine(engineOptions());
  const { queues } = engine;
  let now = 0;
  let isAway = false;
  const dropped: string[] = [];
  const records: typeof engine.records = {
    ...engine.records,
    put: (...put) => engine.records.put(...put),
    list: (set) => {
      if (isAway) throw new EngineUnavailable("away");
      return engine.records.list(set);
    },
    remove: (...name) => engine.records.remove(...name),
  };
  const listOf = (...names: string[]) =>
    new QueueList({
      engine: { queues, records },
      origins: new Map(names.map((name) => [name, `https://${name}.test`])),
      now: () => now,
      onDropped: (count, origin) => dropped.push(`${count} of ${origin}`),
    });
  const before = listOf("stays", "goes");
  await before.tend();
  for (const name of ["stays", "goes", "no webhooks"]) queues.append(name, ["1", "2"], 10);
  const after = listOf("stays");
  await after.tend();
  now += LATER_MS - 1;
  await after.tend();
  // One that has led only since then waits again.
  after.rest();
  await after.tend();
  now += LATER_MS - 1;
  await after.tend();
  expect(queues.size("goes")).toBe(2);
  now += 1;
  isAway = true;
  expect(after.tend()).rejects.toThrow("away");
  isAway = false;
  await after.tend();
  expect(dropped).toEqual(["2 of https://goes.test"]);
  const sizes = ["stays", "goes", "no webhooks"].map((name) => queues.size(name));
  expect(sizes).toEqual([2, 0, 2]);
  // Nobody is set any more.
  await listOf().emptyOthers();
  expect(dropped.slice(1)).toEqual(["2 of https://stays.test"]);
});
