// What every engine must do with the records of sources. This suite runs for each row of src/engines/index.ts,
// and for a worker's end of a shared engine.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Engine, EngineUnavailable } from "../../src/relay/contracts/engine";
import type { Publication, Published } from "../../src/relay/contracts/publication";
import { RECORDS_MAX, type SourceRecord } from "../../src/relay/contracts/store";
import { Engines } from "../support/engines/fresh-engines";
import { ENGINES_AND_ENDS, startFresh } from "../support/engines/piped-engine";
import { engineOptions, NOBODY } from "../support/relay/simulation";
import { until } from "../support/wait";

const digits = (position: number) => String(position).padStart(20, "0");

/** The records from one position to another, in the topics a and b by turns. */
const recordsOf = (from: number, to: number): SourceRecord[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    publication: { topic: (from + i) % 2 === 0 ? "a" : "b", data: String(from + i) },
    position: digits(from + i),
  }));

for (const row of ENGINES_AND_ENDS) {
  describe(`${row.title}: records of sources`, () => {
    let engines: Engines;
    let engine: Engine;
    let delivered: Publication[];
    let warnings: string[];

    beforeEach(async () => {
      [delivered, warnings] = [[], []];
      engines = new Engines();
      engine = await startFresh(
        engines,
        row,
        engineOptions({ warn: (sentence) => warnings.push(sentence) }),
        { ...NOBODY, deliver: (one) => delivered.push(one) },
      );
      for (const topic of ["a", "b"]) engine.follow(topic);
    });

    afterEach(() => engines[Symbol.asyncDispose]());

    const untilDelivered = (count: number) =>
      until(`${count} deliveries`, () => delivered.length >= count);
    const numbersIn = (topic: string) =>
      delivered.filter((one) => one.topic === topic).map(({ data }) => Number(data));
    const untilThese = async (from: number, to: number) => {
      await untilDelivered(to - from + 1);
      for (const [topic, rest] of [
        ["a", 0],
        ["b", 1],
      ] as const) {
        const all = Array.from({ length: to - from + 1 }, (_, i) => from + i);
        expect(numbersIn(topic)).toEqual(all.filter((number) => number % 2 === rest));
      }
    };

    test("records with positions are published once each, in order, whatever is repeated", async () => {
      expect(await engine.publishRecords("orders/0", recordsOf(1, 300))).toEqual({
        published: 300,
        repeated: 0,
      });
      expect(await engine.publishRecords("orders/0", recordsOf(1, 300))).toEqual({
        published: 0,
        repeated: 300,
      });
      expect(await engine.publishRecords("orders/0", recordsOf(200, 500))).toEqual({
        published: 200,
        repeated: 101,
      });
      await untilThese(1, 500);
    });

    test("what is not above the last position is dropped within a call too, and each partition has its own", async () => {
      const [one, two, three] = recordsOf(1, 3) as [SourceRecord, SourceRecord, SourceRecord];
      const outcome = await engine.publishRecords("orders/0", [one, three, two, three]);
      expect(outcome).toEqual({ published: 2, repeated: 2 });
      expect(await engine.publishRecords("orders/1", [two])).toMatchObject({ published: 1 });
      await untilDelivered(3);
      expect([numbersIn("a"), numbersIn("b")]).toEqual([[2], [1, 3]]);
    });

    test("positionOf() says up to where all records of a partition are published", async () => {
      expect(await engine.positionOf("orders/0")).toBeUndefined();
      await engine.publishRecords("orders/0", recordsOf(1, 3));
      expect(await engine.positionOf("orders/0")).toBe(digits(3));
      await engine.publishRecords("orders/0", recordsOf(1, 2));
      expect(await engine.positionOf("orders/0")).toBe(digits(3));
      expect(await engine.positionOf("orders/1")).toBeUndefined();
      await engine.publishRecords("keyed", [{ publication: { topic: "a", data: "m" }, key: "k" }]);
      expect(await engine.positionOf("keyed")).toBeUndefined();
    });

    test("records are numbered, kept and delivered as other publications are", async () => {
      await engine.publish({ topic: "a", data: "0" });
      const publication = { topic: "a", data: "1", user: "u", tags: '{"k":"v"}', event: "e" };
      await engine.publishRecords("orders/0", [{ publication, position: "1" }]);
      expect(await engine.publish({ topic: "a", data: "2" })).toMatchObject({ offset: 3 });
      await untilDelivered(3);
      expect(delivered.map(({ offset }) => offset)).toEqual([1, 2, 3]);
      const { publications } = await engine.history("a", { limit: 10, size: 1e6 });
      expect(publications).toEqual(delivered);
      expect(publications[1]).toMatchObject(publication);
    });

    test("a record without a position is published once by its key, and always without one", async () => {
      const publication = { topic: "a", data: "1" };
      const records = [{ publication, key: "k" }, { publication, key: "k" }, { publication }];
      const published = await engine.publishRecords("queue", records);
      expect(published).toEqual({ published: 2, repeated: 1 });
      expect(await engine.publishRecords("queue", records)).toEqual({ published: 1, repeated: 2 });
      // It is the same key as that of a publish.
      const first = (await engine.publish(publication, "k")) as Published;
      expect(first.offset).toBe(1);
      await engine.publish(publication, "other");
      expect(await engine.publishRecords("queue", [{ publication, key: "other" }])).toEqual({
        published: 0,
        repeated: 1,
      });
      expect(warnings).toEqual([]);
    });

    test("a record with the key of another publication counts as repeated, and the log says so once in a minute", async () => {
      await engine.publish({ topic: "a", data: "first" }, "k");
      const records = [
        { publication: { topic: "a", data: "second" }, key: "k" },
        { publication: { topic: "a", data: "third" }, key: "other" },
      ];
      expect(await engine.publishRecords("queue", records)).toEqual({ published: 1, repeated: 1 });
      expect(await engine.publishRecords("queue", records)).toEqual({ published: 0, repeated: 2 });
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("1, the last in queue");
      await untilDelivered(2);
      expect(delivered.map(({ data }) => data)).toEqual(["first", "third"]);
    });

    test("a call with too many records or a wrong position throws and publishes nothing", async () => {
      const publication = { topic: "a", data: "1" };
      const calls = [
        recordsOf(1, RECORDS_MAX + 1),
        [
          { publication, position: "1" },
          { publication, position: "2a" },
        ],
        [{ publication, position: "" }],
        [{ publication, position: "1".repeat(41) }],
      ];
      for (const records of calls) {
        const call = async () => engine.publishRecords("orders/0", records);
        expect(call()).rejects.toBeInstanceOf(RangeError);
      }
      expect(await engine.publishRecords("orders/0", [])).toEqual({ published: 0, repeated: 0 });
      expect(await engine.positionOf("orders/0")).toBeUndefined();
      expect(await engine.publish(publication)).toMatchObject({ offset: 1 });
    });

    test("records that are too large for one step are published in order all the same", async () => {
      const records = Array.from({ length: 100 }, (_, i) => ({
        publication: { topic: "a", data: String(i).padEnd(50_000, " ") },
        position: digits(i),
      }));
      expect(await engine.publishRecords("large", records)).toEqual({
        published: 100,
        repeated: 0,
      });
      await untilDelivered(100);
      expect(numbersIn("a")).toEqual(Array.from({ length: 100 }, (_, i) => i));
    });

    test("two callers that publish the same partition publish each record once, in order", async () => {
      const publish = async (size: number) => {
        let published = 0;
        for (let from = 1; from <= 900; from += size) {
          const records = recordsOf(from, Math.min(900, from + size - 1));
          published += (await engine.publishRecords("orders/0", records)).published;
        }
        return published;
      };
      const counts = await Promise.all([publish(90), publish(70), publish(300)]);
      expect(counts.reduce((sum, count) => sum + count)).toBe(900);
      await untilThese(1, 900);
    });

    test("a closed engine publishes no records", async () => {
      await engine.close();
      const late = async () => engine.publishRecords("orders/0", recordsOf(1, 1));
      expect(late()).rejects.toBeInstanceOf(EngineUnavailable);
    });
  });
}
