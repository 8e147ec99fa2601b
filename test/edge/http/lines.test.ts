// Lines of a body: wherever its bytes are cut into chunks, the lines are the same.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Lines } from "../../../src/edge/http/lines";

const BYTES_MAX = 40;

/** The lines that come out of these chunks; of a refused one its code. */
function linesOf(chunks: readonly Uint8Array[]): string[] {
  const lines = new Lines(BYTES_MAX);
  const taken: string[] = [];
  const take = (next: () => ReturnType<Lines["take"]>) => {
    for (let line = next(); line !== undefined; line = next()) {
      taken.push(typeof line === "string" ? line : line.code);
      expect(lines.number).toBe(taken.length);
    }
  };
  for (const chunk of chunks) {
    // It frees what it was given.
    lines.add(new Uint8Array(chunk));
    take(() => lines.take());
  }
  take(() => lines.takeLast());
  return taken;
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("the lines of a body", () => {
  test.each([
    ["that a line feed ends", "a\nb\n", ["a", "b"]],
    ["whose last one has no line feed", "a\nb", ["a", "b"]],
    ["that CR and LF end", "a\r\nb\r\n\r\n", ["a", "b", ""]],
    ["that are empty", "\n\na\n", ["", "", "a"]],
    ["with a byte order mark", "\ufeffa\n\ufeffb", ["a", "b"]],
    ["as long as may be", `${"x".repeat(BYTES_MAX)}\nb`, ["x".repeat(BYTES_MAX), "b"]],
    [
      "that are too long",
      `${"é".repeat(21)}\nb\n${"x".repeat(99)}`,
      ["body_too_large", "b", "body_too_large"],
    ],
    ["of which there are none", "", []],
  ])("%s", (_, body, expected) => {
    expect(linesOf([bytes(body)])).toEqual(expected);
    expect(linesOf([...bytes(body)].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  test("that are not UTF-8 are refused, and the others are taken", () => {
    const body = Buffer.concat([
      bytes("é\n"),
      Uint8Array.of(0xc3),
      bytes("\n😀\n"),
      Uint8Array.of(0xff),
    ]);
    expect(linesOf([body])).toEqual(["é", "malformed_json", "😀", "malformed_json"]);
  });

  test("are the same, however the bytes are cut into chunks", () => {
    const line = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 50 }).map(bytes),
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom("", "\r", "é".repeat(20), "é".repeat(21), "\ufeff{}", "😀").map(bytes),
    );
    const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), cuts, fc.boolean(), (parts, at, isEnded) => {
        const end = isEnded ? [bytes("\n")] : [];
        const body = Buffer.concat([
          ...parts.flatMap((part, i) => (i === 0 ? [part] : [bytes("\n"), part])),
          ...end,
        ]);
        const places = [...at.filter((place) => place < body.length), body.length].sort(
          (a, b) => a - b,
        );
        const chunks = places.map((place, i) => body.subarray(places[i - 1] ?? 0, place));
        expect(linesOf(chunks)).toEqual(linesOf([body]));
      }),
      { numRuns: 300 },
    );
  });
});
