// The protocol of plain texts: what its frames are, and which frames of clients it refuses.
import { expect, test } from "bun:test";
import { plain } from "../../src/protocols/plain";
import { Refusal } from "../../src/relay/contracts/errors";

test("the frame of a publication is its text and nothing else", () => {
  for (const data of ["", "hi", "\u0000", "😀", '{"a": 1.0}', "123", " \n"]) {
    expect(plain.encodePublication({ topic: "a", data })).toBe(data);
  }
});

test('{"topics": [...]} is decoded as the command to choose these topics', () => {
  const since = new Map();
  const command = plain.decode('{"topics":["a","b"]}');
  expect(command).toEqual({ kind: "topics", topics: ["a", "b"], since });
  expect(plain.decode(' {"topics" : [] } ')).toEqual({ kind: "topics", topics: [], since });
});

test.each([
  ["", "malformed_json"],
  ["hello", "malformed_json"],
  ['{"topics":["a"]', "malformed_json"],
  ["123", "invalid_frame"],
  ["true", "invalid_frame"],
  ["null", "invalid_frame"],
  ["[]", "invalid_frame"],
  ["{}", "invalid_frame"],
  ['"topics"', "invalid_frame"],
  ['{"topics":"a"}', "invalid_frame"],
  ['{"topics":[1]}', "invalid_frame"],
  ['{"topics":null}', "invalid_frame"],
  ['{"topics":{"0":"a","length":1}}', "invalid_frame"],
  ['{"topics":["a"],"more":1}', "invalid_frame"],
  ['{"__proto__":{"topics":["a"]}}', "invalid_frame"],
])("the frame %p is refused as %s", (frame, code) => {
  const refusal = plain.decode(frame);
  expect(refusal).toBeInstanceOf(Refusal);
  expect((refusal as Refusal).code).toBe(code as "invalid_frame");
});

test("a binary frame is refused with what to send instead", () => {
  const refusal = plain.decode(new Uint8Array([1, 2])) as Refusal;
  expect(refusal.code).toBe("invalid_frame");
  expect(refusal.message).toContain('{"topics":["tech","news"]}');
});
