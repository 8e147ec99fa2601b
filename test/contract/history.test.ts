// What every engine must do with histories. This suite runs for each row of src/engines/index.ts.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ENGINES } from "../../src/engines";
import type { EngineOptions } from "../../src/engines/options";
import type { Engine, HistoryRange } from "../../src/relay/contracts/engine";
import type { Publication, Published } from "../../src/relay/contracts/publication";
import { TopicRules } from "../../src/relay/contracts/topic-rules";
import { Engines } from "../support/engines/fresh-engines";
import { seeded } from "../support/machine/seeded-random";
import { engineOptions, NOBODY } from "../support/relay/simulation";

const all50 = Array.from({ length: 50 }, (_, i) => String(i + 1));

for (const name of Object.keys(ENGINES)) {
  describe(`a history of the ${name} engine`, () => {
    const engines = new Engines();
    const create = (options: EngineOptions) => engines.make(name, options);
    let engine: Engine;
    let delivered: Publication[];

    beforeEach(async () => {
      ({ engine, delivered } = await engines.started(name));
    });

    afterEach(() => engines[Symbol.asyncDispose]());

    const publish = async (topic: string, count: number, first = 1) => {
      for (let i = first; i < first + count; i++) {
        await engine.publish({ topic, data: `${topic}${i}` });
      }
    };
    const read = async (topic: string, range: HistoryRange) => {
      const { top, publications } = await engine.history(topic, range);
      return { top, offsets: publications.map(({ offset }) => offset) };
    };

    test("history numbers each topic 1, 2, 3… under its epoch, and returns what was delivered", async () => {
      await publish("a", 3);
      await publish("b", 1);
      const { top, publications } = await engine.history("a", { limit: 10, size: 1e6 });
      expect(top).toEqual({ epoch: top?.epoch as string, offset: 3 });
      expect(publications).toEqual(delivered.filter(({ topic }) => topic === "a"));
      expect((await read("b", { limit: 10, size: 1e6 })).offsets).toEqual([1]);
    });

    test("history has publications to one user among the others, with all they carry", async () => {
      const publication = {
        topic: "a",
        data: "[1.0]",
        json: true,
        user: "1",
        except: "x",
        event: "order\u2028 é",
      };
      await publish("a", 1);
      await engine.publish(publication);
      const { publications } = await engine.history("a", { since: 1, limit: 10, size: 1e6 });
      expect(publications).toEqual([
        { ...publication, offset: 2, epoch: publications[0]?.epoch as string },
      ]);
      expect(delivered[1]).toEqual(publications[0] as Publication);
    });

    test.each([false, true])(
      "each page of a history has at most the size that was asked for, and the pages together are all of it, newest first: %p",
      async (reverse) => {
        const random = seeded(16);
        const sent = all50.map((i) => i.padEnd(Math.floor(random() ** 4 * 20_000), "é"));
        await Promise.all(sent.map((data) => engine.publish({ topic: "a", data })));
        const expected = reverse ? sent.toReversed() : sent;
        for (const size of [0, 1_000, 20_000, 100_000]) {
          for (let since: number | undefined, at = 0; at < sent.length; ) {
            const range = { since, limit: 20, size, reverse };
            const { publications } = await engine.history("a", range);
            const page = publications.map(({ data }) => data);
            expect(page).toEqual(expected.slice(at, at + page.length));
            expect(page.length).toBeWithin(1, 21);
            if (page.length > 1) expect(page.join("").length).toBeLessThanOrEqual(size);
            // A little less than what would fit is enough, but never much less.
            const next = expected[at + page.length];
            const isWhole = page.length === 20 || next === undefined;
            if (!isWhole) expect(2 * `${page.join("")}${next}`.length).toBeGreaterThan(size);
            since = publications.at(-1)?.offset;
            at += page.length;
          }
        }
      },
    );

    test("history is read from any offset, in both directions, up to the limit", async () => {
      await publish("a", 10);
      const ranges: [HistoryRange, number[]][] = [
        [{ limit: 3, size: 1e6 }, [1, 2, 3]],
        [{ limit: 3, size: 1e6, since: 0 }, [1, 2, 3]],
        [{ limit: 3, size: 1e6, since: 8 }, [9, 10]],
        [{ limit: 3, size: 1e6, since: 10 }, []],
        [{ limit: 3, size: 1e6, since: 2 ** 53 - 1 }, []],
        [{ limit: 0, size: 1e6 }, []],
        [{ limit: 3, size: 1e6, reverse: true }, [10, 9, 8]],
        [{ limit: 3, size: 1e6, since: 3, reverse: true }, [2, 1]],
        [{ limit: 3, size: 1e6, since: 1, reverse: true }, []],
        [{ limit: 3, size: 1e6, since: 100, reverse: true }, [10, 9, 8]],
      ];
      for (const [range, offsets] of ranges) {
        expect(await read("a", range)).toMatchObject({ top: { offset: 10 }, offsets });
      }
    });

    test("history of a topic without publications has a position, and the first publication follows it", async () => {
      const { top } = await engine.history("a", { limit: 10, size: 1e6 });
      expect(top?.offset).toBe(0);
      const published = (await engine.publish({ topic: "a", data: "m" })) as Published;
      expect(published).toMatchObject({ offset: 1, epoch: top?.epoch as string });
    });

    test("history keeps as many publications as the topic's rule says, or nothing", async () => {
      const rules = new TopicRules(
        { historySize: 3, historyTtlMs: 1_000 },
        { "empty:": { historySize: 0 }, "never:": { historyTtlMs: 0 }, n: { historySize: 5 } },
      );
      engine = await create(engineOptions({ rules }));
      await engine.start(NOBODY);
      await publish("a", 9);
      await publish("news", 9);
      expect((await read("a", { limit: 10, size: 1e6 })).offsets).toEqual([7, 8, 9]);
      expect((await read("news", { limit: 10, size: 1e6 })).offsets).toEqual([5, 6, 7, 8, 9]);
      for (const topic of ["empty:a", "never:a"]) {
        const published = await engine.publish({ topic, data: "m" });
        expect(published).not.toHaveProperty("offset");
        expect(published).toMatchObject({ delivered: 0 });
        expect(await read(topic, { limit: 10, size: 1e6 })).toEqual({
          top: undefined,
          offsets: [],
        });
      }
    });

    test("history drops what is too old, and the offsets go on", async () => {
      let now = 0;
      const rules = new TopicRules({ historySize: 10, historyTtlMs: 1_000 });
      engine = await create(engineOptions({ rules, now: () => now }));
      await engine.start(NOBODY);
      await publish("a", 2);
      now = 999;
      await publish("a", 1);
      expect((await read("a", { limit: 10, size: 1e6 })).offsets).toEqual([1, 2, 3]);
      now = 1_000;
      expect((await read("a", { limit: 10, size: 1e6 })).offsets).toEqual([3]);
      now = 5_000;
      engine.sweep();
      expect(await read("a", { limit: 10, size: 1e6 })).toMatchObject({
        top: { offset: 3 },
        offsets: [],
      });
      expect(await engine.publish({ topic: "a", data: "m" })).toMatchObject({ offset: 4 });
    });
  });
}
