// When batches leave, by a clock that only the test advances.
import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { Batcher, type Flushable, watchBatch } from "../../src/engines/batcher";

// Timers only: setImmediate still runs at the end of a turn.
beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const turn = () => new Promise<void>((done) => setImmediate(done));

/** A receiver that needs `batchMs` for each batch. */
class Receiver implements Flushable {
  readonly batches: string[][] = [];
  readonly #batcher: Batcher;
  readonly #batchMs: number;
  #kept: string[] = [];

  constructor(batcher: Batcher, batchMs: number) {
    this.#batcher = batcher;
    this.#batchMs = batchMs;
  }

  publish(...names: readonly string[]): void {
    for (const name of names) {
      this.#kept.push(name);
      this.#batcher.schedule(this);
    }
  }

  flush(): void {
    this.batches.push(this.#kept);
    this.#kept = [];
    this.#batcher.flushed(this, this.#batchMs);
  }

  acknowledge(): void {
    this.#batcher.acknowledged(this);
  }

  close(): void {
    this.#batcher.removed(this);
  }
}

/** Receivers of one batcher. */
function receivers<const Ms extends readonly number[]>(...batchMs: Ms) {
  const batcher = new Batcher();
  return batchMs.map((ms) => new Receiver(batcher, ms)) as { [Key in keyof Ms]: Receiver };
}

describe("Batcher", () => {
  test("a batch leaves at the end of the turn when no receiver is busy", async () => {
    const [a, b] = receivers(5, 5);
    a.publish("1", "2");
    b.publish("1");
    expect(a.batches).toEqual([]);
    await turn();
    expect(a.batches).toEqual([["1", "2"]]);
    expect(b.batches).toEqual([["1"]]);
  });

  test("a batch waits until every receiver has acknowledged the last one, and then for 1 ms", async () => {
    const [a, b] = receivers(1, 1);
    a.publish("1");
    b.publish("1");
    await turn();
    a.publish("2");
    a.acknowledge();
    jest.advanceTimersByTime(5);
    await turn();
    expect(a.batches).toEqual([["1"]]);
    b.acknowledge();
    await turn();
    expect(a.batches).toEqual([["1"]]);
    jest.advanceTimersByTime(1);
    expect(a.batches).toEqual([["1"], ["2"]]);
  });

  test("a batch leaves after 25 ms though a receiver has not acknowledged the last one", async () => {
    const [a] = receivers(5);
    a.publish("1");
    await turn();
    a.publish("2");
    jest.advanceTimersByTime(24);
    expect(a.batches).toHaveLength(1);
    jest.advanceTimersByTime(1);
    expect(a.batches).toEqual([["1"], ["2"]]);
  });

  test("a batch does not wait for a receiver that needs less than half a millisecond", async () => {
    const [a] = receivers(0.4);
    for (const name of ["1", "2", "3"]) {
      a.publish(name);
      await turn();
    }
    expect(a.batches).toEqual([["1"], ["2"], ["3"]]);
  });

  test("a batch does not wait for a receiver that was removed", async () => {
    const [a, b] = receivers(1, 1);
    a.publish("1");
    b.publish("1");
    await turn();
    a.publish("2");
    a.acknowledge();
    b.close();
    jest.advanceTimersByTime(1);
    expect(a.batches).toEqual([["1"], ["2"]]);
  });
});

describe("Batcher after a large batch", () => {
  /** The last batch had three publications, and the pause after its acknowledgement is over. */
  async function afterThree(batchMs: number): Promise<Receiver> {
    const [a] = receivers(batchMs);
    a.publish("1", "2", "3");
    await turn();
    a.publish("4");
    a.acknowledge();
    jest.advanceTimersByTime(1);
    return a;
  }

  test("a smaller batch waits for as many publications as the last one had, and leaves as soon as they are there", async () => {
    const a = await afterThree(20);
    a.publish("5");
    await turn();
    expect(a.batches).toHaveLength(1);
    a.publish("6");
    await turn();
    expect(a.batches).toEqual([
      ["1", "2", "3"],
      ["4", "5", "6"],
    ]);
  });

  test("a smaller batch waits for at most half of the time that the last one took", async () => {
    const a = await afterThree(20);
    jest.advanceTimersByTime(8);
    expect(a.batches).toHaveLength(1);
    jest.advanceTimersByTime(1);
    expect(a.batches.at(-1)).toEqual(["4"]);
  });

  test("a smaller batch waits for at most 25 ms, however long the last one took", async () => {
    const a = await afterThree(2_000);
    jest.advanceTimersByTime(23);
    expect(a.batches).toHaveLength(1);
    jest.advanceTimersByTime(1);
    expect(a.batches.at(-1)).toEqual(["4"]);
  });

  test("a batch leaves once when it becomes full in the turn in which its wait ends", async () => {
    const a = await afterThree(8);
    a.publish("5", "6");
    jest.advanceTimersByTime(3);
    await turn();
    a.publish("7");
    await turn();
    expect(a.batches.slice(1)).toEqual([["4", "5", "6"]]);
  });
});

test("watchBatch() measures the whole turn, and is done a turn later", async () => {
  let now = 10;
  const calls: string[] = [];
  watchBatch(
    () => now,
    now,
    (ms) => calls.push(`sent after ${ms} ms`),
    () => calls.push("done"),
  );
  now = 17;
  await turn();
  expect(calls).toEqual(["sent after 7 ms"]);
  await turn();
  expect(calls).toEqual(["sent after 7 ms", "done"]);
});
