// The memory engine's values: what contract/store.test.ts says of every engine, and how much one sweep does.
import { expect, test } from "bun:test";
import { MemoryRecords } from "../../../src/engines/memory/records";
import { StoreSize } from "../../../src/engines/store-size";

test("what has expired is removed in bounded steps, however few sets it is in, and what is kept stays", () => {
  let now = 0;
  const size = new StoreSize(1e9);
  const records = new MemoryRecords(() => now, size);
  const bounds = { ttlMs: 1_000, max: 1_000_000 };
  for (let i = 0; i < 50_000; i++) records.put(`set ${i % 2}`, `name ${i}`, "value", bounds);
  records.put("set 1", "kept", "value", { ...bounds, ttlMs: 10_000 });
  now = 1_000;
  const all = size.bytes;
  records.expire();
  expect(size.bytes).toBeGreaterThan(all / 2);
  for (let sweep = 0; sweep < 20; sweep++) records.expire();
  expect(records.list("set 1")).toEqual([{ name: "kept", value: "value" }]);
  expect(size.bytes).toBeLessThan(1_000);
  // The sweeps go on at the beginning.
  records.put("set 0", "later", "value", bounds);
  now = 10_000;
  for (let sweep = 0; sweep < 2; sweep++) records.expire();
  expect(size.bytes).toBe(0);
});
