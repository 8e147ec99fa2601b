// What every engine must do with small values and queues. This suite runs for each row of src/engines/index.ts, and for a worker's
// end of a shared engine.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Engine } from "../../src/relay/contracts/engine";
import { Engines } from "../support/engines/fresh-engines";
import { ENGINES_AND_ENDS, startFresh } from "../support/engines/piped-engine";
import { engineOptions, NOBODY } from "../support/relay/simulation";

const BOUNDS = { ttlMs: 1_000, max: 3 };

for (const row of ENGINES_AND_ENDS) {
  describe(`${row.title}: values and queues`, () => {
    let engines: Engines;
    let engine: Engine;
    let now: number;

    beforeEach(async () => {
      now = 0;
      engines = new Engines();
      const options = engineOptions({ now: () => now, storeBytes: 100_000 });
      engine = await startFresh(engines, row, options, NOBODY);
    });

    afterEach(() => engines[Symbol.asyncDispose]());

    const put = (name: string, value = `of ${name}`, bounds = BOUNDS) =>
      engine.records.put("devices:u", name, value, bounds);
    const names = async () => (await engine.records.list("devices:u")).map(({ name }) => name);

    test("a value is kept under its set and name until it is removed, and whatever characters they have", async () => {
      for (const text of ["", " ", "a b\n\u0000", "😀".repeat(100), '{"k":"v"}']) {
        expect(await put(text, text)).toBeUndefined();
        expect(await engine.records.get("devices:u", text)).toBe(text);
        expect(await engine.records.get(`devices:u${text}x`, text)).toBeUndefined();
        expect(await engine.records.list("devices:u")).toEqual([{ name: text, value: text }]);
        expect(await engine.records.remove("devices:u", text)).toBe(true);
        expect(await engine.records.remove("devices:u", text)).toBe(false);
        expect(await engine.records.get("devices:u", text)).toBeUndefined();
      }
      expect(await names()).toEqual([]);
    });

    test("a set is listed in the order of the first puts, and a value that is put again replaces the one before", async () => {
      for (const name of ["b", "a", "c"]) await put(name);
      await put("a", "new");
      expect(await engine.records.list("devices:u")).toEqual([
        { name: "b", value: "of b" },
        { name: "a", value: "new" },
        { name: "c", value: "of c" },
      ]);
      await engine.records.remove("devices:u", "b");
      await put("b");
      expect(await names()).toEqual(["a", "c", "b"]);
    });

    test("a full set takes no new name, but another value of one that it has", async () => {
      for (const name of ["a", "b", "c"]) await put(name);
      expect(await put("d")).toBe("full");
      expect(await put("a", "new")).toBeUndefined();
      expect(await engine.records.put("devices:v", "d", "", BOUNDS)).toBeUndefined();
      await engine.records.remove("devices:u", "b");
      expect(await put("d")).toBeUndefined();
      expect(await names()).toEqual(["a", "c", "d"]);
      expect(await engine.records.put("none", "a", "", { ...BOUNDS, max: 0 })).toBe("full");
    });

    test("a value expires by the last put, makes room, and comes last when it is put again", async () => {
      for (const name of ["a", "b", "c"]) await put(name);
      now = 500;
      await put("b");
      now = 1_001;
      expect(await names()).toEqual(["b"]);
      expect(await engine.records.get("devices:u", "a")).toBeUndefined();
      expect(await engine.records.remove("devices:u", "c")).toBe(false);
      await put("a");
      await put("d");
      expect(await put("e")).toBe("full");
      expect(await names()).toEqual(["b", "a", "d"]);
      now = 1_501;
      engine.sweep();
      expect(await names()).toEqual(["a", "d"]);
    });

    test("values whose time is over make room for others, though nobody has removed them", async () => {
      for (const name of ["a", "b", "c"]) await put(name);
      now = 1_001;
      expect(await put("d")).toBeUndefined();
      expect(await names()).toEqual(["d"]);
    });

    test("a queue gives its oldest entries in order, until they are removed", async () => {
      const { queues } = engine;
      expect(await queues.append("q", ["1", "2 \u0000😀", ""], 10)).toBe(3);
      expect(await queues.append("q", ["4"], 10)).toBe(1);
      expect(await queues.append("other", ["x"], 10)).toBe(1);
      const first = await queues.first("q", 3);
      expect(first.map(({ entry }) => entry)).toEqual(["1", "2 \u0000😀", ""]);
      expect(await queues.size("q")).toBe(4);
      await queues.removeUpTo("q", first[1]?.number as number);
      expect((await queues.first("q", 10)).map(({ entry }) => entry)).toEqual(["", "4"]);
      expect([
        await queues.size("q"),
        await queues.size("other"),
        await queues.size("none"),
      ]).toEqual([2, 1, 0]);
      expect(await queues.first("q", 0)).toEqual([]);
      expect(await queues.first("none", 10)).toEqual([]);
      await queues.removeUpTo("none", 10);
    });

    test("the numbers of a queue rise, also when it has been empty, so that an old removal removes nothing new", async () => {
      const { queues } = engine;
      const numbers: number[] = [];
      for (let i = 0; i < 3; i++) {
        await queues.append("q", ["a", "b"], 10);
        const entries = await queues.first("q", 10);
        numbers.push(...entries.map(({ number }) => number));
        await queues.removeUpTo("q", entries.at(-1)?.number as number);
      }
      expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
      await queues.append("q", ["c"], 10);
      await queues.removeUpTo("q", numbers.at(-1) as number);
      expect((await queues.first("q", 10)).map(({ entry }) => entry)).toEqual(["c"]);
    });

    test("a full queue keeps the first entries that fit, and says how many", async () => {
      const { queues } = engine;
      expect(await queues.append("q", ["1", "2", "3"], 2)).toBe(2);
      expect(await queues.append("q", ["4"], 2)).toBe(0);
      await queues.removeUpTo("q", (await queues.first("q", 1))[0]?.number as number);
      expect(await queues.append("q", ["5", "6"], 2)).toBe(1);
      expect((await queues.first("q", 10)).map(({ entry }) => entry)).toEqual(["2", "5"]);
      expect(await queues.append("q", [], 10)).toBe(0);
    });

    test("a thousand entries go in and out in order", async () => {
      const { queues } = engine;
      const all = Array.from({ length: 1_200 }, (_, i) => String(i).padEnd(10));
      const calls = [all.slice(0, 700), all.slice(700)].map((some) =>
        queues.append("q", some, 2_000),
      );
      const kept = await Promise.all(calls);
      const seen: string[] = [];
      for (;;) {
        const some = await queues.first("q", 100);
        if (some.length === 0) break;
        seen.push(...some.map(({ entry }) => entry));
        await queues.removeUpTo("q", some.at(-1)?.number as number);
      }
      // Where the store has a bound in bytes, the last of them do not fit.
      const taken = [...all.slice(0, kept[0]), ...all.slice(700, 700 + (kept[1] ?? 0))];
      expect(seen).toEqual(taken);
      expect(taken.length).toBeGreaterThan(700);
    });

    // Redis counts its memory itself.
    if (row.name !== "redis") {
      test("values and queues together take at most BATON_STORE_BYTES, and what goes makes room", async () => {
        const { records, queues } = engine;
        const text = "x".repeat(10_000);
        let kept = 0;
        while ((await queues.append("q", [text], 1_000)) === 1) kept++;
        expect(kept).toBeGreaterThan(3);
        expect(kept).toBeLessThan(11);
        expect(await put("a", text)).toBe("full");
        expect(await put("a", "small")).toBeUndefined();
        await queues.removeUpTo("q", (await queues.first("q", 1))[0]?.number as number);
        expect(await put("a", text)).toBeUndefined();
        expect(await put("b", text)).toBe("full");
        expect(await put("a", "small")).toBeUndefined();
        expect(await put("b", text)).toBeUndefined();
        await records.remove("devices:u", "b");
        expect(await queues.append("q", [text], 1_000)).toBe(1);
        now = 1_001;
        engine.sweep();
      });
    }
  });
}
