// What waits for a receiver, when its queue is full and when the engine cannot be reached.
import { beforeEach, describe, expect, test } from "bun:test";
import { HookQueue, readEntry } from "../../../src/edge/hooks/queue";
import type { HookReceiver } from "../../../src/edge/hooks/receiver";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";

const MAX = 3;

describe("the queue of a receiver", () => {
  let entries: string[];
  let isAway: boolean;
  let lost: number;
  let queue: HookQueue;
  let answersLater: boolean;
  const append = (added: readonly string[], max: number): number => {
    if (isAway) throw new EngineUnavailable("away");
    const kept = added.slice(0, Math.max(0, max - entries.length));
    entries.push(...kept);
    return kept.length;
  };
  const texts = () => entries.map((entry) => readEntry(entry).text);
  const make = (lostTextOf: HookReceiver["lostTextOf"]) =>
    new HookQueue({
      receiver: { url: "http://receiver.test/", lostTextOf } as HookReceiver,
      queues: {
        append: (_, added, max) =>
          answersLater ? (async () => append(added, max))() : append(added, max),
        first: () => [],
        removeUpTo: () => undefined,
        size: () => 0,
      },
      max: MAX,
      onLost: (count) => {
        lost += count;
      },
    });

  beforeEach(() => {
    entries = [];
    isAway = false;
    answersLater = true;
    lost = 0;
    queue = make((count) => `${count} lost`);
  });

  test("keeps events in their order, with their time", async () => {
    await queue.add("a");
    queue.push("b");
    await queue.add("c");
    expect(texts()).toEqual(["a", "b", "c"]);
    expect(readEntry(entries[0] ?? "").at).toBeCloseTo(Date.now(), -5);
  });

  test("drops the newest when it is full, and says how many are missing where they are", async () => {
    for (const text of ["a", "b", "c", "d", "e"]) await queue.add(text);
    expect(texts()).toEqual(["a", "b", "c"]);
    expect(lost).toBe(2);
    entries.splice(0, 2);
    await queue.add("f");
    expect(texts()).toEqual(["c", "2 lost", "f"]);
    entries.splice(0, 3);
    await queue.add("g");
    expect(texts()).toEqual(["g"]);
  });

  test("says so too when no other event follows", async () => {
    for (const text of ["a", "b", "c", "d"]) await queue.add(text);
    await queue.tick();
    expect(texts()).toEqual(["a", "b", "c"]);
    entries.splice(0);
    await queue.tick();
    expect(texts()).toEqual(["1 lost"]);
    expect(lost).toBe(1);
  });

  test("of a receiver whose form has no word for lost events only counts them", async () => {
    queue = make(() => undefined);
    for (const text of ["a", "b", "c", "d"]) await queue.add(text);
    entries.splice(0);
    await queue.add("e");
    expect(texts()).toEqual(["e"]);
    expect(lost).toBe(1);
  });

  test.each([true, false])(
    "adds what waited for the engine with the next tick, before what has come since (an engine that answers later: %p)",
    async (later) => {
      answersLater = later;
      isAway = true;
      queue.push("a");
      await new Promise(setImmediate);
      isAway = false;
      queue.push("b");
      expect(texts()).toEqual([]);
      await queue.tick();
      expect(texts()).toEqual(["a", "b"]);
      queue.push("c");
      expect(texts()).toEqual(["a", "b", "c"]);
      expect(lost).toBe(0);
    },
  );

  test("keeps what cannot be refused until the engine is back, in its order", async () => {
    isAway = true;
    queue.push("a");
    await new Promise(setImmediate);
    queue.push("b");
    expect(queue.add("refused")).rejects.toBeInstanceOf(EngineUnavailable);
    await new Promise(setImmediate);
    isAway = false;
    await queue.add("c");
    expect(texts()).toEqual(["a", "b", "c"]);
  });
});
