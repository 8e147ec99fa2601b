// What the SQLite engine keeps besides histories, while its file cannot be written and when a delivery fails. Row G12 of the fault
// catalogue.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { SqliteEngine } from "../../../src/engines/sqlite/engine";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import type { SourceRecord } from "../../../src/relay/contracts/store";
import { offsetsIn, SqliteStore } from "../../support/engines/sqlite-store";
import { engineOptions, NOBODY } from "../../support/relay/simulation";

let store: SqliteStore;
beforeEach(() => {
  store = new SqliteStore();
});
afterEach(() => store[Symbol.dispose]());

const record = (position: number, data = String(position)): SourceRecord => ({
  publication: { topic: "a", data },
  position: String(position),
});

const failureOf = async (act: () => unknown): Promise<unknown> => {
  try {
    await act();
  } catch (error) {
    return error;
  }
};

test("G12: records that the full disk did not take are not published and keep no position, and are published when they come again", async () => {
  const limitPages = (pages: number) => store.connection.run(`PRAGMA max_page_count=${pages}`);
  const engine = await store.start({ storeBytes: 1e9 });
  await engine.publishRecords("s/0", [record(1)]);
  await engine.queues.append("q", ["1"], 10);
  const bytes = engine.storeBytes;
  limitPages(1);
  const big = "x".repeat(60_000);
  const calls = [
    () => engine.publishRecords("s/0", [record(2, big)]),
    // One that comes after it must not be published without it.
    () => engine.publishRecords("s/0", [record(3)]),
    () => engine.records.put("set", "name", big, { ttlMs: 1_000, max: 10 }),
    () => engine.queues.append("q", [big], 10),
    () => engine.queues.removeUpTo("q", 1),
  ];
  for (const error of await Promise.all(calls.map(failureOf))) {
    expect(error).toBeInstanceOf(EngineUnavailable);
  }
  expect(store.delivered.map(({ data }) => data)).toEqual(["1"]);
  expect(engine.positionOf("s/0")).toBe("1");
  expect([engine.storeBytes, await engine.queues.size("q")]).toEqual([bytes, 1]);
  expect(await engine.records.list("set")).toEqual([]);
  limitPages(1e6);
  store.now += 16_000;
  engine.sweep();
  expect(await engine.publishRecords("s/0", [record(1), record(2, big), record(3)])).toEqual({
    published: 2,
    repeated: 1,
  });
  expect(await engine.queues.append("q", ["2"], 10)).toBe(1);
  expect((await engine.queues.first("q", 10)).map(({ entry }) => entry)).toEqual(["1", "2"]);
  expect(offsetsIn(engine)).toEqual([1, 2, 3]);
});

test("an error in the delivery of a record fails its call, and the record counts as published", async () => {
  const engine = new SqliteEngine(engineOptions(), store.path);
  const delivered: string[] = [];
  await engine.start({
    ...NOBODY,
    deliver: ({ data }) => {
      if (data === "1") throw new Error("not delivered");
      return delivered.push(data);
    },
  });
  const records = [record(1), record(2)];
  expect(await failureOf(() => engine.publishRecords("s/0", records))).toMatchObject({
    message: "not delivered",
  });
  expect(delivered).toEqual(["2"]);
  expect(await engine.publishRecords("s/0", records)).toEqual({ published: 0, repeated: 2 });
  engine.close();
});
