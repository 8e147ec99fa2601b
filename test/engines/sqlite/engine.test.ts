// The SQLite engine beyond the contract: what outlives the process, its transactions, and failures of its file. Rows C11, G12,
// G17 and G20 of the fault catalogue.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { SqliteEngine } from "../../../src/engines/sqlite/engine";
import { type Claimed, EngineUnavailable } from "../../../src/relay/contracts/engine";
import type { Published } from "../../../src/relay/contracts/publication";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { offsetsIn, publishMany, SqliteStore } from "../../support/engines/sqlite-store";
import { engineOptions, NOBODY } from "../../support/relay/simulation";

let store: SqliteStore;
beforeEach(() => {
  store = new SqliteStore();
});
afterEach(() => store[Symbol.dispose]());

/** What this throws or rejects with. */
const failureOf = (act: () => unknown): Promise<unknown> =>
  (async () => act())().catch((error: unknown) => error);

describe("after a restart", () => {
  test("G20: after a restart, epoch, offsets, publications with all they carry and keys are unchanged", async () => {
    let engine = await store.start();
    const info = { client: "c", user: "u", connectionInfo: "{}" };
    const rich = {
      topic: "a",
      data: "[1.0]",
      json: true,
      user: "1",
      except: "x",
      tags: "{}",
      event: "order",
      info,
    };
    const first = (await engine.publish(rich, "key")) as Published;
    await engine.publish({ topic: "a", data: "é \u0000 😀" });
    const page = engine.history("a", { limit: 10, size: 1e6 });
    const silent = engine.history("silent", { limit: 0, size: 1e6 }).top;
    engine.close();
    engine = await store.start();
    expect(engine.history("a", { limit: 10, size: 1e6 })).toEqual(page);
    expect(page.publications).toHaveLength(2);
    expect(engine.history("silent", { limit: 0, size: 1e6 }).top).toEqual(silent);
    expect(await engine.publish(rich, "key")).toEqual({ ...first, delivered: 0 });
    expect(await engine.publish({ ...rich, data: "2" }, "key")).toMatchObject({
      code: "idempotency_conflict",
    });
    expect(await engine.publish({ topic: "a", data: "3" })).toMatchObject({
      offset: 3,
      epoch: first.epoch as string,
    });
  });

  test("registrations wait again after a restart, owned ones too, for as long as new ones", async () => {
    let engine = await store.start();
    await engine.registrations.add({ id: "waits", user: "1", topics: ["a", "b"] });
    await engine.registrations.add({ id: "owned", user: "1" });
    await engine.registrations.add({ id: "removed", user: "1" });
    await engine.registrations.claim("owned");
    await engine.registrations.remove("removed");
    engine.close();
    engine = await store.start();
    expect(engine.registrations.waiting).toBe(2);
    expect(engine.registrations.claim("waits")).toMatchObject({ topics: ["a", "b"] });
    const owned = engine.registrations.claim("owned") as Claimed;
    expect(owned).toMatchObject({ user: "1" });
    expect(engine.registrations.claim("removed")).toMatchObject({ code: "unknown_connection" });
    store.now = 60_000;
    engine.registrations.release("owned", owned.term, "wait");
    store.now = 120_000;
    engine.sweep();
    engine.close();
    engine = await store.start();
    expect(engine.registrations.waiting).toBe(1);
  });

  test("C11: a restart makes nothing younger, and a clock that was set back makes nothing older", async () => {
    const rules = new TopicRules({ historySize: 10, historyTtlMs: 1_000 });
    let engine = await store.start({ rules, idempotencyMs: 1_000 });
    await engine.publish({ topic: "a", data: "m" }, "key");
    engine.close();
    store.timeOfDay += 999;
    engine = await store.start({ rules, idempotencyMs: 1_000 });
    expect(offsetsIn(engine)).toEqual([1]);
    store.now += 1;
    expect(offsetsIn(engine)).toEqual([]);
    expect(await engine.publish({ topic: "a", data: "m" }, "key")).toMatchObject({ offset: 2 });
    engine.close();
    store.timeOfDay -= 900_000;
    engine = await store.start({ rules, idempotencyMs: 1_000 });
    expect(offsetsIn(engine)).toEqual([2]);
    store.now += 1_000;
    expect(offsetsIn(engine)).toEqual([]);
  });

  test("a topic whose rule kept no history for a while starts again under another epoch", async () => {
    let engine = await store.start();
    const { epoch } = (await engine.publish({ topic: "a", data: "m" })) as Published;
    engine.close();
    engine = await store.start({ rules: new TopicRules({ historySize: 0, historyTtlMs: 1 }) });
    expect(await engine.publish({ topic: "a", data: "unseen" })).toEqual({ delivered: 1 });
    engine.close();
    engine = await store.start();
    const { top } = engine.history("a", { limit: 1, size: 1e6 });
    expect(top?.offset).toBe(0);
    expect(top?.epoch).not.toBe(epoch as string);
  });

  test("the file keeps no more idempotency keys than are remembered, and a restart remembers the newest", async () => {
    const options = { idempotencyMax: 100 };
    let engine = await store.start(options);
    const publish = (key: number) => engine.publish({ topic: "a", data: "m" }, `k${key}`);
    for (let n = 0; n < 20; n++) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => publish(100 * n + i)));
      expect(store.value("SELECT count(*) FROM answers")).toBeLessThanOrEqual(100);
    }
    engine.close();
    engine = await store.start(options);
    expect(await publish(1_999)).toMatchObject({ offset: 2_000 });
    expect(await publish(0)).toMatchObject({ offset: 2_001 });
    engine.close();
    engine = await store.start({ idempotencyMax: 10 });
    engine.sweep();
    expect(store.value("SELECT count(*) FROM answers")).toBeLessThanOrEqual(10);
    expect(await publish(0)).toMatchObject({ offset: 2_001 });
    expect(await publish(1_000)).toMatchObject({ offset: 2_002 });
  });

  test("G17: integers beyond 2^53 are as exact after a restart as before", async () => {
    let engine = await store.start();
    const data = "[9007199254740993,18446744073709551617,-9007199254740993]";
    const published = await engine.publish({ topic: "a", data, json: true }, "key");
    engine.close();
    engine = await store.start();
    expect(engine.history("a", { limit: 1, size: 1e6 }).publications[0]?.data).toBe(data);
    // The fingerprint of what a key was used for has 64 bits: not even the last may be lost.
    expect(await engine.publish({ topic: "a", data, json: true }, "key")).toEqual({
      ...(published as Published),
      delivered: 0,
    });
    const keys = 200;
    for (let i = 0; i < keys; i++) await engine.publish({ topic: "b", data: `${i}` }, `k${i}`);
    const prints = store.connection.query("SELECT print FROM answers").values() as [string][];
    expect(prints.some(([print]) => BigInt(print) > 2n ** 53n)).toBe(true);
    engine.close();
    engine = await store.start();
    for (let i = 0; i < keys; i++) {
      expect(await engine.publish({ topic: "b", data: `${i}` }, `k${i}`)).toMatchObject({
        offset: i + 1,
      });
    }
  });
});

describe("transactions", () => {
  /**
   * How many commits stand in the write-ahead log: the last frame of each has the size of the database, in place of 0. The
   * format is https://www.sqlite.org/fileformat2.html#walformat.
   */
  function commitsInLog(): number {
    const log = readFileSync(`${store.path}-wal`);
    const frameBytes = 24 + log.readUInt32BE(8);
    let commits = 0;
    for (let at = 32; at + frameBytes <= log.length; at += frameBytes) {
      if (log.readUInt32BE(at + 4) !== 0) commits++;
    }
    return commits;
  }

  test("publishes of one turn are one transaction, and a key that occurs twice in it gets one answer", async () => {
    const engine = await store.start();
    const before = commitsInLog();
    const answers = await publishMany(engine, 500);
    expect(commitsInLog()).toBe(before + 1);
    expect(answers.map((answer) => (answer as Published).offset)).toEqual(
      Array.from({ length: 500 }, (_, i) => i + 1),
    );
    const twice = await Promise.all([
      engine.publish({ topic: "a", data: "k" }, "key"),
      engine.publish({ topic: "a", data: "k" }, "key"),
      engine.publish({ topic: "a", data: "other" }, "key"),
    ]);
    expect(twice[0]).toEqual({ delivered: 1, offset: 501, epoch: expect.any(String) });
    expect(twice[1]).toEqual(twice[0]);
    expect(twice[2]).toMatchObject({ code: "idempotency_conflict" });
  });

  test("what does not fit into a transaction goes into the next ones, in order", async () => {
    const engine = await store.start();
    await publishMany(engine, 5_000);
    expect(store.delivered.map(({ offset }) => offset)).toEqual(
      Array.from({ length: 5_000 }, (_, i) => i + 1),
    );
  });

  test("an error in the delivery of a publication fails its publish alone", async () => {
    const engine = new SqliteEngine(engineOptions(), store.path);
    await engine.start({
      ...NOBODY,
      deliver: ({ data }) => {
        if (data === "bad") throw new Error("not delivered");
        return 1;
      },
    });
    const [bad, good] = await Promise.all([
      failureOf(() => engine.publish({ topic: "a", data: "bad" }, "key")),
      engine.publish({ topic: "a", data: "good" }),
    ]);
    expect((bad as Error).message).toBe("not delivered");
    expect(good).toMatchObject({ offset: 2 });
    expect(await engine.publish({ topic: "a", data: "bad" }, "key")).toMatchObject({ offset: 1 });
    engine.close();
  });
});

test("G12: while its file is full the engine refuses what it cannot keep, and it recovers when there is room", async () => {
  const limitPages = (pages: number) => store.connection.run(`PRAGMA max_page_count=${pages}`);
  const engine = await store.start({ historyBytes: 1e9 });
  await engine.publish({ topic: "a", data: "1" }, "k1");
  await engine.registrations.add({ id: "r", user: "1" });
  limitPages(1);
  const big = "x".repeat(60_000);
  const failed = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      failureOf(() => engine.publish({ topic: "a", data: big }, `big${i}`)),
    ),
  );
  for (const error of failed) expect(error).toBeInstanceOf(EngineUnavailable);
  expect((failed[0] as Error).message).toContain("full");
  expect(engine.healthy()).toBe(false);
  const publish = () => engine.publish({ topic: "a", data: "2" });
  const add = () => engine.registrations.add({ id: "r2", user: "1" });
  for (const act of [publish, add]) {
    expect(await failureOf(act)).toBeInstanceOf(EngineUnavailable);
  }
  expect(engine.registrations.waiting).toBe(1);
  expect(engine.registrations.claim("r")).toMatchObject({ user: "1" });
  await failureOf(() => engine.registrations.remove("r"));
  // Nothing that failed was delivered, and what was acknowledged can be read.
  expect(store.delivered).toHaveLength(1);
  expect(engine.history("a", { limit: 10, size: 1e6 })).toMatchObject({ top: { offset: 1 } });

  // Without room the engine stays unhealthy, and tries less and less often.
  for (let i = 0; i < 3; i++) {
    store.now += 16_000;
    engine.sweep();
    expect(engine.healthy()).toBe(false);
  }
  limitPages(1e6);
  store.now += 1_000;
  engine.sweep();
  expect(engine.healthy()).toBe(false);
  store.now += 16_000;
  engine.sweep();
  expect(engine.healthy()).toBe(true);
  expect(await engine.publish({ topic: "a", data: big }, "big0")).toMatchObject({ offset: 2 });
  expect(await engine.publish({ topic: "a", data: "1" }, "k1")).toMatchObject({ offset: 1 });
  engine.close();
  const again = await store.start({ historyBytes: 1e9 });
  expect(offsetsIn(again)).toEqual([1, 2]);
  // The registration that was removed while nothing could be written has ended all the same.
  expect(again.registrations.waiting).toBe(0);
});
