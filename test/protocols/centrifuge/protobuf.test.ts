// The two forms of the Centrifuge protocol say the same. The binary one is read and written by an implementation that is not
// ours, and has the bytes that were seen between SDKs and the reference server.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { centrifuge, centrifugeStream } from "../../../src/protocols/centrifuge/json";
import {
  centrifugeProtobuf,
  centrifugeProtobufStream,
} from "../../../src/protocols/centrifuge/protobuf";
import type { Push, Reply, SessionCommand } from "../../../src/relay/contracts/commands";
import { ERRORS, type ErrorCode, Refusal } from "../../../src/relay/contracts/errors";
import type { Frame } from "../../../src/relay/contracts/transport";
import { decodeReplies, encodeCommands } from "../../support/centrifuge/protobuf";

const hex = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A message behind its length, in hex. */
const framed = (body: string): string => {
  const length = hex(body).length.toString(16).padStart(2, "0");
  return `${length} ${body}`;
};

const aText = fc.string({ unit: "grapheme", maxLength: 200 });
const aName = fc.oneof(aText, fc.constantFrom("data", "subs", "tags", "toString", "\ufeff"));
const someJson = fc.oneof(fc.json(), fc.constantFrom("1.0", '{"a": 1}', "null", '"x"', "[\n1]"));
const anOffset = fc.oneof(fc.nat(), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const maybe = <Value>(some: fc.Arbitrary<Value>) => fc.option(some, { nil: undefined });

const someInfo = fc.record({
  client: fc.uuid(),
  user: aText,
  connectionInfo: maybe(someJson),
  topicInfo: maybe(someJson),
});
const aPublication = fc
  .record({
    topic: aName,
    payload: fc.oneof(
      someJson.map((data) => ({ data, json: true })),
      aText.map((data) => ({ data })),
      fc.nat(30_000).map((length) => ({ data: "é".repeat(length) })),
    ),
    offset: maybe(anOffset),
    info: maybe(someInfo),
    tags: maybe(fc.dictionary(aName, aText)),
  })
  .map(({ topic, payload, offset, info, tags }) => ({
    topic,
    ...payload,
    info,
    ...(offset !== undefined && { offset, epoch: "abcdefgh" }),
    ...(tags !== undefined && { tags: JSON.stringify(tags) }),
  }));
const aPosition = fc.record({ epoch: fc.constant("abcdefgh"), offset: anOffset });
const aTtl = maybe(
  fc.oneof(fc.float({ min: 0, max: 100_000, noNaN: true }), fc.constantFrom(2 ** 31, 1e15, 1e300)),
);
const aSubscription = fc.record({
  topic: aName,
  top: maybe(aPosition),
  at: maybe(aPosition),
  ttl: aTtl,
  data: maybe(someJson),
});
const aSubscribed = aSubscription.chain((subscription) =>
  fc.record({
    ...Object.fromEntries(Object.entries(subscription).map(([k, v]) => [k, fc.constant(v)])),
    recovered: maybe(fc.boolean()),
    missed: maybe(fc.array(aPublication, { maxLength: 5 })),
  }),
) as unknown as typeof aSubscription;
const id = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const aCount = fc.nat();

const aReply = fc.oneof(
  fc.record({
    kind: fc.constant("connected"),
    id,
    client: fc.uuid(),
    version: aText,
    ttl: aTtl,
    topics: fc.uniqueArray(aSubscribed, { maxLength: 5, selector: ({ topic }) => topic }),
    pingMs: fc.integer({ min: 1, max: 100_000 }),
    session: maybe(fc.uuid()),
    node: maybe(fc.uuid()),
  }),
  fc.record({ kind: fc.constant("subscribed"), id, subscribed: aSubscribed }),
  fc.record({ kind: fc.constant("done"), id, of: fc.constantFrom("unsubscribe", "publish") }),
  fc.record({ kind: fc.constant("presence"), id, clients: fc.array(someInfo, { maxLength: 5 }) }),
  fc.record({ kind: fc.constant("presenceCounts"), id, clients: aCount, users: aCount }),
  fc.record({
    kind: fc.constant("history"),
    id,
    page: fc.record({
      top: maybe(aPosition),
      publications: fc.array(aPublication, { maxLength: 5 }),
    }),
  }),
  fc.record({ kind: fc.constant("refreshed"), id, ttl: aTtl, client: fc.uuid() }),
  fc.record({ kind: fc.constant("refreshedTopic"), id, ttl: aTtl }),
  fc
    .constantFrom(...(Object.keys(ERRORS) as ErrorCode[]))
    .chain((code) =>
      fc.record({ kind: fc.constant("refused"), id, refusal: fc.constant(new Refusal(code, "")) }),
    ),
) as fc.Arbitrary<Reply>;

const aPush = fc.oneof(
  fc.record({ kind: fc.constantFrom("join", "leave"), topic: aName, info: someInfo }),
  fc.record({
    kind: fc.constant("subscribed"),
    // In the binary form this push has no place for the rest.
    subscribed: aSubscription.map((subscription) => ({ ...subscription, ttl: undefined })),
  }),
  fc.record({ kind: fc.constant("unsubscribed"), topic: aName, code: aCount, reason: aText }),
) as fc.Arbitrary<Push>;

/** What a message says: what is empty, 0 or false says the same as what is not there, but for the reply's own part. */
function meaningOf(message: object, depth = 0): object {
  const members = Object.entries(message).flatMap(([name, value]): [string, unknown][] => {
    if (name === "subs")
      return [
        [name, Object.entries<object>(value).map(([topic, sub]) => [topic, meaningOf(sub, 1)])],
      ];
    if (["data", "conn_info", "chan_info", "tags"].includes(name) && depth > 0) {
      return name === "tags" && Object.keys(value).length === 0 ? [] : [[name, value]];
    }
    if (Array.isArray(value)) {
      return value.length === 0 ? [] : [[name, value.map((item) => meaningOf(item, depth + 1))]];
    }
    if (typeof value !== "object" || value === null) return value ? [[name, value]] : [];
    const inner = meaningOf(value, depth + 1);
    return depth > 0 && Object.keys(inner).length === 0 ? [] : [[name, inner]];
  });
  return Object.fromEntries(members);
}

function expectSame(text: Frame | undefined, binary: Frame | undefined): void {
  const [reply, ...more] = decodeReplies(binary as Uint8Array);
  expect(more).toEqual([]);
  expect(meaningOf(reply)).toEqual(meaningOf(JSON.parse(text as string)));
}

describe("the binary form of", () => {
  test("any publication says what the JSON form says", () => {
    const property = fc.property(aPublication, (publication) =>
      expectSame(
        centrifuge.encodePublication(publication),
        centrifugeProtobuf.encodePublication(publication),
      ),
    );
    fc.assert(property);
  });

  test("any reply says what the JSON form says", () => {
    const property = fc.property(aReply, (reply) =>
      expectSame(centrifuge.encodeReply(reply), centrifugeProtobuf.encodeReply(reply)),
    );
    fc.assert(property, { numRuns: 500 });
  });

  test("any push says what the JSON form says", () => {
    const property = fc.property(aPush, (push) =>
      expectSame(centrifuge.encodePush(push), centrifugeProtobuf.encodePush(push)),
    );
    fc.assert(property);
  });

  test("a disconnect says what the JSON form says, and is left to the close frame of a socket", () => {
    const property = fc.property(aCount, aText, (code, reason) =>
      expectSame(
        centrifugeStream.encodeDisconnect(code, reason),
        centrifugeProtobufStream.encodeDisconnect(code, reason),
      ),
    );
    fc.assert(property);
    expect(centrifugeProtobuf.encodeDisconnect(3500, "no")).toBeUndefined();
  });

  test("JSON data and info has the bytes that came in", () => {
    const data = '{"n": 1.0,\n"big": 12345678901234567890}';
    const frame = centrifugeProtobuf.encodePublication({
      topic: "a",
      data,
      json: true,
      info: { client: "c", user: "u", connectionInfo: data },
    });
    expect(
      Buffer.from(frame as Uint8Array)
        .toString("latin1")
        .split(data),
    ).toHaveLength(3);
  });
});

const aSubscribeBody = {
  token: aText,
  recover: fc.boolean(),
  offset: anOffset,
  epoch: aText,
  flag: fc.nat(15),
};
const optional = (record: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record(record, { requiredKeys: [] });
const aBody: Record<string, fc.Arbitrary<object>> = {
  connect: optional({
    token: aText,
    name: aText,
    version: aText,
    headers: fc.dictionary(aText, aText),
    subs: fc.dictionary(aName, optional(aSubscribeBody)),
  }),
  subscribe: optional({
    channel: aName,
    ...aSubscribeBody,
    type: fc.nat(3),
    tf: fc.constant({ key: "a" }),
    positioned: fc.boolean(),
    join_leave: fc.boolean(),
    delta: aText,
  }),
  unsubscribe: optional({ channel: aName }),
  publish: fc.record({ channel: aName, data: fc.jsonValue() }),
  presence: optional({ channel: aName }),
  presence_stats: optional({ channel: aName }),
  history: optional({
    channel: aName,
    limit: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    since: optional({ offset: anOffset, epoch: aText }),
    reverse: fc.boolean(),
  }),
  rpc: fc.record({ method: aText, data: fc.jsonValue() }),
  send: fc.record({ data: fc.jsonValue() }),
  refresh: optional({ token: aText }),
  sub_refresh: optional({ channel: aName, token: aText }),
};
const aCommand = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(...Object.keys(aBody)))
  .chain(([id, method]) =>
    (aBody[method] as fc.Arbitrary<object>).map((body) => ({ id, [method]: body })),
  );

describe("commands in the binary form", () => {
  test("are decoded to what the same commands in JSON are", () => {
    const property = fc.property(fc.array(aCommand, { minLength: 1, maxLength: 5 }), (commands) => {
      const lines = commands.map((command) => JSON.stringify(command)).join("\n");
      const binary = centrifugeProtobuf.decode(encodeCommands(commands));
      expect(binary).toEqual(centrifuge.decode(lines));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test("may be damaged in any way: what comes before the damage is read, and nothing throws", () => {
    const property = fc.property(
      fc.array(aCommand, { minLength: 1, maxLength: 3 }),
      fc.nat(),
      fc.uint8Array({ maxLength: 12 }),
      (commands, at, bytes) => {
        const frame = encodeCommands(commands);
        const damaged = Uint8Array.from(frame);
        const start = at % frame.length;
        damaged.set(bytes.subarray(0, frame.length - start), start);
        for (const one of [damaged, frame.subarray(0, start)]) {
          const kinds = centrifugeProtobuf.decode(one).map(({ kind }) => kind);
          expect(kinds.length).toBeGreaterThan(0);
          expect([-1, kinds.length - 1]).toContain(kinds.indexOf("violation"));
        }
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test.each([
    ["an empty frame", ""],
    ["a length beyond the frame", "05 0801"],
    ["a length that does not end", "ff ff ff ff ff ff ff ff ff ff ff 01"],
    ["the field 0", framed("0001 0801")],
    ["a group", framed("2b 2c")],
    ["a group that is not known", framed("9b06")],
    ["an id that is a text", framed("0a0131 2200")],
    ["a method that is a number", framed("0801 2001")],
    ["a command without an id", framed("2200")],
    ["the id 0", framed("0800 2200")],
    ["an id without a method", framed("0801")],
    ["a method that is not known", framed("0801 5a00")],
    ["a message that is longer than the one around it", framed("0801 2a05 0a0161")],
    ["a name that is not UTF-8", framed("0801 2a04 0a02c328")],
    ["an offset beyond 2^53", framed("0801 2a0e 0a0161 38 ffffffffffffffffff01")],
    ["four bytes where eight are announced", framed("0801 2200 f901 00000000")],
  ])("%s is a violation", (_, frame) => {
    expect(centrifugeProtobuf.decode(hex(frame)).at(-1)).toEqual({ kind: "violation" });
  });

  test("a frame of text is a violation, and so are more than 1,024 commands", () => {
    const violation = [{ kind: "violation" }] as const;
    expect(centrifugeProtobuf.decode('{"id":1,"connect":{}}')).toEqual(violation);
    expect(centrifugeProtobuf.decode(new Uint8Array(1_025))).toEqual(violation);
    expect(centrifugeProtobuf.decode(new Uint8Array(1_024))).toHaveLength(1_024);
  });

  test("fields that are not known are skipped, however they are written", () => {
    const unknown = "f801 9601 f901 0000000000000000 fa01 03616263 fd01 00000000";
    const frame = hex(framed(`0801 ${unknown} 3205 0a0161 7801`));
    expect(centrifugeProtobuf.decode(frame)).toEqual([{ kind: "unsubscribe", id: 1, topic: "a" }]);
  });

  test("of a field that stands there twice the last counts, and a message that does is one", () => {
    const frame = hex(framed("0801 0802 2a06 0a0161 120178 2a05 0a0162 1801"));
    const since = { offset: 0, epoch: "" };
    expect(centrifugeProtobuf.decode(frame)).toMatchObject([
      { kind: "subscribe", id: 2, topic: "b", token: "x", resumption: { since } },
    ]);
  });

  test.each(["__proto__", "constructor", ""])("the topics of connect may be named %j", (name) => {
    const key = Buffer.from(name).toString("hex");
    const size = (bytes: string) => (bytes.length / 2).toString(16).padStart(2, "0");
    const entry = `0a${size(key)}${key}12041801${"3805"}`;
    const body = `1a${size(entry)}${entry}`;
    const [command] = centrifugeProtobuf.decode(hex(framed(`0801 22${size(body)}${body}`)));
    const since = { offset: 5, epoch: "" };
    expect(command).toMatchObject({ topics: new Map([[name, { since, orNothing: false }]]) });
  });
});

describe("data that a client publishes in the binary form", () => {
  const publish = (data: Uint8Array): SessionCommand | undefined =>
    centrifugeProtobuf.decode(encodeCommands([{ id: 7, publish: { channel: "a", data } }]))[0];

  test("is JSON, of which the space around it does not count", () => {
    for (const data of ["1.0", '{"a": "é\\u0041"}', '"text"', "null"]) {
      expect(publish(utf8(data))).toEqual({ kind: "publish", id: 7, topic: "a", data });
      expect(publish(utf8(` \r\n\t${data}\n`))).toMatchObject({ data });
    }
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["bytes that are not UTF-8", hex("22c32822")],
    ["text that is not JSON", utf8("hello")],
    ["JSON behind a byte order mark", utf8("\ufeff1")],
    ["JSON between other spaces", utf8("\u00a01\u00a0")],
    ["two values", utf8("1 2")],
    ["arrays that are nested more deeply than a parser goes", utf8("[".repeat(60_000))],
  ])("is refused with a sentence when it is %s", (_, data) => {
    const command = publish(data);
    expect(command).toMatchObject({ kind: "refused", id: 7 });
    const { refusal } = command as Extract<SessionCommand, { kind: "refused" }>;
    const frame = centrifugeProtobuf.encodeReply({ kind: "refused", id: 7, refusal });
    const error = { code: 107, message: "bad request: data must be JSON in UTF-8" };
    expect(decodeReplies(frame as Uint8Array)).toEqual([{ id: 7, error }]);
  });
});

describe("the bytes between SDKs and the reference server are", () => {
  test("a connect and a subscribe of the JavaScript SDK in one frame", () => {
    const frame = hex("08 0801 2204 2202 6a73 0c 0802 2a08 0a04 6e657773 7001");
    expect(centrifugeProtobuf.decode(frame)).toEqual([
      { kind: "connect", id: 1, token: "", topics: new Map(), introduction: { name: "js" } },
      {
        kind: "subscribe",
        id: 2,
        topic: "news",
        token: "",
        resumption: { since: undefined, orNothing: false },
        form: "plain",
      },
    ]);
  });

  test("a history of everything, whose limit is -1, and a pong", () => {
    const frame = hex("15 0803 5211 0a04 6e657773 38 ffffffffffffffffff01 00");
    expect(centrifugeProtobuf.decode(frame)).toMatchObject([
      { kind: "history", id: 3, topic: "news", limit: -1 },
      { kind: "pong" },
    ]);
  });

  test("a ping, a publication, an empty result and a disconnect", () => {
    const news = { topic: "news", data: '{"n":1}', json: true, offset: 14, epoch: "abcdefgh" };
    const reply: Reply = { kind: "done", id: 3, of: "publish" };
    const reason = [3506, "inappropriate protocol"] as const;
    const frames: [Frame | undefined, string][] = [
      [centrifugeProtobuf.ping, "00"],
      [
        centrifugeProtobuf.encodePublication(news),
        "15 2213 12046e657773 220b 2207 7b226e223a317d 300e",
      ],
      [centrifugeProtobuf.encodeReply(reply), "04 0803 4200"],
      [
        centrifugeProtobufStream.encodeDisconnect(...reason),
        "1f 221d 5a1b 08b21b 1216 696e617070726f7072696174652070726f746f636f6c",
      ],
    ];
    for (const [frame, bytes] of frames) expect(frame).toEqual(hex(bytes));
  });
});
