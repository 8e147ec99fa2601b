// What the SQLite engine removes from its file, when, and in which steps. Row G19 of the fault catalogue.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { statSync } from "node:fs";
import type { Published } from "../../../src/relay/contracts/publication";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { offsetsIn, publishMany, SqliteStore } from "../../support/engines/sqlite-store";

let store: SqliteStore;
beforeEach(() => {
  store = new SqliteStore();
});
afterEach(() => store[Symbol.dispose]());

const rows = (): number => store.value("SELECT count(*) FROM publications") as number;

test("publications whose time is over are no longer read, and are removed in small steps", async () => {
  const rules = new TopicRules({ historySize: 1_000_000, historyTtlMs: 1_000 });
  const engine = await store.start({ rules, historyBytes: 1e9 });
  for (let i = 0; i < 6; i++) await publishMany(engine, 2_000);
  expect(rows()).toBe(12_000);
  store.now = 1_000;
  expect(offsetsIn(engine)).toEqual([]);
  for (let left = 12_000; left > 0; left = rows()) {
    engine.sweep();
    expect(rows()).toBeGreaterThanOrEqual(left - 5_256);
    expect(rows()).toBeLessThan(left);
  }
  expect(await engine.publish({ topic: "a", data: "m" })).toMatchObject({ offset: 12_001 });
});

test("publications beyond the count of a topic are removed together with new publishes", async () => {
  const engine = await store.start();
  for (let i = 0; i < 20; i++) await publishMany(engine, 100);
  expect(rows()).toBeLessThanOrEqual(300);
  expect(offsetsIn(engine)).toHaveLength(100);
  engine.sweep();
  expect(rows()).toBe(100);
});

test("the topics published to least recently are evicted, and come back under another epoch", async () => {
  const engine = await store.start({ historyBytes: 100_000 });
  const first = (await engine.publish({ topic: "t0", data: "m" })) as Published;
  for (let i = 1; i < 200; i++) {
    store.now++;
    await engine.publish({ topic: `t${i}`, data: "x".repeat(900) });
  }
  expect(engine.history("t199", { limit: 10, size: 1e6 }).publications).toHaveLength(1);
  const { top } = engine.history("t0", { limit: 10, size: 1e6 });
  expect(top?.offset).toBe(0);
  expect(top?.epoch).not.toBe(first.epoch as string);
  expect(await engine.publish({ topic: "t0", data: "m" })).toMatchObject({
    offset: 1,
    epoch: top?.epoch as string,
  });
});

test.each([50, 900, 1_500, 20_000])(
  "G19: the file and its write-ahead log stay bounded under a long run of publishes of %i bytes",
  async (size) => {
    const bound = 2_000_000;
    const rules = new TopicRules({ historySize: 1_000_000, historyTtlMs: 300_000 });
    const engine = await store.start({ rules, historyBytes: bound });
    const count = Math.ceil((5 * bound) / (size + 40) / 50);
    for (let i = 0; i < count; i++) {
      store.now += 10;
      await Promise.all(
        Array.from({ length: 50 }, (_, k) =>
          engine.publish({ topic: `t${(i + k) % 7}`, data: "x".repeat(size) }),
        ),
      );
      if (i % 20 === 0) engine.sweep();
    }
    expect(statSync(store.path).size).toBeLessThan(2 * bound);
    expect(statSync(`${store.path}-wal`).size).toBeLessThan(9 * 2 ** 20);
  },
  120_000,
);

test("the file returns free space to the system", async () => {
  const rules = new TopicRules({ historySize: 1_000_000, historyTtlMs: 1_000 });
  const engine = await store.start({ rules, historyBytes: 1e9 });
  for (let i = 0; i < 20; i++) await publishMany(engine, 500, "a", "x".repeat(500));
  store.now = 10_000;
  for (let i = 0; i < 40; i++) engine.sweep();
  engine.close();
  expect(statSync(store.path).size).toBeLessThan(2 * 2 ** 20);
});
