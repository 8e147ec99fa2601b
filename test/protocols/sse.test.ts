// Server-Sent Events on the wire, read back by a parser that follows the standard to the letter.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { sse, sseJson } from "../../src/protocols/sse";
import type { SubscribeResult } from "../../src/relay/contracts/commands";
import { Refusal } from "../../src/relay/contracts/errors";
import { NO_EPOCH, type Position, type Publication } from "../../src/relay/contracts/publication";
import { checkTopic } from "../../src/relay/text/checks";
import { EventParser, parseEvents } from "../support/clients/event-parser";

const aText = fc.string({ unit: "binary", maxLength: 200 });
const aTopic = fc
  .oneof(
    fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
    fc.string({ unit: "grapheme-composite", minLength: 1, maxLength: 20 }),
    fc.string({ unit: fc.constantFrom(..." =&%:+,#?;/\\\"'é😀0"), minLength: 1, maxLength: 30 }),
  )
  .filter((topic) => checkTopic(topic) === undefined);
const aPosition: fc.Arbitrary<Position> = fc.record({
  epoch: fc.string({
    unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz"),
    minLength: 1,
    maxLength: 8,
  }),
  offset: fc.maxSafeNat(),
});
/** Text in which line ends, fields and empty lines are likely. */
const aHostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom("\n", "\r", "\r\n", "\n\n", "\n\r", " ", ":", "\0", "\ufeff", "\u2028"),
      fc.constantFrom("data: ", "data", "event: x", "id: 1", "id", "retry: 5", ": comment"),
      aText,
    ),
    { maxLength: 20 },
  )
  .map((parts) => parts.join(""));

/** Server-Sent Events cannot carry a carriage return. */
const carried = (text: string): string => text.replace(/\r\n?/g, "\n");

const since = (id: string, topics: readonly string[] = []): [string, Position][] => [
  ...(sse.decodeSince?.(id, new Set(topics)) ?? []),
];

const startOf = (...rows: SubscribeResult[]): EventParser =>
  parseEvents(sse.encodeSubscribed?.(rows) ?? "");

describe("a publication", () => {
  test("is a block of its topic, its text and its position", () => {
    const position = { offset: 7, epoch: "abcdefgh" };
    expect(sse.encodePublication({ topic: "tech", data: "hi", ...position })).toBe(
      "event: tech\ndata: hi\nid: tech=abcdefgh:7\n\n",
    );
    expect(sse.encodePublication({ topic: "tech", data: "" })).toBe("event: tech\ndata: \n\n");
    expect(sse.encodePublication({ topic: "a b", data: "x\ny", ...position })).toBe(
      "event: a b\ndata: x\ndata: y\nid: a%20b=abcdefgh:7\n\n",
    );
  });

  test("is a block of its topic, its envelope and its position with format=json", () => {
    const publication = { topic: "a", data: "x\r\ny", offset: 7, epoch: "abcdefgh" };
    expect(sseJson.encodePublication(publication)).toBe(
      'event: a\ndata: {"topic":"a","data":"x\\r\\ny","offset":7,"epoch":"abcdefgh"}\nid: a=abcdefgh:7\n\n',
    );
  });

  test("is read back as one event with its topic and text, whatever they are", () => {
    const property = fc.property(
      aTopic,
      aHostileText,
      fc.option(aPosition),
      (topic, data, position) => {
        const { events, faults, retries, comments } = parseEvents(
          sse.encodePublication({ topic, data, ...position }),
        );
        const id = events[0]?.id ?? "";
        expect(events).toEqual([{ id, event: topic, data: carried(data) }]);
        expect(since(id)).toEqual(position === null ? [] : [[topic, position]]);
        expect([faults, retries, comments]).toEqual([[], [], []]);
      },
    );
    fc.assert(property, { numRuns: 1_000 });
  });

  test("is read back from its envelope as it was, whatever it is", () => {
    const property = fc.property(
      aTopic,
      aHostileText,
      fc.option(aPosition),
      (topic, data, position) => {
        const { events, faults } = parseEvents(
          sseJson.encodePublication({ topic, data, ...position }),
        );
        expect(events).toHaveLength(1);
        expect(events[0]?.event).toBe(topic);
        expect(JSON.parse(events[0]?.data ?? "")).toEqual({ topic, data, ...position });
        expect(faults).toEqual([]);
      },
    );
    fc.assert(property, { numRuns: 1_000 });
  });

  test("of JSON data keeps the bytes that came in, except carriage returns between them", () => {
    const indent = fc.constantFrom(undefined, " ", "\t", 2);
    const property = fc.property(fc.jsonValue(), indent, aTopic, (value, space, topic) => {
      const data = JSON.stringify(value, undefined, space);
      const publication: Publication = { topic, data, json: true };
      const plain = parseEvents(sse.encodePublication(publication)).events[0]?.data ?? "";
      expect(plain).toBe(typeof value === "string" ? carried(value) : data);
      const envelope = parseEvents(sseJson.encodePublication(publication)).events[0]?.data;
      expect(envelope).toBe(`{"topic":${JSON.stringify(topic)},"data":${data}}`);
    });
    fc.assert(property, { numRuns: 500 });
    const [exact, returns] = ["[1.0,12345678901234567890]", '{"a":\r\n1}'];
    const dataOf = (data: string) =>
      parseEvents(sseJson.encodePublication({ topic: "a", data, json: true })).events[0]?.data;
    expect(dataOf(exact)).toBe(`{"topic":"a","data":${exact}}`);
    expect(JSON.parse(dataOf(returns) ?? "").data).toEqual({ a: 1 });
  });

  test("is the same event however the network cuts the stream", () => {
    const property = fc.property(
      fc.array(fc.tuple(aTopic, aHostileText), { maxLength: 5 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 12 })),
      (all, sizes) => {
        const text = all.map(([topic, data]) => sse.encodePublication({ topic, data })).join("");
        const parser = new EventParser();
        for (let at = 0; at < text.length; ) {
          const size = sizes.next().value as number;
          parser.push(text.slice(at, at + size));
          at += size;
        }
        const expected = all.map(([event, data]) => ({ id: "", event, data: carried(data) }));
        expect(parser.events).toEqual(expected);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });
});

describe("the beginning of a stream", () => {
  const at = { epoch: "abcdefgh", offset: 5 };
  const top = { epoch: "abcdefgh", offset: 9 };

  test("is only an id, which browsers take without an event", () => {
    const { events, lastEventId, faults } = startOf(
      { topic: "new", top, at: top },
      { topic: "a b", top, at, recovered: true },
      { topic: "none", top: undefined, at: undefined },
    );
    expect([events, lastEventId, faults]).toEqual([[], "new=abcdefgh:9&a%20b=abcdefgh:5", []]);
    expect(sse.encodeSubscribed?.([{ topic: "a", top, at }])).toBe("id: a=abcdefgh:5\n\n");
  });

  test("is empty if there are no positions", () => {
    for (const rows of [[], [{ topic: "none", top: undefined, at: undefined }]]) {
      const { events, lastEventId, faults } = startOf(...rows);
      expect([events, lastEventId, faults]).toEqual([[], "", []]);
    }
  });

  test("says in an event without a name that a topic is not recovered, in one block with the id", () => {
    const parser = startOf(
      { topic: "lost", top, at: top, recovered: false },
      { topic: "whole", top, at, recovered: true },
      { topic: "none", top: undefined, at: undefined, recovered: false },
    );
    const topics = {
      lost: { ...top, recovered: false },
      whole: { ...top, recovered: true },
      none: { recovered: false },
    };
    const [{ id, event, data } = { id: "", event: "none", data: "" }] = parser.events;
    expect([id, event]).toEqual(["lost=abcdefgh:9&whole=abcdefgh:5", ""]);
    expect(JSON.parse(data)).toEqual({ topics });
    expect(parser.events).toHaveLength(1);
  });

  test("has an id from which the same positions are read back, for any topics", () => {
    const rows = fc.uniqueArray(fc.tuple(aTopic, aPosition), {
      selector: ([topic]) => topic,
      minLength: 1,
      maxLength: 8,
    });
    const property = fc.property(rows, fc.boolean(), (all, isTold) => {
      const parser = startOf(
        ...all.map(([topic, position]) => ({
          topic,
          top: position,
          at: position,
          ...(isTold && { recovered: false }),
        })),
      );
      expect(parser.lastEventId).toMatch(/^[\x21-\x7e]+$/);
      expect(since(parser.lastEventId)).toEqual(all);
      expect(parser.events).toHaveLength(isTold ? 1 : 0);
    });
    fc.assert(property, { numRuns: 500 });
  });
});

describe("the positions in an id", () => {
  test("are read as they stand, and parts that are no positions are ignored", () => {
    const id = "a=abcdefgh:5&b%3D%26=x:0&garbage&c=x:1.5&%ff=x:1&=x:1&d=x:9007199254740992&a=y:6";
    expect(since(id, ["a", "z"])).toEqual([
      ["a", { epoch: "y", offset: 6 }],
      ["b=&", { epoch: "x", offset: 0 }],
    ]);
    expect(since("", ["a"])).toEqual([]);
  });

  test("mean that all topics are lost if there is none", () => {
    const lost = { epoch: NO_EPOCH, offset: 0 };
    for (const id of ["garbage", "&", "a=", "a=x", "a=:1", "%=x:1", "1"]) {
      expect([id, since(id, ["a", "b"])]).toEqual([
        id,
        [
          ["a", lost],
          ["b", lost],
        ],
      ]);
    }
  });

  test("are read from any text without a throw, as positions or as none", () => {
    const anId = fc.oneof(
      aText,
      fc.string({ unit: fc.constantFrom(..."=&:%aé09"), maxLength: 100 }),
    );
    const property = fc.property(anId, (id) => {
      for (const [, { offset, epoch }] of since(id, ["a"])) {
        expect(Number.isSafeInteger(offset) && offset >= 0).toBe(true);
        expect(typeof epoch).toBe("string");
      }
    });
    fc.assert(property, { numRuns: 2_000 });
  });

  test("are read within a moment from the longest header", () => {
    for (const id of [
      "a".repeat(16_000),
      "&".repeat(16_000),
      "=:".repeat(8_000),
      "a=x:1&".repeat(2_600),
    ]) {
      // Only the shortest run counts, not a pause of the machine.
      const times = Array.from({ length: 5 }, () => {
        const begun = performance.now();
        since(id, ["a"]);
        return performance.now() - begun;
      });
      expect(Math.min(...times)).toBeLessThan(200);
    }
  });
});

test("a stream accepts no frames from its client", () => {
  for (const frame of ['{"topics":["a"]}', "", new Uint8Array([1])]) {
    expect((sse.decode(frame) as Refusal).code).toBe("invalid_frame");
  }
});

test("an error is an event without a name", () => {
  const refusal = new Refusal("engine_unavailable", "Two\nlines.");
  const { events } = parseEvents(sse.encodeError(refusal));
  expect(events.map(({ event }) => event)).toEqual([""]);
  expect(JSON.parse(events[0]?.data ?? "").error.code).toBe("engine_unavailable");
});

// The examples of WHATWG HTML, 9.2.6, because the tests above are only as good as their parser.
describe("the parser of these tests", () => {
  const dataOf = (text: string): string[] => parseEvents(text).events.map(({ data }) => data);

  test("joins lines", () => {
    expect(dataOf("data: YHOO\ndata: +2\ndata: 10\n\n")).toEqual(["YHOO\n+2\n10"]);
  });

  test("ignores comments and a block that is cut off, and resets an id", () => {
    const parser = parseEvents(
      ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
    );
    expect(parser.events).toEqual([
      { id: "1", event: "", data: "first event" },
      { id: "", event: "", data: "second event" },
    ]);
    parser.push("\n");
    expect(parser.events.at(-1)).toEqual({ id: "", event: "", data: " third event" });
    expect(parser.comments).toEqual([" test stream"]);
  });

  test("distinguishes empty data from no data", () => {
    expect(dataOf("data\n\ndata\ndata\n\ndata:")).toEqual(["", "\n"]);
    expect(dataOf("data:test\n\ndata: test\n\n")).toEqual(["test", "test"]);
    expect(dataOf("event: a\nid: 1\n\n")).toEqual([]);
  });

  test("accepts all three line ends, also if the network cuts between two characters", () => {
    expect(dataOf("data: a\r\rdata: b\r\n\r\ndata: c\n\n")).toEqual(["a", "b", "c"]);
    const parser = new EventParser();
    for (const character of "data: a\r\ndata: b\r\n\r\ndata: c\r\r") parser.push(character);
    expect(parser.events.map(({ data }) => data)).toEqual(["a\nb", "c"]);
  });

  test("records what the standard ignores", () => {
    const { faults, retries, lastEventId } = parseEvents(
      "retry: 1x\nretry: 50\nid: a\0b\nfoo: 1\nid: 1\n\nevent: nothing\n\n",
    );
    expect(faults).toEqual(["retry: 1x", "id: a\0b", "foo: 1", "event: nothing, without data"]);
    expect([retries, lastEventId]).toEqual([[50], "1"]);
  });
});
