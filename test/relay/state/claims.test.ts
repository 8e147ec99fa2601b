// Row C1 of the fault catalogue: the newest claim of a registration wins, in whatever order the messages of nodes come.
import { expect, test } from "bun:test";
import { Claims } from "../../../src/relay/state/claims";

test("C1: a claim that a newer one has ended stays ended when the message of an older one comes late", () => {
  const claims = new Claims();
  claims.endBelow("a", 5);
  claims.endBelow("a", 3);
  for (const term of [2, 3, 4]) {
    claims.add("a", term);
    expect(claims.delete("a", term)).toBe(false);
    expect(claims.whyEnded("a")).toBe("replaced");
  }
  claims.add("a", 5);
  expect(claims.delete("a", 5)).toBe(true);
});

test("C1: after a registration was deleted no claim of it opens, whatever message comes later", () => {
  const claims = new Claims();
  claims.endBelow("a", Number.POSITIVE_INFINITY);
  claims.endBelow("a", 3);
  claims.add("a", 4);
  expect(claims.delete("a", 4)).toBe(false);
  expect(claims.whyEnded("a")).toBe("deleted");
});

test("a handshake counts from its claim until it is over, also where another of the same registration goes on", () => {
  const claims = new Claims();
  for (const term of [1, 2, 3]) claims.add("a", term);
  claims.add("b", 1);
  expect(claims.size).toBe(4);
  expect(claims.delete("a", 2)).toBe(true);
  expect(claims.delete("a", 2)).toBe(false);
  expect(claims.size).toBe(3);
  claims.endBelow("a", 3);
  expect(claims.size).toBe(2);
  expect(claims.delete("a", 1)).toBe(false);
  expect(claims.delete("a", 3)).toBe(true);
  expect(claims.delete("a", 3)).toBe(false);
  claims.endBelow("b", 2);
  expect(claims.size).toBe(0);
});

test("what another node has ended is remembered for five seconds at least, and for ten at most", () => {
  const claims = new Claims();
  const isOpen = (term: number) => {
    claims.add("a", term);
    return claims.delete("a", term);
  };
  claims.expire(0);
  claims.endBelow("a", 5);
  for (const now of [1_000, 4_999, 5_000, 6_000, 9_999]) {
    claims.expire(now);
    expect([now, isOpen(4)]).toEqual([now, false]);
  }
  claims.expire(10_000);
  expect(isOpen(4)).toBe(true);
});
