import { describe, expect, test } from "bun:test";
import { Batcher } from "../../../src/engines/batcher";
import { Arrivals } from "../../../src/engines/redis/following/arrivals";
import { busy, until } from "../../support/wait";

/** What is taken without a pause, a list each time. */
class Taken {
  readonly groups: string[][] = [];
  #isOpen = false;

  take(name: string): void {
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.groups.push([]);
      queueMicrotask(() => {
        this.#isOpen = false;
      });
    }
    this.groups.at(-1)?.push(name);
  }
}

/** As long as sends to many sockets take. */
const WORK_MS = 3;

const turn = () => new Promise<void>((done) => setImmediate(done));

describe("what arrives over Redis", () => {
  test("is taken in its order, what came in one turn together", async () => {
    const taken = new Taken();
    const arrivals = new Arrivals(new Batcher());
    for (const name of ["a", "b", "c"]) arrivals.add(() => taken.take(name));
    expect(taken.groups).toEqual([]);
    await until("all to be taken", () => taken.groups.flat().length === 3);
    expect(taken.groups).toEqual([["a", "b", "c"]]);
  });

  test("is taken as it comes while taking it costs nothing", async () => {
    const taken = new Taken();
    const arrivals = new Arrivals(new Batcher());
    const names = ["a", "b", "c", "d"];
    for (const [i, name] of names.entries()) {
      arrivals.add(() => taken.take(name));
      await until("it to be taken", () => taken.groups.length === i + 1);
    }
    expect(taken.groups).toEqual(names.map((name) => [name]));
  });

  test("waits for the next wave while the sockets take one, so that several turns' leave together", async () => {
    const taken = new Taken();
    const arrivals = new Arrivals(new Batcher());
    const slow = (name: string) => () => {
      taken.take(name);
      busy(WORK_MS);
    };
    arrivals.add(slow("a"));
    await until("a to be taken, and known to be slow", () => taken.groups.length === 1);
    await turn();
    arrivals.add(() => {
      slow("b")();
      arrivals.add(slow("c"));
      setImmediate(() => arrivals.add(slow("d")));
    });
    await until("all to be taken", () => taken.groups.flat().length === 4);
    expect(taken.groups).toEqual([["a"], ["b"], ["c", "d"]]);
  });

  test("is handed on at once when its connection has broken", () => {
    const taken = new Taken();
    const arrivals = new Arrivals(new Batcher());
    for (const name of ["a", "b"]) arrivals.add(() => taken.take(name));
    arrivals.flush();
    expect(taken.groups).toEqual([["a", "b"]]);
  });
});
