// Events of real streams: their names, data and ids. Row C15 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream } from "../../../support/clients/event-stream";
import {
  connectStream,
  expectNothingElse,
  leaveStream,
  registerStream,
  withTopics,
} from "../../../support/relay/stream-calls";
import { idOf, startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { topicsFile } from "../../../support/relay/topics-file";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_TOPICS_FILE: topicsFile({ "typing:": { history_size: 0 } }) });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("an event", () => {
  test("has the topic as its name, the message as its data and the position as its id", async () => {
    const stream = await connectStream(relay, ["a"]);
    const { epoch, offset } = await relay.publishMany("a", 2);
    expect(await stream.take(2)).toEqual([
      { id: `a=${epoch}:${offset - 1}`, event: "a", data: "m1" },
      { id: `a=${epoch}:${offset}`, event: "a", data: "m2" },
    ]);
    await expectNothingElse(relay, stream, "a");
  });

  test("of a stream with two topics has the positions of both in its id", async () => {
    const stream = await connectStream(relay, ["left", "right"]);
    const start = stream.lastEventId;
    const { epoch } = await relay.publishMany("left", 1);
    const at = (left: number, right: number) => `left=${epoch}:${left}&right=${epoch}:${right}`;
    expect(start).toBe(at(0, 0));
    await relay.publishMany("right", 2);
    await relay.publishMany("left", 1, 2);
    const events = await stream.take(4);
    expect(events.map(({ id, data }) => `${data} ${id}`)).toEqual([
      `m1 ${at(1, 0)}`,
      `m1 ${at(1, 1)}`,
      `m2 ${at(1, 2)}`,
      `m2 ${at(2, 2)}`,
    ]);
  });

  test("of a topic without history repeats the id of the stream so far", async () => {
    const stream = await connectStream(relay, ["typing:a", "kept"]);
    const before = stream.lastEventId;
    expect(before).toStartWith("kept=");
    await relay.publish("typing:a", "m");
    expect(await stream.next()).toEqual({ id: before, event: "typing:a", data: "m" });
    const { epoch } = await relay.publishMany("kept", 1);
    await relay.publish("typing:a", "n");
    expect((await stream.take(2)).map(({ id }) => id)).toEqual(Array(2).fill(`kept=${epoch}:1`));
    const alone = await connectStream(relay, ["typing:b"]);
    await relay.publish("typing:b", "m");
    expect(await alone.next()).toEqual({ id: "", event: "typing:b", data: "m" });
  });

  test.each([
    ["plain text", "hi", "hi"],
    ["empty text", "", ""],
    ["a line feed", "a\nb", "a\nb"],
    ["a carriage return, which becomes a line feed", "a\rb", "a\nb"],
    ["a carriage return and a line feed, which become one", "a\r\nb", "a\nb"],
    ["a line feed and a carriage return", "a\n\rb", "a\n\nb"],
    ["only a line feed", "\n", "\n"],
    ["text between line feeds", "\n\na\n\n", "\n\na\n\n"],
    ["text after spaces", "  a", "  a"],
    ["lines that begin with spaces", " a\n b\n  c ", " a\n b\n  c "],
    ["text after a colon", ": a", ": a"],
    [
      "what looks like fields",
      "id: x\nevent: y\n\ndata: z\nretry: 1",
      "id: x\nevent: y\n\ndata: z\nretry: 1",
    ],
    ["a NUL", "a\u0000b", "a\u0000b"],
    ["a byte order mark", "\ufeffa", "\ufeffa"],
    [
      "other line separators",
      "a\u2028b\u2029c\u0085d\u000be\u000cf",
      "a\u2028b\u2029c\u0085d\u000be\u000cf",
    ],
    ["all of Unicode", "é中😀\u{10ffff}", "é中😀\u{10ffff}"],
    ["64 KiB", "é".repeat(32_768), "é".repeat(32_768)],
    ["64 KiB of line feeds", "\n".repeat(65_536), "\n".repeat(65_536)],
  ])("carries %s, live and when the client resumes", async (name, message, expected) => {
    const topic = `text ${name.replaceAll(",", "")}`;
    const url = withTopics(await registerStream(relay), topic);
    const stream = await EventStream.open(url);
    const lastEventId = stream.lastEventId;
    await relay.publish(topic, message);
    expect((await stream.next()).data).toBe(expected);
    await leaveStream(relay, stream, url);
    const back = await EventStream.open(url, { lastEventId });
    expect((await back.next()).data).toBe(expected);
    await expectNothingElse(relay, back, topic);
  });

  test.each([
    ['{"x": 1.0, "big":12345678901234567890, "\\u0041":"\\u00e9"}'],
    ["[1.50, 1e400, -0]"],
    ["null"],
    ["1.0"],
    ['{"lines":\n  {"of": [1,\n2]}\n}'],
  ])("carries the JSON %j with the bytes that came in", async (data) => {
    const stream = await connectStream(relay, ["json"]);
    const body = `{"topic":"json","data":${data}}`;
    await relay.request("POST", "/publish", {
      body,
      headers: { "content-type": "application/json" },
    });
    expect((await stream.next()).data).toBe(data);
  });

  test("carries a JSON string as its content", async () => {
    const stream = await connectStream(relay, ["json"]);
    await relay.post("/publish", { topic: "json", data: "two\nlines and é" });
    expect((await stream.next()).data).toBe("two\nlines and é");
  });

  test.each([
    "two words",
    " spaces around ",
    "a=b",
    "a&b=c:1",
    "100%",
    "%41",
    "a+b",
    "a:b;c?d#e/f",
    "é",
    "中文",
    "😀",
    "quo\"te'back\\slash",
    "line\u2028separator",
    "message",
    "error",
    "__proto__",
    "x".repeat(255),
    "😀".repeat(63),
  ])("of the topic %j arrives, and a client can resume from its id", async (topic) => {
    const url = withTopics(await registerStream(relay), topic, "other");
    const stream = await EventStream.open(url);
    await relay.publish(topic, "m1");
    const first = await stream.next();
    expect(first).toMatchObject({ event: topic, data: "m1" });
    expect(first.id).toMatch(/^[\x21-\x7e]+$/);
    await leaveStream(relay, stream, url);
    await relay.publish(topic, "m2");
    const back = await EventStream.open(url, { lastEventId: first.id });
    expect(await back.takeTexts(1)).toEqual([`${topic}: m2`]);
    await expectNothingElse(relay, back, topic);
  });

  test("with format=json carries the JSON envelope, which keeps every text as it was", async () => {
    const stream = await EventStream.open(
      `${await registerStream(relay)}?format=json&topics=envelope,typing:e`,
    );
    const message = "a\r\nb\rc\n\u0000 é";
    await relay.publish("envelope", message);
    const { id, event, data } = await stream.next();
    const { epoch, ...rest } = JSON.parse(data);
    expect(rest).toEqual({ topic: "envelope", data: message, offset: 1 });
    expect([id, event]).toEqual([`envelope=${epoch}:1`, "envelope"]);
    const json = '{"x": 1.0, "big":12345678901234567890}';
    const body = `{"topic":"envelope","data":${json}}`;
    await relay.request("POST", "/publish", {
      body,
      headers: { "content-type": "application/json" },
    });
    expect((await stream.next()).data).toBe(
      `{"topic":"envelope","data":${json},"offset":2,"epoch":"${epoch}"}`,
    );
    await relay.publish("typing:e", "m");
    expect((await stream.next()).data).toBe('{"topic":"typing:e","data":"m"}');
  });

  test("for one user goes to that user's streams alone, also when they resume", async () => {
    const urls = await Promise.all(
      [7, "7", 8].map(async (user) => withTopics(await registerStream(relay, user), "own")),
    );
    const streams = await Promise.all(urls.map((url) => EventStream.open(url)));
    const ids = streams.map(({ lastEventId }) => lastEventId);
    expect(await relay.publish("own", "for 7", "7")).toBe(2);
    expect(await relay.publish("own", "for 8", 8)).toBe(1);
    expect(await relay.publish("own", "for 9", 9)).toBe(0);
    expect(await relay.publish("own", "for all")).toBe(3);
    const expected = [
      ["for 7", "for all"],
      ["for 7", "for all"],
      ["for 8", "for all"],
    ];
    const dataOf = async (stream: EventStream) => (await stream.take(2)).map(({ data }) => data);
    expect(await Promise.all(streams.map(dataOf))).toEqual(expected);
    await Promise.all(streams.map((stream, i) => leaveStream(relay, stream, urls[i] as string)));
    const back = await Promise.all(
      urls.map((url, i) => EventStream.open(url, { lastEventId: ids[i] as string })),
    );
    expect(await Promise.all(back.map(dataOf))).toEqual(expected);
    await relay.publish("own", "last");
    for (const stream of back) expect(await stream.takeTexts(1)).toEqual(["own: last"]);
  });

  test("is not sent to the stream that except names, unless that one resumes", async () => {
    const url = withTopics(await registerStream(relay), "except");
    const [stream, other] = [await EventStream.open(url), await connectStream(relay, ["except"])];
    const lastEventId = stream.lastEventId;
    const id = idOf(new URL(url).pathname);
    const { json } = await relay.post("/publish", { topic: "except", message: "m1", except: id });
    expect(json).toMatchObject({ delivered: 1, offset: 1 });
    expect(await other.takeTexts(1)).toEqual(["except: m1"]);
    await expectNothingElse(relay, stream, "except");
    await leaveStream(relay, stream, url);
    const back = await EventStream.open(url, { lastEventId });
    expect((await back.takeTexts(2))[0]).toBe("except: m1");
  });
});
