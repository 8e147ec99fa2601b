// What every engine must do: this suite runs for each row of src/engines/index.ts.
import { beforeEach, describe, expect, test } from "bun:test";
import { ENGINES } from "../../src/engines";
import { type Engine, EngineUnavailable } from "../../src/relay/engine";
import type { Publication } from "../../src/relay/publication";
import { engineOptions } from "../support/simulation";

for (const [name, create] of Object.entries(ENGINES)) {
  describe(`the ${name} engine`, () => {
    let engine: Engine;
    let delivered: Publication[];

    beforeEach(async () => {
      engine = create(engineOptions());
      delivered = [];
      await engine.start((publication) => {
        delivered.push(publication);
        return 7;
      });
    });

    test("is known by its name and healthy from start to close", async () => {
      expect(engine.name).toBe(name);
      expect(engine.healthy()).toBe(true);
      await engine.close();
      expect(engine.healthy()).toBe(false);
    });

    test("is not healthy before it is started", () => {
      expect(create(engineOptions()).healthy()).toBe(false);
    });

    test("delivers a publication once and answers what deliver counted", async () => {
      const publication = { topic: "a", data: "hi \u0000 😀", user: "1" };
      const position = { offset: 1, epoch: "e1" };
      expect(await engine.publish(publication)).toEqual({ delivered: 7, ...position });
      expect(delivered).toEqual([{ ...publication, ...position }]);
    });

    test("delivers the publications of a topic in the order in which they were accepted", async () => {
      const sent = Array.from({ length: 1_000 }, (_, i) => ({ topic: "a", data: String(i) }));
      await Promise.all(sent.map((publication) => engine.publish(publication)));
      expect(delivered).toEqual(
        sent.map((publication, i) => ({ ...publication, offset: i + 1, epoch: "e1" })),
      );
    });

    test("delivers all that it accepted before it is closed, and takes nothing after", async () => {
      const accepted = Promise.resolve(engine.publish({ topic: "a", data: "before" }));
      await engine.close();
      await accepted;
      expect(delivered.map(({ data }) => data)).toEqual(["before"]);
      const late = async () => engine.publish({ topic: "a", data: "after" });
      expect(late()).rejects.toBeInstanceOf(EngineUnavailable);
      expect(delivered).toHaveLength(1);
    });
  });
}
