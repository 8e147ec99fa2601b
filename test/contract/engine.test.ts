// What every engine must do. This suite runs for each row of src/engines/index.ts.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ENGINES } from "../../src/engines";
import type { EngineOptions } from "../../src/engines/options";
import {
  type Claimed,
  type Engine,
  EngineUnavailable,
  type HistoryPage,
} from "../../src/relay/contracts/engine";
import { Refusal } from "../../src/relay/contracts/errors";
import type { Publication, Published } from "../../src/relay/contracts/publication";
import { Engines } from "../support/engines/fresh-engines";
import { engineOptions, NOBODY } from "../support/relay/simulation";

for (const name of Object.keys(ENGINES)) {
  describe(`the ${name} engine`, () => {
    const engines = new Engines();
    const create = (options: EngineOptions) => engines.make(name, options);
    let engine: Engine;
    let delivered: Publication[];

    beforeEach(async () => {
      ({ engine, delivered } = await engines.started(name));
    });

    afterEach(() => engines[Symbol.asyncDispose]());

    test("an engine is healthy from its start to its close", async () => {
      expect(engine.healthy()).toBe(true);
      await engine.close();
      expect(engine.healthy()).toBe(false);
    });

    test("an engine is not healthy before its start", async () => {
      expect((await create(engineOptions())).healthy()).toBe(false);
    });

    test("a publication is delivered once, and its publish answers what deliver() counted", async () => {
      const publication = { topic: "a", data: "hi \u0000 😀", user: "1" };
      const { epoch = "" } = (await engine.publish(publication)) as Published;
      expect(epoch).toMatch(/^e[12]$/);
      expect(delivered).toEqual([{ ...publication, offset: 1, epoch }]);
      const again = { ...publication, data: "again" };
      expect(await engine.publish(again)).toMatchObject({ delivered: 7, offset: 2, epoch });
    });

    test("the publications of a topic are delivered in the order in which they were accepted", async () => {
      const sent = Array.from({ length: 1_000 }, (_, i) => ({ topic: "a", data: String(i) }));
      await Promise.all(sent.map((publication) => engine.publish(publication)));
      const epoch = delivered[0]?.epoch as string;
      expect(delivered).toEqual(
        sent.map((publication, i) => ({ ...publication, offset: i + 1, epoch })),
      );
    });

    test("an engine delivers what it accepted before its close, and accepts nothing after it", async () => {
      const accepted = Promise.resolve(engine.publish({ topic: "a", data: "before" }));
      await engine.close();
      await accepted;
      expect(delivered.map(({ data }) => data)).toEqual(["before"]);
      const late = async () => engine.publish({ topic: "a", data: "after" });
      expect(late()).rejects.toBeInstanceOf(EngineUnavailable);
      expect(delivered).toHaveLength(1);
    });

    test("forget() removes the publications of a topic, and the offsets go on", async () => {
      for (let i = 1; i <= 3; i++) await engine.publish({ topic: "a", data: String(i) });
      const { top } = await engine.history("a", { limit: 10, size: 1e6 });
      await engine.forget("a");
      await engine.forget("unknown");
      expect(await engine.history("a", { limit: 10, size: 1e6 })).toEqual({
        top,
        publications: [],
      });
      expect(await engine.publish({ topic: "a", data: "4" })).toMatchObject({ offset: 4 });
      const { publications } = await engine.history("a", { limit: 10, size: 1e6 });
      expect(publications.map(({ offset }) => offset)).toEqual([4]);
    });

    test("a page of history has only what was delivered", async () => {
      engine = await create(engineOptions());
      const seen: [number | undefined, HistoryPage][] = [];
      await engine.start({
        ...NOBODY,
        deliver: ({ offset }) => {
          // An engine that answers later is tested for this by the relay's property test of recovery.
          const page = engine.history("a", { limit: 10, size: 1e6 });
          if (!(page instanceof Promise)) seen.push([offset, page]);
          return 0;
        },
      });
      await Promise.all(["1", "2", "3"].map((data) => engine.publish({ topic: "a", data })));
      for (const [offset = 0, { top, publications }] of seen) {
        expect(publications.every((one) => (one.offset ?? 0) <= offset)).toBe(true);
        expect(top?.offset).toBeLessThanOrEqual(offset);
      }
    });

    describe("an idempotency key", () => {
      test("an idempotency key that is used again gets the first answer and publishes nothing, also at once", async () => {
        const publication = { topic: "a", data: "m" };
        const answers = await Promise.all(
          Array.from({ length: 10 }, () => engine.publish(publication, "key")),
        );
        for (const answer of answers) expect(answer).toEqual(answers[0] as Published);
        expect(delivered).toHaveLength(1);
        expect(await engine.publish({ topic: "b", data: "m" }, "key")).toMatchObject({ offset: 1 });
        expect(await engine.publish(publication)).toMatchObject({ offset: 2 });
      });

      test("an idempotency key refuses another publication in the same topic", async () => {
        await engine.publish({ topic: "a", data: "m" }, "key");
        const refused = await engine.publish({ topic: "a", data: "n" }, "key");
        expect(refused).toMatchObject({ code: "idempotency_conflict" });
        expect(delivered).toHaveLength(1);
      });

      describe("when it is forgotten", () => {
        let now: number;
        let warnings: string[];
        // No two keys are used in the same moment: which of them is the older one is for the engine to say.
        const publish = (key: string) => {
          now += 0.01;
          return engine.publish({ topic: "a", data: key }, key);
        };

        beforeEach(async () => {
          now = 0;
          warnings = [];
          engine = await create(
            engineOptions({
              now: () => now,
              warn: (sentence) => warnings.push(sentence),
              idempotencyMs: 1_000,
              idempotencyMax: 2,
            }),
          );
          await engine.start(NOBODY);
        });

        test("an idempotency key is forgotten when its time is over", async () => {
          await publish("k1");
          now = 999;
          expect(await publish("k1")).toMatchObject({ offset: 1 });
          now = 1_001;
          expect(await publish("k1")).toMatchObject({ offset: 2 });
          expect(warnings).toEqual([]);
        });

        test("the newest idempotency keys are remembered when there are too many, and the oldest are forgotten", async () => {
          await publish("k1");
          await publish("k2");
          expect(await publish("k3")).toMatchObject({ offset: 3 });
          expect(await publish("k2")).toMatchObject({ offset: 2 });
          expect(await publish("k3")).toMatchObject({ offset: 3 });
          expect(await publish("k1")).toMatchObject({ offset: 4 });
          expect(await publish("k2")).toMatchObject({ offset: 5 });
        });

        test("a warning says for how long idempotency keys are remembered, once a minute, when there are too many", async () => {
          await publish("k1");
          now = 100;
          await publish("k2");
          now = 300;
          await publish("k3");
          expect(warnings).toHaveLength(1);
          expect(warnings[0]).toStartWith(
            "Idempotency keys are remembered for 0.3 s now, not for 1.0 s: more than 2 were used",
          );
          for (now = 400; now < 60_000; now += 1_000) {
            for (const key of ["k4", "k5", "k6"]) await publish(key);
          }
          expect(warnings).toHaveLength(1);
          now = 60_500;
          for (const key of ["k4", "k5", "k6"]) await publish(key);
          expect(warnings).toHaveLength(2);
        });

        test("no idempotency key is refused, however many are used at once, and however long", async () => {
          const keys = Array.from({ length: 3_000 }, (_, i) => String(i).padEnd(255, "x"));
          const answers = await Promise.all(keys.map(publish));
          expect(answers.filter((answer) => answer instanceof Refusal)).toEqual([]);
          expect(await publish(keys.at(-1) as string)).toMatchObject({ offset: 3_000 });
          expect(await publish(keys[0] as string)).toMatchObject({ offset: 3_001 });
        });
      });
    });

    describe("a registration", () => {
      const someone = { id: "r1", user: "1", topics: ["a"] };

      test("a registration waits, is claimed, waits again when it is released, and is gone when it is removed", async () => {
        const { registrations } = engine;
        expect(await registrations.add(someone)).toBeUndefined();
        expect(registrations.waiting).toBe(1);
        const first = await claim(engine, "r1");
        expect(first).toEqual({ ...someone, wasRemote: false, term: first.term });
        expect(registrations.waiting).toBe(0);
        const second = await claim(engine, "r1");
        expect(second).toEqual({ ...first, term: second.term });
        expect(second.term).toBeGreaterThan(first.term);
        registrations.release("r1", first.term, "end");
        registrations.release("r1", second.term, "wait");
        const third = await claim(engine, "r1");
        expect(third).toEqual({ ...first, term: third.term });
        expect(third.term).toBeGreaterThan(second.term);
        expect(await registrations.remove("r1")).toEqual({ wasRemote: false });
        expect(await registrations.remove("r1")).toBeUndefined();
        expect(await registrations.claim("r1")).toMatchObject({ code: "unknown_connection" });
      });

      test("a registration ends with its connection if it is released to end", async () => {
        const { registrations } = engine;
        await registrations.add(someone);
        const { term } = await claim(engine, "r1");
        registrations.release("r1", term, "end");
        expect(await registrations.claim("r1")).toMatchObject({ code: "unknown_connection" });
        expect(registrations.waiting).toBe(0);
      });

      test("a registration that is released ends when as many wait as may, and a connection without one always ends", async () => {
        engine = await create(engineOptions({ registrationsMax: 1 }));
        await engine.start(NOBODY);
        const { registrations } = engine;
        await registrations.add(someone);
        const { term } = await claim(engine, "r1");
        await registrations.own("c1", "1");
        const unknown = { code: "unknown_connection" };
        expect(await registrations.claim("c1")).toMatchObject(unknown);
        registrations.release("c1", 0, "wait");
        expect(await registrations.claim("c1")).toMatchObject(unknown);
        expect(await registrations.add({ id: "r2", user: "1" })).toBeUndefined();
        registrations.release("r1", term, "wait");
        expect(await registrations.claim("r1")).toMatchObject(unknown);
        expect(registrations.waiting).toBe(1);
      });

      test("a registration is removed while it waits, and its id can be added again", async () => {
        const { registrations } = engine;
        await registrations.add(someone);
        expect(await registrations.remove("r1")).toEqual({ wasRemote: false });
        expect(registrations.waiting).toBe(0);
        expect(await registrations.claim("r1")).toMatchObject({ code: "unknown_connection" });
        await registrations.add({ id: "r1", user: "2" });
        expect(await registrations.claim("r1")).toMatchObject({ id: "r1", user: "2" });
      });

      test("a registration ends when its time is over, and makes room for another", async () => {
        let now = 0;
        engine = await create(
          engineOptions({ now: () => now, registrationTtlMs: 1_000, registrationsMax: 2 }),
        );
        await engine.start(NOBODY);
        const { registrations } = engine;
        await registrations.add({ id: "r1", user: "1" });
        await registrations.add({ id: "r2", user: "1" });
        expect(await registrations.add({ id: "r3", user: "1" })).toMatchObject({
          code: "too_many_registrations",
        });
        now = 999;
        const { term } = await claim(engine, "r1");
        now = 1_000;
        engine.sweep();
        expect(await registrations.remove("r2")).toBeUndefined();
        expect(await registrations.claim("r2")).toMatchObject({ code: "unknown_connection" });
        expect(await registrations.add({ id: "r3", user: "1" })).toBeUndefined();
        registrations.release("r1", term, "wait");
        now = 1_999;
        expect(await registrations.claim("r1")).toMatchObject({ id: "r1" });
      });

      test("a registration is refused while its user has as many connections as allowed", async () => {
        engine = await create(engineOptions({ userConnectionsMax: 2 }));
        await engine.start(NOBODY);
        const { registrations } = engine;
        await registrations.add({ id: "r1", user: "1" });
        await registrations.add({ id: "r2", user: "1" });
        expect(await registrations.own("c1", "1")).toBeUndefined();
        expect(await registrations.claim("r1")).toMatchObject({ id: "r1" });
        const crowded = { code: "too_many_user_connections" };
        expect(await registrations.claim("r2")).toMatchObject(crowded);
        expect(await registrations.own("c2", "1")).toMatchObject(crowded);
        expect(await registrations.add({ id: "r3", user: "1" })).toMatchObject(crowded);
        expect(await registrations.own("c2", "2")).toBeUndefined();
        registrations.release("c1", 0, "end");
        expect(await registrations.claim("c1")).toMatchObject({ code: "unknown_connection" });
        expect(await registrations.claim("r2")).toMatchObject({ id: "r2" });
      });

      test("a connection whose client says later who it is takes a place of its user then, and no other place", async () => {
        engine = await create(engineOptions({ userConnectionsMax: 1, connectionsMax: 2 }));
        await engine.start(NOBODY);
        const { registrations } = engine;
        for (const id of ["1.2", "3.4"]) expect(await registrations.own(id, "")).toBeUndefined();
        expect(await registrations.own("1.2", "u")).toBeUndefined();
        const crowded = { code: "too_many_user_connections" };
        expect(await registrations.own("3.4", "u")).toMatchObject(crowded);
        registrations.release("1.2", 0, "end");
        expect(await registrations.own("3.4", "u")).toBeUndefined();
        expect(await registrations.own("5.6", "u")).toMatchObject(crowded);
        registrations.release("3.4", 0, "end");
        expect(await registrations.own("5.6", "u")).toBeUndefined();
      });
    });
  });
}

async function claim({ registrations }: Engine, id: string): Promise<Claimed> {
  const claimed = await registrations.claim(id);
  if (claimed instanceof Refusal) throw new Error(`the claim of ${id} is refused: ${claimed.code}`);
  return claimed;
}
