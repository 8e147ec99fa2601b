// What readers keep of what has arrived: how it is cut into batches, and what ends the waiting for it.
import { expect, test } from "bun:test";
import { Arrivals } from "../../src/sources/arrivals";
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX } from "../../src/sources/contract";

function arrivals(count: number, size: number) {
  const made = new Arrivals();
  for (let i = 0; i < count; i++) made.add({ partition: "", body: undefined, key: `k${i}`, size });
  return made;
}

test("a batch has as many records as it may, in the order in which they came", () => {
  const arrived = arrivals(BATCH_RECORDS_MAX + 2, 1);
  expect(arrived.take().length).toBe(BATCH_RECORDS_MAX);
  expect(arrived.bytes).toBe(2);
  expect(arrived.take().map(({ key }) => key)).toEqual(["k1000", "k1001"]);
  expect(arrived.take()).toEqual([]);
});

test("a batch ends with the record that makes it large enough, however large that is", () => {
  const arrived = arrivals(3, BATCH_BYTES_MAX);
  expect(arrived.take().length).toBe(1);
  expect(arrived.count).toBe(2);
});

test("a failure ends the waiting, and of two the first one counts", async () => {
  const arrived = arrivals(0, 0);
  const waited = arrived.waited();
  arrived.fail(new Error("the first"));
  arrived.fail(new Error("the second"));
  await expect(waited).rejects.toThrow("the first");
  await expect(arrived.waited()).rejects.toThrow("the first");
});

test("a record, or a call of wake, ends the waiting", async () => {
  const arrived = arrivals(0, 0);
  let waited = arrived.waited();
  arrived.wake();
  await waited;
  waited = arrived.waited();
  arrived.add({ partition: "", body: "b" });
  await waited;
  expect(arrived.count).toBe(1);
});
