// Variants of a protocol for clients that take no large frames. What each of them must do is in test/contract/protocol.test.ts.
import { expect, test } from "bun:test";
import { json } from "../../src/protocols/json";
import { withSizes } from "../../src/protocols/sized";

test("a publication is encoded once for all sizes, and once more for each that it is too large for", () => {
  let encoded = 0;
  const { sizes = [] } = withSizes({
    ...json,
    encodePublication(publication) {
      encoded++;
      return json.encodePublication(publication);
    },
  });
  const encodeAll = (data: string) => {
    const publication = { topic: "a", data };
    return sizes.map((protocol) => protocol.encodePublication(publication));
  };
  expect(new Set(encodeAll("small")).size).toBe(1);
  expect(encoded).toBe(1);
  const frames = encodeAll("x".repeat(20_000));
  expect(frames.map((frame) => frame.includes("too_large"))).toEqual(
    sizes.map(({ maxBytes }) => maxBytes < 20_000),
  );
  expect(encoded).toBe(1 + 1 + 2);
});
