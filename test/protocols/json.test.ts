// The JSON protocol on the wire: envelopes, replies, and commands with positions.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { envelope, json, subscribedBody } from "../../src/protocols/json";
import type { TopicsCommand } from "../../src/relay/contracts/commands";
import { Refusal } from "../../src/relay/contracts/errors";
import { checkTopic } from "../../src/relay/text/checks";
import { rawMember } from "../../src/relay/text/json";

const aText = fc.string({ unit: "binary", maxLength: 200 });
const aTopic = fc
  .oneof(aText, fc.constantFrom("__proto__", "a.b", '"', "\\", "\u2028", "constructor"))
  .filter((topic) => checkTopic(topic) === undefined);
const aPosition = fc.record(
  {
    offset: fc.maxSafeNat(),
    epoch: fc.string({ unit: fc.constantFrom(..."abcxyz"), minLength: 1, maxLength: 8 }),
  },
  { noNullPrototype: true },
);

describe("a publication", () => {
  test("is an envelope of its topic, its data and, where there is one, its position", () => {
    const position = { offset: 7, epoch: "abcdefgh" };
    expect(envelope({ topic: "a", data: "hi", ...position })).toBe(
      '{"topic":"a","data":"hi","offset":7,"epoch":"abcdefgh"}',
    );
    expect(envelope({ topic: "a", data: "hi" })).toBe('{"topic":"a","data":"hi"}');
    expect(envelope({ topic: "a", data: '{"x": 1.0}', json: true, ...position })).toBe(
      '{"topic":"a","data":{"x": 1.0},"offset":7,"epoch":"abcdefgh"}',
    );
  });

  test("has the name of its event, if it has one", () => {
    const named = { topic: "a", data: "hi", event: 'order "x"', offset: 7, epoch: "abcdefgh" };
    expect(envelope(named)).toBe(
      '{"topic":"a","event":"order \\"x\\"","data":"hi","offset":7,"epoch":"abcdefgh"}',
    );
  });

  test("does not reveal whom it is for", () => {
    const frame = envelope({ topic: "a", data: "hi", user: "7", except: "someone" });
    expect(frame).toBe('{"topic":"a","data":"hi"}');
  });

  test("is read back as it was, whatever its topic and text are", () => {
    const property = fc.property(aTopic, aText, fc.option(aPosition), (topic, data, position) => {
      expect(JSON.parse(envelope({ topic, data, ...position }))).toEqual({
        topic,
        data,
        ...position,
      });
    });
    fc.assert(property, { numRuns: 1_000 });
  });

  test("of JSON data keeps the bytes that came in", () => {
    const indent = fc.constantFrom("", " ", "\t");
    const property = fc.property(aTopic, fc.jsonValue(), indent, (topic, value, space) => {
      const data = JSON.stringify(value, undefined, space);
      const frame = envelope({ topic, data, json: true, offset: 1, epoch: "e" });
      expect(rawMember(frame, "data")).toBe(data);
      expect(JSON.parse(frame)).toEqual({ topic, data: JSON.parse(data), offset: 1, epoch: "e" });
    });
    fc.assert(property, { numRuns: 1_000 });
  });

  test.each(["1.0", "-0", "1e400", "12345678901234567890", '"\\u0041\\/"', '{"a":1,"a":2}', "[ ]"])(
    "of the JSON %s has exactly these bytes",
    (data) => {
      expect(envelope({ topic: "a", data, json: true })).toBe(`{"topic":"a","data":${data}}`);
    },
  );
});

describe("the reply to a command", () => {
  const at = { epoch: "abcdefgh", offset: 5 };
  const top = { epoch: "abcdefgh", offset: 9 };

  test("has the top of a recovered topic, otherwise the position from which the client continues", () => {
    expect(subscribedBody([{ topic: "a", top, at, recovered: true }])).toBe(
      '{"topics":{"a":{"offset":9,"epoch":"abcdefgh","recovered":true}}}',
    );
    expect(subscribedBody([{ topic: "a", top, at: top, recovered: false }])).toBe(
      '{"topics":{"a":{"offset":9,"epoch":"abcdefgh","recovered":false}}}',
    );
    expect(subscribedBody([{ topic: "a", top, at }])).toBe(
      '{"topics":{"a":{"offset":5,"epoch":"abcdefgh"}}}',
    );
  });

  test("has no position if the topic keeps no history, and is empty for no topics", () => {
    const none = { top: undefined, at: undefined };
    expect(subscribedBody([{ topic: "a", ...none }])).toBe('{"topics":{"a":{}}}');
    expect(subscribedBody([{ topic: "a", ...none, recovered: false }])).toBe(
      '{"topics":{"a":{"recovered":false}}}',
    );
    expect(subscribedBody([])).toBe('{"topics":{}}');
  });

  test("names every topic once, whatever it is called", () => {
    const topics = fc.uniqueArray(aTopic, { maxLength: 8 });
    const property = fc.property(topics, aPosition, (names, position) => {
      const body = subscribedBody(names.map((topic) => ({ topic, top: position, at: position })));
      const entries = Object.entries(JSON.parse(body).topics);
      expect(new Map(entries)).toEqual(new Map(names.map((name) => [name, position])));
    });
    fc.assert(property, { numRuns: 500 });
  });
});

describe("a command", () => {
  const decode = (frame: unknown) => json.decode(JSON.stringify(frame)) as TopicsCommand;

  test("has topics, and positions if the client gives any", () => {
    expect(decode({ topics: ["a", "b"] })).toEqual({
      kind: "topics",
      topics: ["a", "b"],
      since: new Map(),
    });
    const a = { offset: 5, epoch: "abcdefgh" };
    expect(decode({ topics: ["a"], since: { a } }).since).toEqual(new Map([["a", a]]));
    expect(decode({ topics: [], since: {} }).since).toEqual(new Map());
  });

  test("is read back as it was, whatever its topics are called", () => {
    const given = fc.uniqueArray(fc.tuple(aTopic, aPosition), { selector: ([name]) => name });
    const property = fc.property(given, (positions) => {
      const topics = positions.map(([name]) => name);
      const members = positions.map(
        ([name, at]) => `${JSON.stringify(name)}:${JSON.stringify(at)}`,
      );
      const frame = `{"since":{${members.join()}},"topics":${JSON.stringify(topics)}}`;
      const command = json.decode(frame) as TopicsCommand;
      expect(command.topics).toEqual(topics);
      expect(command.since).toEqual(new Map(positions));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test("may give positions exactly as they stood in an envelope or a reply", () => {
    const { topic, offset, epoch } = JSON.parse(
      envelope({ topic: "a", data: "hi", offset: 7, epoch: "abcdefgh" }),
    );
    const since = { [topic]: { offset, epoch } };
    expect(decode({ topics: ["a"], since }).since.get("a")).toEqual({
      offset: 7,
      epoch: "abcdefgh",
    });
  });

  test.each([
    ["", "malformed_json"],
    ['{"topics":["a"]', "malformed_json"],
    ["[]", "invalid_frame"],
    ["{} ", "invalid_frame"],
    ['{"since":{}}', "invalid_frame"],
    ['{"topics":["a"],"since":[]}', "invalid_frame"],
    ['{"topics":["a"],"since":null}', "invalid_frame"],
    ['{"topics":["a"],"since":{"a":7}}', "invalid_frame"],
    ['{"topics":["a"],"since":{"a":{"offset":1}}}', "invalid_frame"],
    ['{"topics":["a"],"since":{"a":{"offset":-1,"epoch":"e"}}}', "invalid_frame"],
    ['{"topics":["a"],"since":{"a":{"offset":1.5,"epoch":"e"}}}', "invalid_frame"],
    ['{"topics":["a"],"since":{"__proto__":{"offset":"1","epoch":"e"}}}', "invalid_frame"],
    ['{"topics":["a"],"since":{"a":{"offset":1,"epoch":"e","recovered":true}}}', "invalid_frame"],
    ['{"topics":["a"],"more":1}', "invalid_frame"],
  ])("that is invalid, %j, is refused as %s with what to send instead", (frame, code) => {
    const refusal = json.decode(frame) as Refusal;
    expect(refusal).toBeInstanceOf(Refusal);
    expect(refusal.code as string).toBe(code);
    expect(refusal.message).toContain('"since"');
  });

  test("may be a ping, an empty object, which is answered by the same", () => {
    for (const protocol of [json, ...(json.sizes ?? [])]) {
      expect([protocol.decode("{}"), protocol.pong]).toEqual([{ kind: "ping" }, "{}"]);
    }
  });

  test("in a binary frame is refused", () => {
    expect((json.decode(new Uint8Array([123, 125])) as Refusal).code).toBe("invalid_frame");
  });
});

test("a byte order mark in front of a frame is ignored, as in a body", () => {
  expect(json.decode('\ufeff{"topics":["a"]}')).toEqual(json.decode('{"topics":["a"]}'));
  expect(json.decode('\ufeff\ufeff{"topics":["a"]}')).toBeInstanceOf(Refusal);
});
