// What every protocol must do: this suite runs for each row of src/protocols/index.ts.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PROTOCOLS } from "../../src/protocols";
import type { TopicsCommand } from "../../src/relay/contracts/commands";
import { Refusal } from "../../src/relay/contracts/errors";
import { SIZED_POSITIONS_BYTES_MAX, type SizedProtocol } from "../../src/relay/contracts/protocol";
import type { Frame } from "../../src/relay/contracts/transport";
import { checkTopic } from "../../src/relay/text/checks";
import { decodeReplies } from "../support/centrifuge/protobuf";

/** The object of a frame; one in bytes is read by another implementation than the relay's own. */
function objectOf(frame: Frame) {
  if (typeof frame !== "string") return decodeReplies(frame)[0];
  return JSON.parse(frame.replace(/^data: /, ""));
}

/** The objects of a frame that has several. */
function objectsOf(frame: Frame) {
  if (typeof frame !== "string") return decodeReplies(frame);
  return frame.split("\n").map((line) => JSON.parse(line));
}

test("the protocols have different names without a colon", () => {
  const names = PROTOCOLS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9-]+$/);
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
          if (protocol.kind === "session") expect(decoded).toBeArray();
          else expect(["topics", "ping"]).toContain((decoded as TopicsCommand).kind);
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
          expect(frame).toEqual(protocol.encodePublication({ ...publication, user: "1" }));
        }),
      );
    });

    if (protocol.join !== undefined) {
      const { join } = protocol;
      test("joins frames to one that has them all, in their order", () => {
        fc.assert(
          fc.property(fc.array(fc.string({ unit: "grapheme" }), { minLength: 2 }), (texts) => {
            const frames = texts.map((data) => protocol.encodePublication({ topic: "a", data }));
            const all = objectsOf(join(frames)).map(({ push }) => push.pub.data);
            expect(all).toEqual(texts);
          }),
        );
      });
    }

    test("encodes an error with its code and sentence", () => {
      const refusal = new Refusal("invalid_topic", 'A "sentence"\nof ours.');
      const frame =
        protocol.kind === "topics"
          ? protocol.encodeError(refusal)
          : protocol.encodeReply({ kind: "refused", id: 7, refusal });
      const { id, error, data } = objectOf(frame);
      if (protocol.name === "pusher") {
        expect(data).toEqual({ code: 4301, message: 'A "sentence"\nof ours.' });
        return;
      }
      if (protocol.kind === "session") expect([id, error.code]).toEqual([7, 107]);
      else expect(error).toEqual({ code: "invalid_topic", message: 'A "sentence"\nof ours.' });
    });
  });
}

const SIZED = PROTOCOLS.filter(
  (protocol): protocol is SizedProtocol =>
    "maxBytes" in protocol && protocol.maxBytes !== undefined,
);
const aName = fc
  .string({ unit: fc.constantFrom(...'a"\\é😀 %'), minLength: 1, maxLength: 250 })
  .filter((name) => checkTopic(name) === undefined);
const POSITION = { epoch: "abcdefgh", offset: Number.MAX_SAFE_INTEGER };

for (const protocol of SIZED) {
  const { maxBytes, transport, name } = protocol;
  const added = transport === "stream" ? SIZED_POSITIONS_BYTES_MAX : 0;

  describe(`the ${name} protocol, for clients that take at most ${maxBytes} bytes,`, () => {
    test("encodes no publication to more, and leaves the data out only where it must", () => {
      const unlimited = PROTOCOLS.find((other) => other.name === name.replace(/-\d+k$/, ""));
      const aSize = fc.integer({ min: Math.floor(maxBytes / 6) - 500, max: maxBytes + 100 });
      const aText = fc.constantFrom("x", "é", "\u0001", "\n", "😀");
      const property = fc.property(aName, aSize, aText, (topic, size, text) => {
        const publication = { topic, data: text.repeat(size), ...POSITION };
        const bytes = Buffer.byteLength(protocol.encodePublication(publication));
        expect(bytes).toBeLessThanOrEqual(maxBytes - added);
        const whole = unlimited?.encodePublication(publication) ?? "";
        const isWhole = protocol.encodePublication(publication) === whole;
        // A stream needs a few bytes more for its retry line and comments.
        expect(isWhole || Buffer.byteLength(whole) > maxBytes - added - 64).toBe(true);
        expect(protocol.encodePublication(publication)).toContain(`"offset":${POSITION.offset}`);
        if (isWhole) return;
        expect(protocol.encodePublication(publication)).toContain(
          `"data":null,"too_large":${Buffer.byteLength(whole)},"offset"`,
        );
      });
      fc.assert(property, { numRuns: 20 });
    });

    test("encodes no reply to more: a command whose reply could be larger is refused", () => {
      const property = fc.property(fc.uniqueArray(aName, { maxLength: 128 }), (names) => {
        const results = names.map((topic) => {
          return { topic, top: POSITION, at: POSITION, recovered: false };
        });
        const reply = Buffer.byteLength(protocol.encodeSubscribed(results));
        const decoded = protocol.decode(JSON.stringify({ topics: names }));
        const idBytes = names.reduce((sum, one) => sum + encodeURIComponent(one).length + 32, 0);
        const isRefused =
          transport === "stream"
            ? names.length > 1 && idBytes > SIZED_POSITIONS_BYTES_MAX
            : decoded instanceof Refusal;
        if (!isRefused) expect(reply).toBeLessThanOrEqual(maxBytes);
      });
      fc.assert(property, { numRuns: 50 });
    });
  });
}

test("a client that takes 8 KiB may choose 40 topics with short names at once", () => {
  const names = Array.from({ length: 40 }, (_, i) => `a topic with the number ${i}`);
  const [smallest] = SIZED.filter(({ transport }) => transport === "socket");
  const decoded = smallest?.decode(JSON.stringify({ topics: names }));
  expect(decoded).toMatchObject({ kind: "topics", topics: names });
});
