// Records of a source, however they are repeated and whoever dies: each is published once and in order, and none is lost.
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import type { SourceRecord } from "../../src/relay/contracts/store";
import { WORLDS } from "../support/engines/worlds";

setDefaultTimeout(120_000);

/** A history keeps 100 publications, so what the source has fits into it whatever its topics are. */
const RECORDS = 90;

/** What a caller does next: a call, which is answered or not, or which a crash meets. */
const STEPS = fc.array(
  fc.record({
    caller: fc.nat(1),
    size: fc.integer({ min: 1, max: 40 }),
    fate: fc.constantFrom("answered", "answered", "unanswered", "crash"),
  }),
  { minLength: 1, maxLength: 12 },
);

const TOPICS = fc.array(fc.nat(2), { minLength: RECORDS, maxLength: RECORDS });

for (const [name, runs] of [
  ["memory", 100],
  ["sqlite", 15],
  ["redis", 15],
] as const) {
  test(`${name}: each record of a source is published once and in order, whatever is repeated and whoever dies`, async () => {
    const property = fc.asyncProperty(STEPS, TOPICS, async (steps, topics) => {
      await using world = await WORLDS[name]();
      const records = topics.map(
        (topic, i): SourceRecord => ({
          publication: { topic: `t${topic}`, data: String(i) },
          position: String(i).padStart(3, "0"),
        }),
      );
      /** What the source gives to whoever begins, and where each caller stands. */
      let acknowledged = 0;
      const at = [0, 0];
      const call = async (caller: number, size: number) => {
        const from = at[caller] as number;
        const some = records.slice(from, from + size);
        await world.engine(caller % world.nodes).publishRecords("s/0", some);
        at[caller] = from + some.length;
        acknowledged = Math.max(acknowledged, at[caller]);
      };
      const underWay: Promise<void>[] = [];
      for (const { caller, size, fate } of steps) {
        if (fate === "answered") await call(caller, size);
        else {
          const from = at[caller] as number;
          const lost = world
            .engine(caller % world.nodes)
            .publishRecords("s/0", records.slice(from, from + size));
          underWay.push(
            Promise.resolve(lost).then(
              () => {},
              () => {},
            ),
          );
          // The caller begins again where the source says.
          if (fate === "unanswered") at[caller] = acknowledged;
          else {
            await world.crash();
            at.fill(acknowledged);
          }
        }
      }
      at.fill(acknowledged);
      await Promise.all(
        [0, 1].map(async (caller) => {
          while ((at[caller] as number) < RECORDS) await call(caller, 25);
        }),
      );
      await Promise.all(underWay);
      expect(await world.engine(0).positionOf("s/0")).toBe(records.at(-1)?.position);
      for (const topic of ["t0", "t1", "t2"]) {
        const { publications } = await world.engine(0).history(topic, { limit: 1_000, size: 1e6 });
        expect(publications.map(({ data }) => data)).toEqual(
          records.flatMap(({ publication }) =>
            publication.topic === topic ? publication.data : [],
          ),
        );
      }
    });
    await fc.assert(property, { numRuns: runs });
  });
}
