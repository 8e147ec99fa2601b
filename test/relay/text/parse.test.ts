// What JSON costs to parse: a text that would take very long for its length is refused unparsed. Row A12 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isFarTooDeep, parseJson } from "../../../src/relay/text/json";

const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);

describe("A12: JSON with thousands of levels", () => {
  test.each([
    ["arrays", nested(4_001)],
    ["arrays that do not end", "[".repeat(10_000)],
    ["objects", `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`],
    ["arrays and objects in turn", `${'[{"a":'.repeat(4_100)}1${"}]".repeat(4_100)}`],
    ["arrays behind a text with quotes and brackets", `["\\"]]]\\\\",${nested(5_000)}]`],
    ["arrays with other items between", `${"[1,".repeat(5_000)}1${"]".repeat(5_000)}`],
  ])("is refused without parsing it: %s", (_, text) => {
    expect(isFarTooDeep(text)).toBe(true);
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  test.each([
    ["as deep as may be", nested(4_000)],
    ["long, but flat", `[${"[],".repeat(10_000)}[]]`],
    ["a text of brackets", JSON.stringify("[".repeat(10_000))],
    ["a text of quotes and brackets", JSON.stringify('"[\\'.repeat(10_000))],
  ])("is parsed when it is %s", (_, text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test("counts for no other text: all are parsed, or fail, as by JSON.parse", () => {
    const outcome = (parse: (text: string) => unknown, text: string): unknown => {
      try {
        return parse(text);
      } catch (error) {
        return (error as Error).name;
      }
    };
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string({ unit: "binary" })), (text) => {
        expect(outcome(parseJson, text)).toEqual(outcome(JSON.parse, text));
      }),
    );
  });
});
