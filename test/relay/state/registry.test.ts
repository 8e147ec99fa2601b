// Row C1 of the fault catalogue: who holds an id is known by terms, in whatever order nodes say so.
import { expect, test } from "bun:test";
import { plain } from "../../../src/protocols/plain";
import { Connection } from "../../../src/relay/state/connection";
import { Connections } from "../../../src/relay/state/registry";

const connection = (term: number) =>
  new Connection({ id: "a", user: "1", topics: undefined, term }, plain);

test("C1: a claim that a newer one has ended stays so, when word of an older one comes late", () => {
  const registry = new Connections();
  registry.endClaims("a", 5);
  registry.endClaims("a", 3);
  for (const term of [2, 3, 4]) {
    registry.claim("a", term);
    expect(registry.takeClaim(connection(term))).toBe("replaced");
  }
  registry.claim("a", 5);
  expect(registry.takeClaim(connection(5))).toBeUndefined();
});

test("C1: after a deletion no claim opens, whatever is heard later", () => {
  const registry = new Connections();
  registry.endClaims("a", Number.POSITIVE_INFINITY);
  registry.endClaims("a", 3);
  registry.claim("a", 4);
  expect(registry.takeClaim(connection(4))).toBe("deleted");
});
