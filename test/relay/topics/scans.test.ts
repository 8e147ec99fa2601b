// Looks at all names take turns. Row E11 of the fault catalogue.
import { expect, test } from "bun:test";
import { Scans } from "../../../src/relay/topics/scans";

test("E11: of many looks at all names that are asked for at once, one is made in a turn of the event loop, in their order", async () => {
  const turns: (() => void)[] = [];
  const scans = new Scans((work) => void turns.push(work));
  const made: number[] = [];
  const results = [1, 2, 3].map((number) => scans.make(() => made.push(number)));
  for (let number = 1; number <= 3; number++) {
    expect(turns).toHaveLength(1);
    turns.shift()?.();
    expect(made).toHaveLength(number);
  }
  expect(turns).toEqual([]);
  expect(await Promise.all(results)).toEqual([1, 2, 3]);
});

test("E11: a look that fails fails alone", async () => {
  const scans = new Scans(setImmediate);
  const failed = scans.make(() => {
    throw new Error("a fault");
  });
  const other = scans.make(() => "made");
  expect(await failed.catch((error) => error.message)).toBe("a fault");
  expect(await other).toBe("made");
});
