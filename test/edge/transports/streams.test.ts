// Server-Sent Events, clause by clause, over real streams. What is peculiar to coming back with a JSON socket is in
// recovery.test.ts. Rows B9, C1, C5, C7, C15, D1, D4, E1, F1 and I1 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  EventStream,
  eventsIn,
  rawStream,
  type StreamOptions,
} from "../../support/clients/event-stream";
import { RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

/** Publications that a topic keeps here. */
const SIZE = 10;

let relay: TestRelay;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "baton-"));
  const rules = join(folder, "topics.json");
  writeFileSync(rules, '{"typing:": {"history_size": 0}, "deep:": {"history_size": 5000}}');
  relay = await startRelay({ BATON_HISTORY_SIZE: String(SIZE), BATON_TOPICS_FILE: rules });
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** The address for the stream of a new registration. */
async function register(user: number | string = 1, topics?: string[], on = relay): Promise<string> {
  const { json, text } = await on.post("/register", { user_id: user, topics });
  if (json.sse === undefined) throw new Error(text);
  return json.sse;
}

const listOf = (topics: readonly string[]): string =>
  topics.map((topic) => encodeURIComponent(topic)).join(",");

const withTopics = (url: string, ...topics: string[]): string => `${url}?topics=${listOf(topics)}`;

/** A stream of a new registration with these topics. */
async function connect(topics: readonly string[], user: number | string = 1): Promise<EventStream> {
  return EventStream.open(withTopics(await register(user), ...topics));
}

/** Leaves a stream and waits until the relay has noticed. */
async function leave(stream: EventStream, url: string, on = relay): Promise<void> {
  await stream.close();
  await until("the relay to notice", () => !isConnected(url, on));
}

const isConnected = (url: string, on = relay): boolean =>
  [...on.running.relay.connections.all()].some(({ id }) => url.includes(id));

const remove = (url: string, on = relay) => on.request("DELETE", `/register/${idOf(url)}`);

const answerTo = async (url: string, options: StreamOptions = {}) => {
  const { pathname, search, origin } = new URL(url);
  const headers = { ...options.headers };
  const response = await fetch(origin + pathname + search, { headers });
  // biome-ignore lint/suspicious/noExplicitAny: an error or a fault of the test
  const json = (await response.json()) as any;
  return { status: response.status, headers: response.headers, code: json.error?.code };
};

interface Position {
  readonly offset: number;
  readonly epoch: string;
}

const placeOf = (topic: string, { epoch, offset }: Position): string =>
  `${encodeURIComponent(topic)}=${epoch}:${offset}`;

/** Publishes m1, m2… (or from another number on) and answers with the position of the last. */
async function fill(topic: string, count: number, from = 1): Promise<Position> {
  const batch = Array.from({ length: count }, (_, i) => ({ topic, message: `m${from + i}` }));
  const { json } = await relay.post("/publish", batch);
  return { offset: json.at(-1).offset, epoch: json.at(-1).epoch };
}

/** The next events, as `topic: data`. */
async function take(stream: EventStream, count: number): Promise<string[]> {
  return (await stream.take(count)).map(({ event, data }) => `${event}: ${data}`);
}

/** Nothing has come before what is published now, and nothing that the standard does not know. */
async function nothingMore(stream: EventStream, topic: string): Promise<void> {
  const marker = `marker ${Math.random()}`;
  await relay.publish(topic, marker);
  expect(await take(stream, 1)).toEqual([`${topic}: ${marker}`]);
  expect(stream.faults).toEqual([]);
}

describe("an event", () => {
  test("has the topic as its name, the message as its data and the position as its id", async () => {
    const stream = await connect(["a"]);
    const { epoch, offset } = await fill("a", 2);
    expect(await stream.take(2)).toEqual([
      { id: `a=${epoch}:${offset - 1}`, event: "a", data: "m1" },
      { id: `a=${epoch}:${offset}`, event: "a", data: "m2" },
    ]);
    await nothingMore(stream, "a");
  });

  test("of a stream of two topics has the positions of both in its id", async () => {
    const stream = await connect(["left", "right"]);
    const start = stream.lastEventId;
    const { epoch } = await fill("left", 1);
    const at = (left: number, right: number) => `left=${epoch}:${left}&right=${epoch}:${right}`;
    expect(start).toBe(at(0, 0));
    await fill("right", 2);
    await fill("left", 1, 2);
    const events = await stream.take(4);
    expect(events.map(({ id, data }) => `${data} ${id}`)).toEqual([
      `m1 ${at(1, 0)}`,
      `m1 ${at(1, 1)}`,
      `m2 ${at(1, 2)}`,
      `m2 ${at(2, 2)}`,
    ]);
  });

  test("has the id of the stream so far where its own topic keeps no history", async () => {
    const stream = await connect(["typing:a", "kept"]);
    const before = stream.lastEventId;
    expect(before).toStartWith("kept=");
    await relay.publish("typing:a", "m");
    expect(await stream.next()).toEqual({ id: before, event: "typing:a", data: "m" });
    const { epoch } = await fill("kept", 1);
    await relay.publish("typing:a", "n");
    expect((await stream.take(2)).map(({ id }) => id)).toEqual(Array(2).fill(`kept=${epoch}:1`));
    const alone = await connect(["typing:b"]);
    await relay.publish("typing:b", "m");
    expect(await alone.next()).toEqual({ id: "", event: "typing:b", data: "m" });
  });

  test.each([
    ["plain text", "hi", "hi"],
    ["empty text", "", ""],
    ["a line feed", "a\nb", "a\nb"],
    ["a carriage return, which becomes a line feed", "a\rb", "a\nb"],
    ["both, which become one", "a\r\nb", "a\nb"],
    ["both the wrong way around", "a\n\rb", "a\n\nb"],
    ["only a line feed", "\n", "\n"],
    ["line feeds around it", "\n\na\n\n", "\n\na\n\n"],
    ["spaces before it", "  a", "  a"],
    ["lines that begin with spaces", " a\n b\n  c ", " a\n b\n  c "],
    ["a colon before it", ": a", ": a"],
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
  ])("carries %s, live and after coming back", async (name, message, expected) => {
    const topic = `text ${name.replaceAll(",", "")}`;
    const url = withTopics(await register(), topic);
    const stream = await EventStream.open(url);
    const lastEventId = stream.lastEventId;
    await relay.publish(topic, message);
    expect((await stream.next()).data).toBe(expected);
    await leave(stream, url);
    const back = await EventStream.open(url, { lastEventId });
    expect((await back.next()).data).toBe(expected);
    await nothingMore(back, topic);
  });

  test.each([
    ['{"x": 1.0, "big":12345678901234567890, "\\u0041":"\\u00e9"}'],
    ["[1.50, 1e400, -0]"],
    ["null"],
    ["1.0"],
    ['{"lines":\n  {"of": [1,\n2]}\n}'],
  ])("carries the JSON %j with the bytes that came in", async (data) => {
    const stream = await connect(["json"]);
    const body = `{"topic":"json","data":${data}}`;
    await relay.request("POST", "/publish", {
      body,
      headers: { "content-type": "application/json" },
    });
    expect((await stream.next()).data).toBe(data);
  });

  test("carries a JSON string as its content", async () => {
    const stream = await connect(["json"]);
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
  ])("of the topic %j arrives and can be gone on from", async (topic) => {
    const url = withTopics(await register(), topic, "beside");
    const stream = await EventStream.open(url);
    await relay.publish(topic, "m1");
    const first = await stream.next();
    expect(first).toMatchObject({ event: topic, data: "m1" });
    expect(first.id).toMatch(/^[\x21-\x7e]+$/);
    await leave(stream, url);
    await relay.publish(topic, "m2");
    const back = await EventStream.open(url, { lastEventId: first.id });
    expect(await take(back, 1)).toEqual([`${topic}: m2`]);
    await nothingMore(back, topic);
  });

  test("with format=json is the envelope, which keeps every text as it was", async () => {
    const stream = await EventStream.open(
      `${await register()}?format=json&topics=envelope,typing:e`,
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

  test("for one user goes to that user's streams alone, also when they come back", async () => {
    const urls = await Promise.all(
      [7, "7", 8].map(async (user) => withTopics(await register(user), "own")),
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
    await Promise.all(streams.map((stream, i) => leave(stream, urls[i] as string)));
    const back = await Promise.all(
      urls.map((url, i) => EventStream.open(url, { lastEventId: ids[i] as string })),
    );
    expect(await Promise.all(back.map(dataOf))).toEqual(expected);
    await relay.publish("own", "last");
    for (const stream of back) expect(await take(stream, 1)).toEqual(["own: last"]);
  });

  test("is held back from the stream that except names, but not when it comes back", async () => {
    const url = withTopics(await register(), "except");
    const [stream, other] = [await EventStream.open(url), await connect(["except"])];
    const lastEventId = stream.lastEventId;
    const id = idOf(new URL(url).pathname);
    const { json } = await relay.post("/publish", { topic: "except", message: "m1", except: id });
    expect(json).toMatchObject({ delivered: 1, offset: 1 });
    expect(await take(other, 1)).toEqual(["except: m1"]);
    await nothingMore(stream, "except");
    await leave(stream, url);
    const back = await EventStream.open(url, { lastEventId });
    expect((await take(back, 2))[0]).toBe("except: m1");
  });
});

describe("the topics of a stream", () => {
  test("are those of its query, each once", async () => {
    const stream = await connect(["q1", "q2", "q1"]);
    expect(await relay.publish("q1", "m")).toBe(1);
    expect(await relay.publish("q2", "m")).toBe(1);
    expect(await relay.publish("tech", "m")).toBe(0);
    expect(await take(stream, 2)).toEqual(["q1: m", "q2: m"]);
    await stream.close();
  });

  test("are those of its registration where the query names none, also when it comes back", async () => {
    const url = await register(1, ["with, comma", "r2"]);
    const stream = await EventStream.open(url);
    await relay.publish("r2", "m1");
    await relay.publish("with, comma", "m1");
    expect(await take(stream, 2)).toEqual(["r2: m1", "with, comma: m1"]);
    const { lastEventId } = stream;
    await leave(stream, url);
    await relay.publish("r2", "m2");
    const back = await EventStream.open(url, { lastEventId });
    expect(await take(back, 1)).toEqual(["r2: m2"]);
    await leave(back, url);
    const other = await EventStream.open(withTopics(url, "instead"));
    expect(await relay.publish("r2", "m3")).toBe(0);
    expect(await relay.publish("instead", "m")).toBe(1);
    expect(await take(other, 1)).toEqual(["instead: m"]);
  });

  test("are BATON_DEFAULT_TOPICS where neither names any", async () => {
    await using own = await startRelay({ BATON_DEFAULT_TOPICS: "d1,d2" });
    const stream = await EventStream.open(await register(1, undefined, own));
    await own.publish("d2", "m");
    await own.publish("d1", "m");
    expect(await take(stream, 2)).toEqual(["d2: m", "d1: m"]);
  });

  test("may be none", async () => {
    for (const url of [`${await register()}?topics=`, await register(1, [])]) {
      const stream = await EventStream.open(url);
      expect(stream.lastEventId).toBe("");
      expect(await relay.publish("tech", "m")).toBe(0);
      await leave(stream, url);
    }
  });

  test("may be the most that BATON_CONNECTION_TOPICS_MAX allows, and not more", async () => {
    await using small = await startRelay({ BATON_CONNECTION_TOPICS_MAX: "3" });
    const url = await register(1, undefined, small);
    const { status, code } = await answerTo(withTopics(url, "a", "b", "c", "d"));
    expect([status, code]).toEqual([422, "too_many_topics"]);
    const stream = await EventStream.open(withTopics(url, "a", "b", "c", "c"));
    await small.publish("c", "m");
    expect(await take(stream, 1)).toEqual(["c: m"]);
  });

  test("are refused where one of them is no topic name, and the registration waits on", async () => {
    const url = await register();
    for (const list of [",", "a,,b", "a%00", "a%0a", "x".repeat(256), "é".repeat(128)]) {
      const { status, code } = await answerTo(`${url}?topics=${list}`);
      expect([list, status, code]).toEqual([list, 422, "invalid_topic"]);
    }
    await (await EventStream.open(url)).close();
  });

  test("are refused where their positions would not fit into a header, before the first of them is lost", async () => {
    const names = (count: number, length: number) =>
      Array.from({ length: count }, (_, i) => `${i}`.padEnd(length, "é"));
    // By registration, so that only the id counts: 40 bytes each, and 32 for the position.
    const refused = await answerTo(await register(1, names(120, 12)));
    expect([refused.status, refused.code]).toEqual([422, "too_many_topics"]);
    // By query, where the address counts too.
    const url = await register();
    const both = await answerTo(withTopics(url, ...names(60, 18)));
    expect([both.status, both.code]).toEqual([422, "too_many_topics"]);
  });

  test.each([["registration"], ["query"]])(
    "by %s that are just allowed can be gone on from by a browser with cookies",
    async (way) => {
      await using plenty = await startRelay({ BATON_CONNECTION_TOPICS_MAX: "1000" });
      const register1 = (topics?: string[]) => register(1, topics, plenty);
      const topics: string[] = [];
      let url = "";
      for (;;) {
        const more = [...topics, `topic ${topics.length}`];
        const next =
          way === "query" ? withTopics(await register1(), ...more) : await register1(more);
        const response = await fetch(next, { method: "HEAD" });
        if (response.status !== 200) break;
        topics.push(`topic ${topics.length}`);
        url = next;
      }
      expect(topics.length).toBeGreaterThan(100);
      const stream = await EventStream.open(url);
      const { lastEventId } = stream;
      await leave(stream, url, plenty);
      await plenty.publish(topics[0] as string, "m");
      const headers = { cookie: "x".repeat(3_000) };
      const back = await EventStream.open(url, { lastEventId, headers });
      expect(await take(back, 1)).toEqual(["topic 0: m"]);
    },
    20_000,
  );
});

describe("a stream that comes back", () => {
  test("is given by Last-Event-ID what it missed of each topic, then live, each once", async () => {
    const url = withTopics(await register(), "c1", "c2");
    let stream = await EventStream.open(url);
    await fill("c1", 3);
    await fill("c2", 1);
    let { id } = (await stream.take(4)).at(-1) ?? { id: "" };
    for (let round = 1; round <= 3; round++) {
      await leave(stream, url);
      await fill("c1", round, 1);
      await fill("c2", 4, 1);
      stream = await EventStream.open(url, { lastEventId: id });
      const events = await stream.take(round + 4);
      const dataOf = (topic: string) =>
        events.filter(({ event }) => event === topic).map(({ data }) => data);
      expect(dataOf("c1")).toEqual(Array.from({ length: round }, (_, i) => `m${i + 1}`));
      expect(dataOf("c2")).toEqual(["m1", "m2", "m3", "m4"]);
      await fill("c1", 1, 99);
      const live = await stream.next();
      expect([live.event, live.data]).toEqual(["c1", "m99"]);
      id = live.id;
    }
    await nothingMore(stream, "c2");
  });

  test("may go on from any event of what it missed: each id stands for all before it", async () => {
    const url = withTopics(await register(), "e1", "e2");
    const stream = await EventStream.open(url);
    const { lastEventId } = stream;
    await leave(stream, url);
    for (let i = 1; i <= 6; i++) await relay.publish(i % 2 === 0 ? "e1" : "e2", `m${i}`);
    const first = await EventStream.open(url, { lastEventId });
    const all = await first.take(6);
    await leave(first, url);
    for (const [i, { id }] of all.entries()) {
      const back = await EventStream.open(url, { lastEventId: id });
      const rest = all.slice(i + 1).map(({ event, data }) => `${event}: ${data}`);
      expect(await take(back, rest.length)).toEqual(rest);
      expect(back.rest()).toEqual([]);
      await leave(back, url);
    }
  });

  test("that had seen nothing loses nothing: it has an id before the first event", async () => {
    const url = withTopics(await register(), "quiet", "silent");
    let stream = await EventStream.open(url);
    for (let round = 0; round < 3; round++) {
      expect(stream.lastEventId).toContain("quiet=");
      expect(stream.lastEventId).toContain("silent=");
      expect(stream.rest()).toEqual([]);
      const { lastEventId } = stream;
      await leave(stream, url);
      stream = await EventStream.open(url, { lastEventId });
    }
    const { lastEventId } = stream;
    await leave(stream, url);
    await fill("quiet", 2);
    await fill("silent", 1);
    const back = await EventStream.open(url, { lastEventId });
    expect(await take(back, 3)).toEqual(["quiet: m1", "quiet: m2", "silent: m1"]);
    await nothingMore(back, "quiet");
  });

  test("may say so by ?since= too, but Last-Event-ID counts where there is one", async () => {
    const { epoch } = await fill("since & co", 4);
    const url = withTopics(await register(), "since & co");
    const since = (offset: number) => encodeURIComponent(placeOf("since & co", { epoch, offset }));
    const stream = await EventStream.open(`${url}&since=${since(2)}`);
    expect(await take(stream, 2)).toEqual(["since & co: m3", "since & co: m4"]);
    const { lastEventId } = stream;
    await leave(stream, url);
    await fill("since & co", 1, 5);
    const back = await EventStream.open(`${url}&since=${since(2)}`, { lastEventId });
    expect(await take(back, 1)).toEqual(["since & co: m5"]);
    await leave(back, url);
    const empty = await EventStream.open(`${url}&since=${since(4)}`, { lastEventId: "" });
    expect(await take(empty, 1)).toEqual(["since & co: m5"]);
  });

  test("without an id begins with what is live", async () => {
    await fill("live", 3);
    const stream = await connect(["live"]);
    await fill("live", 1, 4);
    expect(await take(stream, 1)).toEqual(["live: m4"]);
  });

  test("with more topics than before begins the new ones with what is live, untold", async () => {
    const url = await register();
    const stream = await EventStream.open(withTopics(url, "had"));
    const { lastEventId } = stream;
    await leave(stream, url);
    await fill("had", 1);
    await fill("new", 1);
    const back = await EventStream.open(withTopics(url, "new", "had"), { lastEventId });
    expect(await take(back, 1)).toEqual(["had: m1"]);
    await nothingMore(back, "new");
    expect(back.lastEventId).toContain("new=");
  });

  test("while publications come gets each once and in order", async () => {
    const { epoch } = await fill("deep:race", 500);
    const url = withTopics(await register(), "deep:race");
    let offset = 0;
    for (let round = 0; round < 5; round++) {
      const publishing = Array.from({ length: 200 }, () => relay.publish("deep:race", "m"));
      const lastEventId = placeOf("deep:race", { epoch, offset });
      const stream = await EventStream.open(url, { lastEventId });
      await Promise.all(publishing);
      const count = 500 + 200 * (round + 1) - offset;
      const ids = (await stream.take(count)).map(({ id }) => id);
      const expected = Array.from({ length: count }, (_, i) =>
        placeOf("deep:race", { epoch, offset: offset + i + 1 }),
      );
      expect(ids).toEqual(expected);
      expect(stream.rest()).toEqual([]);
      offset += count - 50; // as if the last 50 had been lost on the way
      await leave(stream, url);
    }
  }, 20_000);
});

describe("a stream that cannot be given what it missed", () => {
  /** The event without a name, and that nothing of the missed follows. */
  async function expectTold(
    url: string,
    lastEventId: string,
    topics: Record<string, Position & { recovered: boolean }>,
  ): Promise<void> {
    const stream = await EventStream.open(url, { lastEventId });
    const { id, event, data } = await stream.next();
    expect([event, JSON.parse(data)]).toEqual(["", { topics }]);
    const places = Object.entries(topics).map(([topic, position]) => placeOf(topic, position));
    expect(id).toBe(places.join("&"));
    await nothingMore(stream, Object.keys(topics)[0] as string);
    const { lastEventId: next } = stream;
    await leave(stream, url);
    // It has been told: from here on it goes on as usual.
    const back = await EventStream.open(url, { lastEventId: next });
    await nothingMore(back, Object.keys(topics)[0] as string);
    await leave(back, url);
  }

  test.each([
    ["beyond the newest", (top: Position) => ({ ...top, offset: top.offset + 1 })],
    ["of another epoch", (top: Position) => ({ ...top, epoch: "abcdefgh" })],
    ["that is no longer kept", (top: Position) => ({ ...top, offset: top.offset - SIZE - 1 })],
    ["before all", (top: Position) => ({ ...top, offset: 0 })],
  ])("since its position is one %s is told so", async (name, wrong) => {
    const topic = `lost ${name}`;
    const top = await fill(topic, 2 * SIZE);
    const url = withTopics(await register(), topic);
    await expectTold(url, placeOf(topic, wrong(top)), { [topic]: { ...top, recovered: false } });
  });

  test("of one topic is told so, and given what it missed of the other", async () => {
    const lost = await fill("one lost", 2 * SIZE);
    const whole = await fill("one whole", 3);
    const url = withTopics(await register(), "one lost", "one whole");
    const lastEventId = [
      placeOf("one lost", { ...lost, offset: 1 }),
      placeOf("one whole", { ...whole, offset: 1 }),
    ].join("&");
    const stream = await EventStream.open(url, { lastEventId });
    const told = await stream.next();
    expect(told.event).toBe("");
    expect(JSON.parse(told.data)).toEqual({
      topics: {
        "one lost": { ...lost, recovered: false },
        "one whole": { ...whole, recovered: true },
      },
    });
    // Who is cut off right here has not got the missed ones yet.
    expect(told.id).toBe(
      `${placeOf("one lost", lost)}&${placeOf("one whole", { ...whole, offset: 1 })}`,
    );
    expect(await take(stream, 2)).toEqual(["one whole: m2", "one whole: m3"]);
    await nothingMore(stream, "one lost");
  });

  test.each([
    "garbage",
    "=",
    "&",
    "&&==",
    "told",
    "told=",
    "told=abcdefgh",
    "told=abcdefgh:",
    "told=abcdefgh:x",
    "told=abcdefgh:-1",
    "told=abcdefgh:1.5",
    "told=abcdefgh:1e3",
    "told=abcdefgh:9007199254740993",
    "told=abcdefgh:99999999999999999999",
    "told=:1",
    "told=a=b:1",
    "%ff=abcdefgh:1",
    "%=abcdefgh:1",
    "x".repeat(8_000),
    "42",
    "\u00e9\u00ff",
  ])("since its id is none, %j, is told so for all its topics", async (lastEventId) => {
    const top = await fill("told", 1);
    const silent = await fill("told too", 1);
    const url = withTopics(await register(), "told", "told too");
    await expectTold(url, lastEventId, {
      told: { ...top, recovered: false },
      "told too": { ...silent, recovered: false },
    });
  });

  test("since the topic's history was given up is told so", async () => {
    await using small = await startRelay({ BATON_HISTORY_BYTES: "65536" });
    const url = withTopics(await register(1, undefined, small), "given up");
    const stream = await EventStream.open(url);
    await small.publish("given up", "m1");
    const { id } = await stream.next();
    await leave(stream, url, small);
    const flood = Array.from({ length: 200 }, (_, i) => ({ topic: `t${i}`, message: "m" }));
    await small.post("/publish", flood);
    const back = await EventStream.open(url, { lastEventId: id });
    const told = await back.next();
    expect(told.event).toBe("");
    expect(JSON.parse(told.data).topics["given up"]).toMatchObject({ offset: 0, recovered: false });
    await small.publish("given up", "m2");
    expect(await take(back, 1)).toEqual(["given up: m2"]);
  });

  test("since the topic keeps no history is told so", async () => {
    const stream = await EventStream.open(withTopics(await register(), "typing:t"), {
      lastEventId: "typing%3At=abcdefgh:1",
    });
    expect(await stream.next()).toEqual({
      id: "",
      event: "",
      data: '{"topics":{"typing:t":{"recovered":false}}}',
    });
    await nothingMore(stream, "typing:t");
  });
});

describe("a registration", () => {
  test("answers sse beside url, for the same id", async () => {
    const { json } = await relay.post("/register", { user_id: 1, topics: ["a"] });
    const id = idOf(json.url);
    expect(json).toEqual({
      url: `ws://127.0.0.1:${relay.port}/ws/${id}`,
      sse: `http://127.0.0.1:${relay.port}/sse/${id}`,
    });
    await using behind = await startRelay({ BATON_PUBLIC_URL: "https://relay.example.com/baton" });
    const other = (await behind.post("/register", { user_id: 1 })).json;
    expect(other.sse).toBe(`https://relay.example.com/baton/sse/${idOf(other.url)}`);
  });

  test("that is unknown, malformed, deleted or expired is answered by 404", async () => {
    await using brief = await startRelay({ BATON_REGISTRATION_TTL_MS: "50" });
    const expired = await register(1, undefined, brief);
    await until("it to expire", () => brief.counts.registrations === 0);
    const deleted = await register();
    await remove(deleted);
    const ids = ["0".repeat(32), "x", "__proto__", "%00"];
    for (const url of [expired, deleted, ...ids.map((id) => `${relay.url}/sse/${id}`)]) {
      const { status, code, headers } = await answerTo(url);
      expect([url, status, code]).toEqual([url, 404, "unknown_connection"]);
      expect(headers.get("content-type")).toStartWith("application/json");
    }
  });

  test("waits BATON_REGISTRATION_TTL_MS after its stream was lost, and not longer", async () => {
    await using brief = await startRelay({ BATON_REGISTRATION_TTL_MS: "300" });
    const url = await register(1, undefined, brief);
    const stream = await EventStream.open(url);
    // Open, it does not expire.
    const opened = performance.now();
    await until("its time to be over", () => performance.now() - opened > 400);
    expect(brief.counts).toEqual({ connections: 1, registrations: 0, topics: 1 });
    await leave(stream, url, brief);
    expect(brief.counts).toEqual({ connections: 0, registrations: 1, topics: 0 });
    const back = await EventStream.open(url);
    expect(brief.counts).toEqual({ connections: 1, registrations: 0, topics: 1 });
    await leave(back, url, brief);
    await until("it to expire", () => brief.counts.registrations === 0);
    expect((await answerTo(url)).status).toBe(404);
  });

  test("that is deleted ends its stream and is gone", async () => {
    const url = await register();
    const stream = await EventStream.open(url);
    expect((await remove(url)).text).toBe(`Client removed with id ${idOf(url)}`);
    expect(await stream.closed).toBe("ended");
    expect([isConnected(url), (await answerTo(url)).status]).toEqual([false, 404]);
    expect((await remove(url)).status).toBe(404);
  });

  test("that is deleted while it waits for its stream is gone", async () => {
    const url = await register();
    await leave(await EventStream.open(url), url);
    expect((await remove(url)).status).toBe(200);
    expect((await answerTo(url)).status).toBe(404);
  });

  test("that is deleted while its stream is given what it missed leaves nothing behind", async () => {
    const { epoch } = await fill("deep:deleted", 1_000);
    const url = withTopics(await register(), "deep:deleted");
    const stream = await EventStream.open(url, { lastEventId: `deep%3Adeleted=${epoch}:0` });
    await remove(new URL(url).pathname);
    expect(await stream.closed).toBe("ended");
    expect(await relay.publish("deep:deleted", "m")).toBe(0);
  });

  test("with a second stream ends the first, which is told not to come back", async () => {
    const url = withTopics(await register(), "twice");
    const older = await EventStream.open(url);
    await fill("twice", 1);
    expect(await take(older, 1)).toEqual(["twice: m1"]);
    const newer = await EventStream.open(url, { lastEventId: older.lastEventId });
    expect(await older.closed).toBe("ended");
    // 24 days; more would not fit a browser's timer.
    expect(older.retries.at(-1)).toBe(2_147_483_647);
    expect(await relay.publish("twice", "m2")).toBe(1);
    expect(await take(newer, 1)).toEqual(["twice: m2"]);
    expect(older.rest()).toEqual([]);
    await leave(newer, url);
    await (await EventStream.open(url)).close();
  });

  test("with a stream twenty times at once has one in the end", async () => {
    const url = withTopics(await register(), "twenty");
    const streams = await Promise.all(Array.from({ length: 20 }, () => EventStream.open(url)));
    let open = streams.length;
    for (const stream of streams) stream.closed.then(() => open--);
    await until("all but one to be ended", () => open === 1);
    expect(await relay.publish("twenty", "m")).toBe(1);
  });

  test("with a socket after a stream ends the stream, and with a stream after a socket the socket", async () => {
    const url = await register();
    const stream = await EventStream.open(url);
    const socket = await relay.open(url.replace("http:", "ws:").replace("/sse/", "/ws/"));
    expect(await stream.closed).toBe("ended");
    expect(stream.retries.at(-1)).toBe(2_147_483_647);
    expect(await relay.publish("tech", "m1")).toBe(1);
    expect(await socket.next()).toBe("m1");
    const again = await EventStream.open(url);
    expect((await socket.closed).code).toBe(4001);
    expect(await relay.publish("tech", "m2")).toBe(1);
    expect(await take(again, 1)).toEqual(["tech: m2"]);
    await again.close();
  });
});

describe("a request for a stream", () => {
  test("is answered by an event stream that nothing in between may keep", async () => {
    const stream = await EventStream.open(await register(), {
      headers: { origin: "https://page.example.com" },
    });
    const headers = Object.fromEntries(stream.headers);
    expect(headers).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      "access-control-allow-origin": "*",
    });
    const [retry] = stream.retries;
    expect(retry).toBeWithin(1_000, 2_001);
    await stream.close();
  });

  test("gives streams different times to come back", async () => {
    const streams = await Promise.all(Array.from({ length: 10 }, () => connect(["r"])));
    expect(new Set(streams.map(({ retries }) => retries[0])).size).toBeGreaterThan(5);
    for (const stream of streams) await stream.close();
  });

  test.each([
    "more=1",
    "topics=a&topics=b",
    "topics=a&format=json&format=json",
    "since=a&since=a",
    "format=xml",
    "format=plain",
    "format=__proto__",
    "Topics=a",
    "topics=a&=",
    "topics[]=a",
    "topics=%ff",
    "topics=%ED%A0%80",
    "topics=100%",
    "since=%c3",
  ])("with ?%s is refused with 422, and the registration waits on", async (text) => {
    const url = await register();
    const { status, code } = await answerTo(`${url}?${text}`);
    expect([status, code]).toEqual([422, "invalid_query"]);
    await (await EventStream.open(url)).close();
  });

  test("takes a raw query in UTF-8, as curl sends it", async () => {
    const url = await register();
    const raw = await RawSocket.open(relay.port);
    raw.write(`GET ${new URL(url).pathname}?topics=café HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
    await raw.until("id: caf%C3%A9=");
    expect(await relay.publish("café", "m")).toBe(1);
    raw.drop();
  });

  test("by another method than GET and HEAD is answered by 405", async () => {
    const { pathname } = new URL(await register());
    for (const method of ["POST", "PUT", "DELETE"]) {
      const { status, headers } = await relay.request(method, pathname);
      expect([status, headers.get("allow")]).toEqual([405, "GET"]);
    }
  });

  test("from a page of another origin is refused with 403 where BATON_ORIGINS is set", async () => {
    const home = "https://app.example.com";
    await using strict = await startRelay({ BATON_ORIGINS: home });
    const url = await register(1, undefined, strict);
    for (const origin of [
      "https://evil.example",
      "null",
      `${home}.evil.example`,
      "http://app.example.com",
    ]) {
      const { status, code, headers } = await answerTo(url, { headers: { origin } });
      expect([status, code]).toEqual([403, "forbidden_origin"]);
      expect(headers.get("access-control-allow-origin")).toBeNull();
    }
    expect(strict.counts).toEqual({ connections: 0, registrations: 1, topics: 0 });
    const stream = await EventStream.open(url, { headers: { origin: home } });
    expect(stream.headers.get("access-control-allow-origin")).toBe(home);
    // No browser.
    await (await EventStream.open(await register(1, undefined, strict))).close();
  });

  test("beyond BATON_CONNECTIONS_MAX is refused with 503, until a place is free", async () => {
    await using full = await startRelay({ BATON_CONNECTIONS_MAX: "1" });
    const [first, second] = [
      await register(1, undefined, full),
      await register(2, undefined, full),
    ];
    const stream = await EventStream.open(first);
    const { status, code, headers } = await answerTo(second);
    expect([status, code, headers.get("retry-after")]).toEqual([503, "too_many_connections", "5"]);
    // Its own place it may take again.
    const again = await EventStream.open(first);
    expect(await stream.closed).toBe("ended");
    await leave(again, first, full);
    await (await EventStream.open(second)).close();
  });

  test("beyond BATON_USER_CONNECTIONS_MAX is refused with 429", async () => {
    await using full = await startRelay({ BATON_USER_CONNECTIONS_MAX: "2" });
    const urls = await Promise.all([1, "1", 1, 2].map((user) => register(user, undefined, full)));
    const [first, second, third, other] = urls as [string, string, string, string];
    for (const url of [first, second, other]) await EventStream.open(url);
    const { status, code, headers } = await answerTo(third);
    expect([status, code]).toEqual([429, "too_many_user_connections"]);
    expect(headers.get("retry-after")).toBe("5");
    await EventStream.open(second);
    expect(full.counts.connections).toBe(3);
  });
});

describe("a stream that lives", () => {
  test("is kept alive by comments, which no client sees", async () => {
    await using brisk = await startRelay({ BATON_PING_MS: "20", BATON_PONG_MS: "20" });
    const url = await register(1, undefined, brisk);
    const stream = await EventStream.open(url);
    await stream.until("comments", ({ comments }) => comments.length >= 20);
    expect(stream.rest()).toEqual([]);
    await brisk.publish("tech", "m");
    expect(await take(stream, 1)).toEqual(["tech: m"]);
    expect([isConnected(url, brisk), stream.faults]).toEqual([true, []]);
  });

  test("has no comments between two pings", async () => {
    const stream = await connect(["calm"]);
    await nothingMore(stream, "calm");
    expect(stream.comments).toEqual([]);
  });

  test("leaves nothing behind but its registration, which waits", async () => {
    await using own = await startRelay();
    const urls = await Promise.all(
      Array.from({ length: 30 }, (_, i) => register(i, [`t${i % 3}`, "all"], own)),
    );
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all(urls.map((url) => EventStream.open(url)));
      expect(own.counts).toEqual({ connections: 30, registrations: 0, topics: 4 });
      expect(await own.publish("all", "m")).toBe(30);
      for (const stream of streams) await stream.close();
      await until("them to be gone", () => own.counts.connections === 0);
      expect(own.counts).toEqual({ connections: 0, registrations: 30, topics: 0 });
      expect(await own.publish("all", "m")).toBe(0);
    }
    const gone = own.log.filter((line) => line.includes('"msg":"connection closed"'));
    expect(gone).toHaveLength(90);
    for (const url of urls) await remove(url, own);
    expect(own.counts).toEqual({ connections: 0, registrations: 0, topics: 0 });
  });

  test("is one of 1,000 of a topic, of which each gets all of 200 messages once and in order", async () => {
    await using own = await startRelay({ BATON_LOG_LEVEL: "info" });
    const raws: RawSocket[] = [];
    while (raws.length < 1_000) {
      const batch = Array.from({ length: 100 }, async (_, k) =>
        rawStream(
          await register(raws.length + k, ["crowd", ...(k % 2 === 0 ? ["alone"] : [])], own),
        ),
      );
      raws.push(...(await Promise.all(batch)));
    }
    for (let i = 0; i < 200; i += 20) {
      const batch = Array.from({ length: 20 }, (_, k) => ({
        topic: "crowd",
        message: `m${i + k}`,
      }));
      const { json } = await own.post("/publish", batch);
      expect(json[0].delivered).toBe(1_000);
    }
    const expected = Array.from({ length: 200 }, (_, i) => `m${i}`).join();
    const last = "data: m199\n\n\r\n";
    await until("all to have all", () => raws.every((raw) => raw.received.endsWith(last)), 20_000);
    for (const raw of raws) {
      const { events, faults } = eventsIn(raw.received);
      expect([events.map(({ data }) => data).join(), faults]).toEqual([expected, []]);
      raw.drop();
    }
    await until("all to be gone", () => own.counts.connections === 0);
    expect(own.counts).toEqual({ connections: 0, registrations: 1_000, topics: 0 });
    expect(own.log).toEqual([]);
  }, 60_000);
});

describe("a reader that stalls", () => {
  const LIMIT = 262_144;
  const MESSAGE = "x".repeat(16_384);
  const numberOf = ({ data }: { data: string }) => Number.parseInt(data, 10);
  const slowLines = (log: readonly string[]) =>
    log.filter((line) => line.includes("slow consumer closed"));

  test("is ended while others get everything, memory stays bounded, and it goes on from what it read", async () => {
    await using own = await startRelay({
      BATON_BACKPRESSURE_BYTES: String(LIMIT),
      BATON_HISTORY_SIZE: "10000",
    });
    const healthy = await EventStream.open(await register("healthy", undefined, own));
    const urls = await Promise.all(
      ["s1", "s2", "s3"].map((user) => register(user, undefined, own)),
    );
    const stalled = await Promise.all(urls.map((url) => rawStream(url)));
    for (const raw of stalled) raw.pause();
    const before = process.memoryUsage.rss();
    let published = 0;
    while (own.counts.connections > 1) {
      const message = `${published++} ${MESSAGE}`;
      await own.publish("tech", message);
      expect((await healthy.next()).data).toBe(message);
      if (published > 5_000) throw new Error("the stalled readers were never ended");
    }
    // What history holds, three times the limit, and room for the test itself.
    const held = 2 * published * MESSAGE.length;
    expect(process.memoryUsage.rss() - before).toBeLessThan(held + 3 * LIMIT + 100_000_000);
    await until("the log to say so", () => slowLines(own.log).length === 3);
    expect(JSON.parse(slowLines(own.log)[0] as string)).toMatchObject({ level: 40 });
    expect(own.counts.registrations).toBe(3);
    for (const [i, raw] of stalled.entries()) {
      raw.resume();
      const read = eventsIn(await raw.untilClosed());
      expect(read.whole).toBe(false);
      const numbers = read.events.map(numberOf);
      const back = await EventStream.open(urls[i] as string, { lastEventId: read.lastEventId });
      while (numbers.length < published) numbers.push(numberOf(await back.next()));
      expect(numbers).toEqual(Array.from({ length: published }, (_, n) => n));
    }
    await own.publish("tech", "after");
    expect((await healthy.next()).data).toBe("after");
    expect(own.log.filter((line) => JSON.parse(line).level > 40)).toEqual([]);
  }, 20_000);

  test("while only its user is published to is ended too", async () => {
    await using own = await startRelay({ BATON_BACKPRESSURE_BYTES: String(LIMIT) });
    const raw = await rawStream(await register("slow", undefined, own));
    raw.pause();
    let delivered = 0;
    while ((await own.publish("tech", `${delivered} ${MESSAGE}`, "slow")) === 1) delivered++;
    expect(slowLines(own.log)).toHaveLength(1);
    expect(own.counts).toEqual({ connections: 0, registrations: 1, topics: 0 });
    raw.drop();
  });

  test("while it is given what it missed waits for it, and is ended by its heartbeat alone", async () => {
    await using own = await startRelay({
      BATON_BACKPRESSURE_BYTES: String(LIMIT),
      BATON_HISTORY_SIZE: "10000",
      BATON_PING_MS: "100",
      BATON_PONG_MS: "100",
    });
    const message = { topic: "tech", message: MESSAGE };
    const batch = Array.from({ length: 50 }, () => message);
    let epoch = "";
    for (let i = 0; i < 20; i++) epoch = (await own.post("/publish", batch)).json[0].epoch;
    const url = await register(1, undefined, own);
    const raw = await rawStream(url, [`Last-Event-ID: tech=${epoch}:0`]);
    raw.pause();
    await until("it to be ended", () => own.counts.connections === 0);
    expect(slowLines(own.log)).toEqual([]);
    expect(own.log.some((line) => JSON.parse(line).code === 4012)).toBe(true);
    raw.resume();
    const { events, lastEventId } = eventsIn(await raw.untilClosed());
    expect(events.length).toBeLessThan(1_000);
    const back = await EventStream.open(url, { lastEventId });
    expect(await back.take(1_000 - events.length)).toHaveLength(1_000 - events.length);
    expect(back.lastEventId).toBe(`tech=${epoch}:1000`);
  });

  test("on a stream that is quiet now is found by the comments that it does not take", async () => {
    await using own = await startRelay({
      BATON_PING_MS: "60",
      BATON_PONG_MS: "60",
      BATON_BACKPRESSURE_BYTES: "100000000",
    });
    const raw = await rawStream(await register(1, undefined, own));
    raw.pause();
    const [connection] = own.running.relay.connections.all();
    const waits = () => connection?.socket?.getBufferedAmount() ?? 1;
    while (waits() === 0) await own.publish("tech", MESSAGE);
    await until("it to be ended", () => own.counts.connections === 0);
    expect(own.counts.registrations).toBe(1);
    raw.drop();
  });

  test("but reads on in time gets everything", async () => {
    await using own = await startRelay({ BATON_BACKPRESSURE_BYTES: "100000000" });
    const raw = await rawStream(await register(1, undefined, own));
    raw.pause();
    const [connection] = own.running.relay.connections.all();
    let published = 0;
    const waits = () => connection?.socket?.getBufferedAmount() ?? 1;
    while (waits() === 0) await own.publish("tech", `${published++} ${MESSAGE}`);
    raw.resume();
    await own.publish("tech", "last");
    await raw.until("data: last\n");
    expect(own.counts.connections).toBe(1);
    expect(slowLines(own.log)).toEqual([]);
    raw.drop();
  });
});

describe("a shutdown", () => {
  test("ends the streams, which may come back soon", async () => {
    const own = await startRelay();
    const streams = await Promise.all(
      Array.from({ length: 5 }, async () => EventStream.open(await register(1, undefined, own))),
    );
    await own.publish("tech", "m");
    await own.running.shutdown();
    for (const stream of streams) {
      expect(await stream.closed).toBe("ended");
      expect(await take(stream, 1)).toEqual(["tech: m"]);
      expect(new Set(stream.retries).size).toBe(1);
    }
  });

  test("does not wait for a reader that stalls", async () => {
    const own = await startRelay();
    const raw = await rawStream(await register(1, undefined, own));
    raw.pause();
    const [connection] = own.running.relay.connections.all();
    const waits = () => connection?.socket?.getBufferedAmount() ?? 1;
    while (waits() === 0) await own.publish("tech", "x".repeat(60_000));
    const begun = performance.now();
    await own.running.shutdown();
    expect(performance.now() - begun).toBeLessThan(4_000);
    raw.drop();
  });
});

test("a stream may choose the topics that a socket of its registration may, and no others", async () => {
  const key = { "x-api-key": "a-long-random-key" };
  await using guarded = await startRelay({
    BATON_API_KEYS: key["x-api-key"],
    BATON_DEFAULT_TOPICS: "$default",
  });
  const body = { user_id: "alice", topics: ["$given"] };
  const { sse } = (await guarded.post("/register", body, key)).json;
  const path = sse.slice(guarded.url.length);
  for (const topic of ["$private", "#bob", "a#bob,carol", "ok,$private"]) {
    const { status, json } = await guarded.request(
      "GET",
      `${path}?topics=${encodeURIComponent(topic)}`,
    );
    expect([topic, status, json.error.code]).toEqual([topic, 403, "permission_denied"]);
  }
  for (const query of ["", "?topics=", "?topics=%24given,ok,%23alice"]) {
    await (await EventStream.open(`${sse}${query}`)).close();
  }
  const other = (await guarded.post("/register", { user_id: "alice" }, key)).json;
  await (await EventStream.open(other.sse)).close();
});
