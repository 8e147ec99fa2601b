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
    test("decodes any text or bytes to commands or a refusal, and never throws", () => {
      const json = fc.json({ maxDepth: 5 });
      const frame = fc.oneof(fc.string({ unit: "binary" }), json, fc.uint8Array());
      fc.assert(
        fc.property(frame, (bytes) => {
          const decoded = protocol.decode(bytes);
          if (decoded instanceof Refusal) return;
          if (protocol.kind === "topics") expect(decoded).toMatchObject({ kind: "topics" });
          else expect(decoded).toBeArray();
        }),
      );
    });

    test("refuses what is nested deeper than any command", () => {
      const deep = ['{"topics":'.repeat(5_000), "[]", "}".repeat(5_000)].join("");
      for (const frame of [deep, "[".repeat(60_000)]) {
        const decoded = protocol.decode(frame);
        if (protocol.kind === "topics") expect(decoded).toBeInstanceOf(Refusal);
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
      const refusal = new Refusal("invalid_topic", 'A "sentence"\nof ours.');
      const frame =
        protocol.kind === "topics"
          ? protocol.encodeError(refusal)
          : protocol.encodeReply({ kind: "refused", id: 7, refusal });
      const { id, error } = JSON.parse(frame.replace(/^data: /, ""));
      if (protocol.kind === "session") expect([id, error.code]).toEqual([7, 107]);
      else expect(error).toEqual({ code: "invalid_topic", message: 'A "sentence"\nof ours.' });
    });
  });
}
