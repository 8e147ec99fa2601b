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
