// What every protocol must do: this suite runs for each row of src/protocols/index.ts.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PROTOCOLS } from "../../src/protocols";
import { Refusal } from "../../src/relay/contracts/errors";

test("the protocols have different names without a colon", () => {
  const names = PROTOCOLS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z-]+$/);
});

for (const protocol of PROTOCOLS) {
  describe(`the ${protocol.name} protocol`, () => {
    test("decodes any text or bytes to a command or a refusal, and never throws", () => {
      const json = fc.json({ maxDepth: 5 });
      const frame = fc.oneof(fc.string({ unit: "binary" }), json, fc.uint8Array());
      fc.assert(
        fc.property(frame, (bytes) => {
          const decoded = protocol.decode(bytes);
          if (decoded instanceof Refusal) return;
          const kinds = "kind" in decoded ? decoded.kind : decoded.map(({ kind }) => kind);
          if (protocol.session === undefined) expect(kinds).toBe("topics");
          else expect(kinds).toBeArray();
        }),
      );
    });

    test("refuses what is nested deeper than any command", () => {
      const deep = ['{"topics":'.repeat(5_000), "[]", "}".repeat(5_000)].join("");
      for (const frame of [deep, "[".repeat(60_000)]) {
        const decoded = protocol.decode(frame);
        if (protocol.session === undefined) expect(decoded).toBeInstanceOf(Refusal);
        else expect(decoded).toEqual([{ kind: "violation" }]);
      }
    });

    test("encodes the same publication to the same frame for everybody", () => {
      fc.assert(
        fc.property(fc.string({ unit: "grapheme" }), (data) => {
          const publication = { topic: "a", data };
          const frame = protocol.encodePublication(publication);
          expect(frame).toBe(protocol.encodePublication({ ...publication, user: "1" }));
        }),
      );
    });

    test("encodes an error with its code and sentence", () => {
      const frame = protocol.encodeError(new Refusal("invalid_frame", 'A "sentence"\nof ours.'));
      expect(JSON.parse(frame.replace(/^data: /, ""))).toEqual({
        error: { code: "invalid_frame", message: 'A "sentence"\nof ours.' },
      });
    });
  });
}
