// The memory of idempotency keys beyond the contract of an engine: what is forgotten when, and what has outlived the process.
import { expect, test } from "bun:test";
import { nameOf } from "../../../src/engines/idempotency-key";
import { IdempotencyCache } from "../../../src/engines/memory/idempotency";
import type { Publication } from "../../../src/relay/contracts/publication";

const TTL_MS = 1_000;
const publication: Publication = { topic: "a", data: "m" };

function cache({ keysMax = 10 } = {}) {
  const clock = { now: 0 };
  const warnings: string[] = [];
  const keys = new IdempotencyCache({
    ttlMs: TTL_MS,
    keysMax,
    now: () => clock.now,
    warn: (sentence) => warnings.push(sentence),
  });
  const remember = (key: string, offset = 1) =>
    keys.remember(nameOf(publication, key), publication, { delivered: 0, offset });
  const recall = (key: string, repeated = publication) =>
    keys.recall(nameOf(publication, key), repeated);
  return { keys, clock, warnings, remember, recall };
}

test("a key that was used again is kept when its first use expires", () => {
  const { keys, clock, remember, recall } = cache();
  remember("key", 1);
  clock.now = TTL_MS - 1;
  remember("key", 2);
  clock.now = TTL_MS;
  keys.expire();
  expect(recall("key")).toMatchObject({ offset: 2 });
  clock.now = 2 * TTL_MS - 1;
  expect(recall("key")).toBeUndefined();
});

test("a key whose answer is retracted is new again", () => {
  const { keys, remember, recall } = cache();
  remember("key");
  keys.retract(nameOf(publication, "key"));
  expect(recall("key")).toBeUndefined();
  expect(keys.size).toBe(0);
});

test("answers that have outlived the process count, and the newest are remembered", () => {
  const { keys, clock, remember, recall } = cache({ keysMax: 2 });
  const expiresAt = clock.now + TTL_MS;
  const answer = { ...remember("any"), expiresAt };
  for (const key of ["k1", "k2", "k3"]) keys.restore(nameOf(publication, key), answer);
  expect(keys.size).toBe(2);
  expect(recall("k1")).toBeUndefined();
  expect(recall("k3")).toMatchObject({ offset: 1 });
  clock.now = TTL_MS;
  expect(recall("k3")).toBeUndefined();
});

test("at least three quarters of BATON_IDEMPOTENCY_MAX are remembered, and never more than it allows", () => {
  for (const keysMax of [1, 7, 8, 9, 1_000]) {
    const { keys, remember, recall } = cache({ keysMax });
    for (let i = 0; i < 3 * keysMax; i++) {
      remember(`key ${i}`, i);
      expect(keys.size).toBeLessThanOrEqual(keysMax);
      const kept = Math.max(1, Math.floor((3 * keysMax) / 4) - 1);
      const oldest = Math.max(0, i + 1 - kept);
      expect(recall(`key ${oldest}`)).toMatchObject({ offset: oldest });
    }
  }
});

test("keys whose time is over are forgotten, and take no memory any more", () => {
  const { keys, clock, warnings, remember, recall } = cache({ keysMax: 8_000 });
  for (clock.now = 0; clock.now < TTL_MS; clock.now++) remember(`key ${clock.now}`);
  expect(keys.size).toBe(1_000);
  clock.now = 1.5 * TTL_MS;
  keys.expire();
  expect(keys.size).toBeLessThan(800);
  expect(recall("key 500")).toBeUndefined();
  expect(recall("key 501")).toMatchObject({ offset: 1 });
  clock.now = 2 * TTL_MS;
  keys.expire();
  expect(keys.size).toBe(0);
  expect(warnings).toEqual([]);
});

test("a long key in a long topic takes no more than a short one", () => {
  const topic = "t".repeat(255);
  const [one, two] = ["1", "2"].map((end) => nameOf({ topic, data: "" }, "k".repeat(254) + end));
  expect(one?.length).toBeLessThan(64);
  expect(one).not.toBe(two as string);
});

test("a publication is told from another by its data, its form, its user, its exception and its event", () => {
  const { keys, recall } = cache();
  const first = { ...publication, data: "1", json: true, user: "u", except: "x" };
  keys.remember(nameOf(first, "key"), first, { delivered: 0, offset: 7 });
  expect(recall("key", { ...first, tags: "{}" })).toMatchObject({ offset: 7 });
  const others = [
    { data: "2" },
    { json: false },
    { user: "v" },
    { user: undefined },
    { except: "y" },
    { event: "order" },
    { user: "ux", except: "" },
    { except: "x1", data: "" },
  ];
  for (const part of others) {
    expect(recall("key", { ...first, ...part })).toMatchObject({
      code: "idempotency_conflict",
    });
  }
});
