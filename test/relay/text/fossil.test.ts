// Patches in Fossil's delta format, against the npm package fossil-delta, which applies them.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { applyDelta } from "fossil-delta";
import { fossilPatch } from "../../../src/relay/text/fossil";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** What a client makes of a patch that has travelled as text. */
function patched(base: string, target: string): { text: string; patch: string } {
  const patch = fossilPatch(bytesOf(base), bytesOf(target));
  const whole = applyDelta(bytesOf(base), bytesOf(patch)) as Uint8Array;
  return { text: new TextDecoder("utf-8", { ignoreBOM: true }).decode(whole), patch };
}

const words = fc.constantFrom(
  "a",
  "é",
  "ē",
  "😀",
  "😁",
  "\ufeff",
  "\u{10ffff}",
  '{"n":1},',
  "0123456789abcdef",
);
const texts = fc.array(words, { maxLength: 60 }).map((parts) => parts.join(""));

test("a patch makes the one text of the other, whatever characters they have", () => {
  fc.assert(
    fc.property(texts, texts, (base, target) => {
      expect(patched(base, target).text).toBe(target);
    }),
    { numRuns: 2_000 },
  );
});

test("a patch between two versions of a text inserts whole characters only", () => {
  const edits = fc.array(fc.record({ at: fc.nat(), cut: fc.nat({ max: 40 }), words }), {
    maxLength: 5,
  });
  fc.assert(
    fc.property(fc.array(words, { minLength: 60, maxLength: 300 }), edits, (parts, changes) => {
      const changed = parts.slice();
      for (const { at, cut, words: word } of changes)
        changed.splice(at % changed.length || 0, cut, word);
      const { text, patch } = patched(parts.join(""), changed.join(""));
      expect(text).toBe(changed.join(""));
      expect(patch.isWellFormed()).toBe(true);
      expect(patch).not.toContain("\ufffd");
    }),
    { numRuns: 1_000 },
  );
});

describe("of a document of 100 KB", () => {
  const items = Array.from({ length: 1_800 }, (_, id) => ({
    id,
    name: `Größe ${id}`,
    price: id * 7,
  }));
  const base = JSON.stringify(items);

  test("of which 200 bytes change in ten places, a patch has less than 2%", () => {
    const changed = structuredClone(items);
    for (let i = 0; i < 10; i++)
      (changed[170 * i + 3] as { name: string }).name = `größer: ${"ß".repeat(5)}${i}`;
    const { text, patch } = patched(base, JSON.stringify(changed));
    expect(JSON.parse(text)).toEqual(changed);
    expect(bytesOf(patch).length).toBeLessThan(0.02 * bytesOf(base).length);
  });

  test.each<[string, string, string]>([
    ["that is in another order", base, JSON.stringify(items.toReversed())],
    ["that is another one", base, "x".repeat(100_000)],
    ["that repeats itself", "ab".repeat(50_000), "ab".repeat(25_000) + "ba".repeat(25_000)],
    ["that repeats a line", "0123456789abcdef".repeat(6_000), "0123456789abcdeg".repeat(6_000)],
    ["that has grown from nothing", "", base],
    ["of which nothing is left", base, ""],
  ])("%s, the patch is right", (_, one, other) => {
    expect(patched(one, other).text).toBe(other);
  });
});

test("a patch is right, whatever two texts share and wherever characters of several bytes stand", () => {
  const text = fc.string({ unit: "binary", maxLength: 80 });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 6 }), text, text, fc.nat(), (parts, one, other, at) => {
      // The same parts in another order, with something else between them.
      const base = parts.join(one);
      const target = [...parts.slice(at % 6), ...parts.slice(0, at % 6)].join(other);
      const { text: whole, patch } = patched(base, target);
      expect(whole).toBe(target);
      expect(patch.isWellFormed()).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("what a text shares with the base is looked for in about its first 100 KB without it, so the work has a bound", () => {
  const shared = JSON.stringify(Array.from({ length: 1_000 }, (_, id) => ({ id, price: 7 * id })));
  const patchOf = (others: number) => {
    const target = `${"é".repeat(others / 2)}${shared}]`;
    const { text, patch } = patched(`<${shared}>`, target);
    expect(text).toBe(target);
    return { patch, target };
  };
  expect(patchOf(100_000).patch.length).toBeLessThan(51_000);
  const beyond = patchOf(150_000);
  expect(beyond.patch.length).toBeGreaterThan(beyond.target.length);
});
