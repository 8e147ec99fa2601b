// What records become: by the common shape, by Centrifugo's, and by mappings.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Refusal } from "../../src/relay/contracts/errors";
import type { InboundRecord } from "../../src/sources/contract";
import { mappingProblem, RecordShape } from "../../src/sources/shapes/record-shape";

type Setup = ConstructorParameters<typeof RecordShape>[0];

function commandsOf(record: Partial<InboundRecord>, setup: Partial<Setup> = {}) {
  const mapping = new RecordShape({
    texts: undefined,
    tombstones: "bury",
    kind: "body",
    bodyBytesMax: 1_000,
    ...setup,
  });
  const found = mapping.commandsOf({ partition: "", body: undefined, ...record });
  return found instanceof Refusal ? found.code : found;
}

const defined = (commands: ReturnType<typeof commandsOf>) => JSON.parse(JSON.stringify(commands));

describe("a record of the common shape", () => {
  test("is what POST /publish takes, and its data keeps its bytes", () => {
    const body = '{"topic":"t","data":{"a": 1.0, "big":12345678901234567890},"user_id":7}';
    expect(defined(commandsOf({ body }))).toEqual([
      { topic: "t", data: '{"a": 1.0, "big":12345678901234567890}', user_id: 7 },
    ]);
  });

  test("may be bytes, with a byte order mark", () => {
    const body = Buffer.from('\ufeff{"topic":"t","message":"ü"}');
    expect(defined(commandsOf({ body }))).toEqual([{ topic: "t", message: "ü" }]);
  });

  test("is refused with a field that is not known, since a misspelt user_id would send it to everybody", () => {
    expect(commandsOf({ body: '{"topic":"t","message":"m","userid":"7"}' })).toBe("invalid_body");
    expect(commandsOf({ body: '{"topic":"t","message":"m","user_id":null}' })).toBe("invalid_body");
  });

  test("is refused when it is no JSON, no UTF-8, no object, or too large", () => {
    expect(commandsOf({ body: '{"topic":' })).toBe("malformed_json");
    expect(commandsOf({ body: Uint8Array.of(0x22, 0xff, 0x22) })).toBe("malformed_json");
    expect(commandsOf({ body: "[]" })).toBe("invalid_body");
    expect(commandsOf({ body: "null" })).toBe("invalid_body");
    expect(commandsOf({ body: `"${"x".repeat(1_000)}"` })).toBe("message_too_large");
    expect(commandsOf({ body: undefined, size: 10_000_000 })).toBe("message_too_large");
  });

  test("without a body is refused, or skipped where the file says so", () => {
    expect(commandsOf({})).toBe("invalid_body");
    expect(commandsOf({}, { tombstones: "skip" })).toEqual([]);
  });

  test("may be a row, whose other columns and nulls do not count", () => {
    const row = '{"id":1,"topic":"t","message":null,"data":{"n":null},"user_id":null}';
    expect(defined(commandsOf({ body: row }, { kind: "row" }))).toEqual([
      { topic: "t", data: '{"n":null}' },
    ]);
  });
});

describe("a command for Centrifugo", () => {
  test("publishes, and broadcasts", () => {
    const publish = '{"method":"publish","payload":{"channel":"c","data":{"a":1.0}}}';
    expect(defined(commandsOf({ body: publish }))).toEqual([{ topic: "c", data: '{"a":1.0}' }]);
    const broadcast =
      '{"method":"broadcast","payload":{"channels":["a","b"],"data":null,"idempotency_key":"k"}}';
    expect(defined(commandsOf({ body: broadcast }))).toEqual([
      { topic: "a", data: "null", idempotency_key: "k" },
      { topic: "b", data: "null", idempotency_key: "k" },
    ]);
  });

  test("is refused with another method, without channels, and without data", () => {
    for (const body of [
      '{"method":"disconnect","payload":{}}',
      '{"method":"broadcast","payload":{"channels":[],"data":1}}',
      '{"method":"publish","payload":{"channel":"c"}}',
      '{"method":"publish","payload":null}',
    ]) {
      expect(commandsOf({ body })).toBe("invalid_body");
    }
  });
});

describe("a mapping", () => {
  const texts = { topic: "orders:{after.id}", data: "{after}", user_id: "{after.user}" };

  test("makes topics of values and attributes, and cuts data out of the body", () => {
    const body = '{"after": {"id": 12345678901234567890, "user": "u", "x": [1.0]}}';
    expect(defined(commandsOf({ body }, { texts }))).toEqual([
      {
        topic: "orders:12345678901234567890",
        user_id: "u",
        data: '{"id": 12345678901234567890, "user": "u", "x": [1.0]}',
      },
    ]);
    const plain = { topic: "{@key}.{{x}}", message: "{@body}" };
    expect(
      defined(commandsOf({ body: "not json", attributes: { key: "k" } }, { texts: plain })),
    ).toEqual([{ topic: "k.{x}", message: "not json" }]);
  });

  test("refuses a record that lacks what is named: what is for one user must not go to all", () => {
    expect(commandsOf({ body: '{"after":{"id":1}}' }, { texts })).toBe("invalid_body");
    expect(commandsOf({ body: '{"after":{"id":1,"user":null}}' }, { texts })).toBe("invalid_body");
    expect(commandsOf({ body: '{"after":[{"id":1,"user":"u"}]}' }, { texts })).toBe("invalid_body");
    const inherited = { topic: "{constructor.name}", message: "{@toString}" };
    expect(commandsOf({ body: "{}", attributes: {} }, { texts: inherited })).toBe("invalid_body");
  });

  test("that cannot be meant is refused when the file is read", () => {
    expect(mappingProblem({ topic: "{", data: "{@body}" })).toContain("topic");
    expect(mappingProblem({ topic: "{a..b}", data: "{@body}" })).toContain("{a..b}");
    expect(mappingProblem({ topic: "t", data: "x{a}" })).toContain("data");
    expect(mappingProblem({ topic: "t" })).toContain("either");
    expect(mappingProblem({ topic: "t", data: "{a}", message: "m" })).toContain("either");
    expect(mappingProblem({ topic: "t", data: "{a}" })).toBeUndefined();
  });
});

test("no body throws, whatever it is", () => {
  const texts = { topic: "{a.b}", data: "{c}" };
  fc.assert(
    fc.property(
      fc.oneof(fc.json(), fc.string(), fc.uint8Array(), fc.constant(undefined)),
      fc.constantFrom(undefined, texts),
      (body, chosen) => {
        commandsOf({ body }, { texts: chosen });
        commandsOf({ body }, { kind: "row" });
      },
    ),
  );
});
