// Rates: how often something may happen in a second, for one and for any number of clients.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ClientRates, Rate } from "../../../../src/edge/access/limits/rates";

/** How many of so many attempts at one time succeed. */
function passing(take: () => boolean, attempts: number): number {
  let passed = 0;
  for (let i = 0; i < attempts; i++) if (take()) passed++;
  return passed;
}

describe.each([1, 3, 7, 1_000, 9_999])("a rate of %d a second", (perSecond) => {
  test("lets a second's worth happen at once, and as much again after a second", () => {
    const rate = new Rate(perSecond);
    const rates = new ClientRates(perSecond);
    for (const now of [12_345.678, 13_345.679, 1e9]) {
      expect(passing(() => rate.take(1, now) === 0, 2 * perSecond)).toBe(perSecond);
      expect(passing(() => rates.take("192.0.2.1", now), 2 * perSecond)).toBe(perSecond);
    }
  });

  test("says how long to wait, after which one more may happen", () => {
    const rate = new Rate(perSecond);
    while (rate.take(1, 500) === 0);
    const waitMs = rate.waitMs(500);
    expect(waitMs).toBeCloseTo(1_000 / perSecond, 6);
    expect(rate.take(1, 500 + waitMs / 2)).toBeGreaterThan(0);
    expect(rate.take(1, 500 + waitMs)).toBe(0);
  });
});

test("in any time no more happens than a second's worth and that of the time, however it is spread", () => {
  const steps = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 1, max: 9 })),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), steps, (perSecond, taken) => {
      const rates = new ClientRates(perSecond);
      let now = 0;
      let passed = 0;
      for (const [pauseMs, attempts] of taken) {
        now += pauseMs;
        passed += passing(() => rates.take("192.0.2.1", now), attempts);
      }
      expect(passed).toBeLessThanOrEqual(perSecond + (now * perSecond) / 1_000 + 1e-6);
    }),
    { numRuns: 30 },
  );
});

test("many at once are taken whole where there is room for one, and are paid for by waiting", () => {
  const rate = new Rate(10);
  expect(rate.take(1_000, 0)).toBe(0);
  expect(rate.take(1, 0)).toBeCloseTo(99_100, 3);
  expect(rate.take(1, 99_000)).toBeGreaterThan(0);
  expect(rate.take(1, 99_100)).toBe(0);
});

test("a hundred thousand clients take no more memory than one, and lift nobody's limit", () => {
  const rates = new ClientRates(5);
  expect(passing(() => rates.take("192.0.2.1", 0), 50)).toBe(5);
  const attackers = Array.from({ length: 100_000 }, (_, i) => `2001:db8:${i.toString(16)}:0::/64`);
  for (const attacker of attackers) rates.take(attacker, 0);
  expect(passing(() => rates.take("192.0.2.1", 0), 50)).toBe(0);
  // They may do all that they may, and still hardly anybody else has both slots full.
  const filled = new ClientRates(5);
  for (const attacker of attackers.slice(0, 10_000)) passing(() => filled.take(attacker, 0), 50);
  const honest = Array.from({ length: 1_000 }, (_, i) => `198.51.${i >> 8}.${i & 255}`);
  expect(honest.filter((client) => filled.take(client, 0)).length).toBeGreaterThan(950);
});
