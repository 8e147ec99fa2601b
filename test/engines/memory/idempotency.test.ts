// The memory of idempotency keys beyond the contract of an engine: what is forgotten when, and what has outlived the process.
import { expect, test } from "bun:test";
import { IdempotencyCache } from "../../../src/engines/memory/idempotency";

const TTL_MS = 1_000;
const publication = { topic: "a", data: "m" };

function cache({ keysMax = 10 } = {}) {
  const clock = { now: 0 };
  const keys = new IdempotencyCache({ ttlMs: TTL_MS, keysMax, now: () => clock.now });
  const remember = (key: string, offset = 1) =>
    keys.remember(publication, key, { delivered: 0, offset });
  return { keys, clock, remember };
}

test("a key that was used again is kept when its first use expires", () => {
  const { keys, clock, remember } = cache();
  remember("key", 1);
  keys.expire();
  clock.now = TTL_MS - 1;
  remember("key", 2);
  clock.now = TTL_MS;
  keys.expire();
  expect(keys.recall(publication, "key")).toMatchObject({ offset: 2 });
  clock.now = 2 * TTL_MS - 1;
  expect(keys.recall(publication, "key")).toBeUndefined();
});

test("a key whose answer is retracted is new again", () => {
  const { keys, remember } = cache();
  remember("key");
  keys.retract(publication, "key");
  expect(keys.recall(publication, "key")).toBeUndefined();
});

test("answers that have outlived the process count, even beyond the limit", () => {
  const { keys, clock, remember } = cache({ keysMax: 2 });
  for (const name of ["k1", "k2", "k3"]) keys.restore(`${name}\na`, remember("any"));
  expect(keys.recall(publication, "k3")).toMatchObject({ offset: 1 });
  expect(keys.recall(publication, "new")).toMatchObject({ code: "too_many_idempotency_keys" });
  clock.now = TTL_MS;
  expect(keys.recall(publication, "new")).toBeUndefined();
});

test("however many keys expire at once, there is room for new ones at once", () => {
  const many = 5_000;
  const { keys, clock, remember } = cache({ keysMax: many });
  for (let i = 0; i < many; i++) remember(`old ${i}`);
  clock.now = TTL_MS;
  for (let i = 0; i < many; i++) {
    expect(keys.recall(publication, `new ${i}`)).toBeUndefined();
    remember(`new ${i}`);
  }
  expect(keys.recall(publication, "one more")).toMatchObject({ code: "too_many_idempotency_keys" });
});

test("a publication is told from another by its data, its form, its user and its exception", () => {
  const { keys } = cache();
  const first = { ...publication, data: "1", json: true, user: "u", except: "x" };
  keys.remember(first, "key", { delivered: 0, offset: 7 });
  expect(keys.recall({ ...first, tags: "{}" }, "key")).toMatchObject({ offset: 7 });
  for (const part of [{ data: "2" }, { json: false }, { user: "v" }, { except: "y" }]) {
    expect(keys.recall({ ...first, ...part }, "key")).toMatchObject({
      code: "idempotency_conflict",
    });
  }
});
