// Which texts checkTopic(), toUser(), checkIdempotencyKey(), checkMessage() and fitsBytes() accept.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Refusal } from "../../../src/relay/contracts/errors";
import {
  checkIdempotencyKey,
  checkMessage,
  checkTopic,
  fitsBytes,
  toUser,
} from "../../../src/relay/text/checks";

const code = (value: unknown): unknown => (value instanceof Refusal ? value.code : value);

describe("checkTopic()", () => {
  test("accepts any text of 1 to 255 bytes", () => {
    for (const name of ["a", "news:eu", "日本", "😀", " ", "__proto__", "a".repeat(255)]) {
      expect(checkTopic(name)).toBeUndefined();
    }
  });

  test("measures a name in bytes of UTF-8, not in characters", () => {
    expect(checkTopic("é".repeat(127))).toBeUndefined();
    expect(code(checkTopic("é".repeat(128)))).toBe("invalid_topic");
    expect(checkTopic("😀".repeat(63))).toBeUndefined();
    expect(code(checkTopic("😀".repeat(64)))).toBe("invalid_topic");
  });

  test.each([
    ["an empty name", ""],
    ["a name of 256 bytes", "a".repeat(256)],
    ["a name of 10 KB", "a".repeat(10_240)],
    ["a name with NUL", "a\u0000b"],
    ["a name with a line break", "a\nb"],
    ["a name with DEL", "a\u007f"],
    ["a name with a C1 control", "a\u009bm"],
    ["a name with a lone high surrogate", "\ud800"],
    ["a name with a lone low surrogate", "a\udfff"],
  ])("refuses %s", (_, name) => {
    expect(code(checkTopic(name))).toBe("invalid_topic");
  });
});

describe("toUser()", () => {
  test("gives a number and its decimal text the same user", () => {
    expect(toUser(1)).toBe(toUser("1"));
    expect(toUser(0)).toBe("0");
    expect(toUser(-0)).toBe("0");
    expect(toUser(Number.MAX_SAFE_INTEGER)).toBe("9007199254740991");
  });

  test("keeps a text as it is", () => {
    for (const user of ["01", "1.0", " 1", "__proto__", "constructor", "Ä", "Ä"]) {
      expect(toUser(user)).toBe(user);
    }
  });

  test("accepts 128 characters, even of two UTF-16 units each", () => {
    expect(toUser("😀".repeat(128))).toBe("😀".repeat(128));
    expect(code(toUser("😀".repeat(129)))).toBe("invalid_user");
    expect(code(toUser("a".repeat(129)))).toBe("invalid_user");
  });

  test.each([[2 ** 53], [-1], [1.5], [Number.NaN], [Number.POSITIVE_INFINITY], [""], ["\ud800"]])(
    "refuses %p",
    (value) => {
      expect(code(toUser(value))).toBe("invalid_user");
    },
  );
});

describe("one rule for the characters of topics, users and idempotency keys", () => {
  const CHECKS = [checkTopic, toUser, checkIdempotencyKey];

  test("no control character is allowed anywhere in them", () => {
    const controls = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i)];
    for (const control of controls) {
      const character = String.fromCharCode(control);
      for (const text of [character, `a${character}`, `${character}a`, `a${character}b`]) {
        for (const check of CHECKS) expect(check(text)).toBeInstanceOf(Refusal);
      }
    }
  });

  test("every other character is allowed, blanks too, but no lone surrogate and not nothing", () => {
    for (const text of [" ", "\u00a0", "~", "é", "\u2028", "\u202e", "😀", "a b"]) {
      for (const check of CHECKS) expect(check(text)).not.toBeInstanceOf(Refusal);
    }
    for (const text of ["", "\ud800", "a\udfff"]) {
      for (const check of CHECKS) expect(check(text)).toBeInstanceOf(Refusal);
    }
  });
});

describe("checkMessage()", () => {
  test("accepts an empty message and any well-formed Unicode", () => {
    expect(checkMessage("", 10)).toBeUndefined();
    expect(checkMessage("\u0000\n😀", 10)).toBeUndefined();
  });

  test("refuses a message that is too long or has a lone surrogate", () => {
    expect(checkMessage("a".repeat(10), 10)).toBeUndefined();
    expect(code(checkMessage("a".repeat(11), 10))).toBe("message_too_large");
    expect(code(checkMessage("é".repeat(6), 10))).toBe("message_too_large");
    expect(code(checkMessage("\udc00", 10))).toBe("invalid_message");
  });
});

test("fitsBytes() agrees with the encoder for every text and bound", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(2_000), (text, max) => {
      expect(fitsBytes(text, max)).toBe(new TextEncoder().encode(text).length <= max);
    }),
  );
});
