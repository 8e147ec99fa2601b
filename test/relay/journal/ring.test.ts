// The ring keeps the newest entries.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Ring } from "../../../src/relay/journal/ring";

test("a ring has the newest entries, newest first, and knows its oldest one", () => {
  fc.assert(
    fc.property(fc.nat(5), fc.nat(20), (max, count) => {
      const ring = new Ring<number>(max);
      for (let i = 0; i < count; i++) ring.push(i);
      const kept = Array.from({ length: count }, (_, i) => i).slice(max === 0 ? count : -max);
      expect([...ring]).toEqual(kept.toReversed());
      expect(ring.oldest).toBe(kept[0] as number);
      expect(ring.isFull).toBe(count >= max);
    }),
  );
});
