// The histories in memory beyond the contract of an engine: what is evicted when, and any range of a queue that wraps.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Histories } from "../../../src/engines/memory/history";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";

const TTL_MS = 1_000;

function histories({ bytesMax = 1e9, historySize = 100 } = {}) {
  const clock = { now: 0 };
  let epochs = 0;
  const all = new Histories({
    rules: new TopicRules({ historySize, historyTtlMs: TTL_MS }, { "empty:": { historySize: 0 } }),
    bytesMax,
    now: () => clock.now,
    newEpoch: () => `e${++epochs}`,
  });
  const publish = (topic: string, data = "m") => all.append({ topic, data });
  const topOf = (topic: string) => all.read(topic, { limit: 0, size: 1e6 }).top;
  return { all, clock, publish, topOf };
}

/** So long that two of it fit into 10,000 bytes, and three do not. */
const LONG = "x".repeat(2_000);

test("the history that was used least recently is evicted first, and reading it counts as a use", () => {
  const { publish, topOf } = histories({ bytesMax: 10_000 });
  publish("a", LONG);
  publish("b", LONG);
  topOf("a");
  publish("c", LONG);
  expect(topOf("b")?.offset).toBe(0);
  expect(topOf("a")?.offset).toBe(1);
  expect(topOf("c")?.offset).toBe(1);
});

test("an evicted history comes back under an epoch that no topic had before", () => {
  const { publish, topOf } = histories({ bytesMax: 10_000 });
  const { epoch } = publish("a", LONG);
  for (const topic of ["b", "c", "d"]) publish(topic, LONG);
  expect(topOf("a")).toEqual({ epoch: topOf("unknown")?.epoch as string, offset: 0 });
  const again = publish("a", LONG);
  expect(again.offset).toBe(1);
  expect(again.epoch).not.toBe(epoch as string);
});

test("a history that alone exceeds the bound loses its oldest publications and keeps its epoch", () => {
  const { all, publish } = histories({ bytesMax: 10_000 });
  const { epoch } = publish("a", LONG);
  for (let i = 0; i < 9; i++) publish("a", LONG);
  const { top, publications } = all.read("a", { limit: 100, size: 1e6 });
  expect(top).toEqual({ epoch: epoch as string, offset: 10 });
  expect(publications.map(({ offset }) => offset)).toEqual([9, 10]);
});

test("a history whose publications are forgotten makes room", () => {
  const { all, publish, topOf } = histories({ bytesMax: 10_000 });
  publish("a", LONG);
  publish("b", LONG);
  all.forget("a");
  publish("c", LONG);
  expect(["a", "b", "c"].map((topic) => topOf(topic)?.offset)).toEqual([1, 1, 1]);
});

test("topics that are only read take no room, however many there are", () => {
  const { publish, topOf } = histories({ bytesMax: 10_000 });
  publish("a", LONG);
  for (let i = 0; i < 10_000; i++) topOf(`asked ${i}`);
  expect(topOf("a")?.offset).toBe(1);
});

test.each([
  ["evicts histories when their publications have not expired", 0, 0],
  ["evicts nothing when expire() has made room, in several calls", TTL_MS, 1],
])("a large publication %s", (_, later, offset) => {
  const topics = 4_500;
  const { all, clock, publish, topOf } = histories({ bytesMax: topics * 3_000 });
  for (let i = 0; i < topics; i++) publish(`t${i}`, "x".repeat(1_000));
  clock.now = later;
  for (let i = 0; i < 3; i++) all.expire();
  publish("large", "x".repeat(topics * 1_000));
  expect(topOf("t0")?.offset).toBe(offset);
});

test("a topic whose rule keeps no history gets no offset and has no position", () => {
  const { publish, topOf } = histories();
  expect(publish("empty:a")).toEqual({ topic: "empty:a", data: "m" });
  expect(topOf("empty:a")).toBeUndefined();
});

test("any range of a history equals that part of a list of what was published", () => {
  const act = fc.oneof(
    { weight: 5, arbitrary: fc.constant("publish" as const) },
    { weight: 1, arbitrary: fc.constantFrom("forget", "wait", "expire") },
    {
      weight: 3,
      arbitrary: fc.record({
        since: fc.option(fc.nat(60), { nil: undefined }),
        limit: fc.nat(12),
        reverse: fc.boolean(),
      }),
    },
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
      const { all, clock, publish } = histories({ historySize: 10 });
      let list: { offset: number; at: number }[] = [];
      let top = 0;
      for (const one of acts) {
        if (one === "publish") {
          publish("a");
          list = [...list, { offset: ++top, at: clock.now }].slice(-10);
        } else if (one === "forget") {
          all.forget("a");
          list = [];
        } else if (one === "wait") clock.now += TTL_MS / 3;
        else if (one === "expire") all.expire();
        else {
          const { since, limit, reverse } = one;
          const kept = list.filter(({ at }) => at + TTL_MS > clock.now);
          const after = kept.filter(({ offset }) => offset > (since ?? 0));
          const before = kept.filter(({ offset }) => offset < (since ?? Number.POSITIVE_INFINITY));
          const expected = reverse ? before.toReversed() : after;
          const page = all.read("a", { ...one, size: 1e6 });
          expect(page.top?.offset).toBe(top);
          expect(page.publications.map(({ offset }) => offset)).toEqual(
            expected.slice(0, limit).map(({ offset }) => offset),
          );
        }
      }
    }),
  );
});
