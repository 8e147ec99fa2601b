// A stream that reconnects: it recovers what it missed by the id of its last event, or is told that it cannot. Rows C5 and C7
// of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Position } from "../../../../src/relay/contracts/publication";
import { EventStream, rawStream } from "../../../support/clients/event-stream";
import {
  connectStream,
  expectNothingElse,
  idOfPosition,
  leaveStream,
  registerStream,
  withTopics,
} from "../../../support/relay/stream-calls";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { topicsFile } from "../../../support/relay/topics-file";

/** How many publications a topic keeps here. */
const HISTORY_SIZE = 10;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_HISTORY_SIZE: String(HISTORY_SIZE),
    BATON_TOPICS_FILE: topicsFile({
      "typing:": { history_size: 0 },
      "deep:": { history_size: 5_000 },
    }),
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("a stream that reconnects", () => {
  test("with Last-Event-ID receives what it missed of each topic, then what is live, each once", async () => {
    const url = withTopics(await registerStream(relay), "c1", "c2");
    let stream = await EventStream.open(url);
    await relay.publishMany("c1", 3);
    await relay.publishMany("c2", 1);
    let { id } = (await stream.take(4)).at(-1) ?? { id: "" };
    for (let round = 1; round <= 3; round++) {
      await leaveStream(relay, stream, url);
      await relay.publishMany("c1", round, 1);
      await relay.publishMany("c2", 4, 1);
      stream = await EventStream.open(url, { lastEventId: id });
      const events = await stream.take(round + 4);
      const dataOf = (topic: string) =>
        events.filter(({ event }) => event === topic).map(({ data }) => data);
      expect(dataOf("c1")).toEqual(Array.from({ length: round }, (_, i) => `m${i + 1}`));
      expect(dataOf("c2")).toEqual(["m1", "m2", "m3", "m4"]);
      await relay.publishMany("c1", 1, 99);
      const live = await stream.next();
      expect([live.event, live.data]).toEqual(["c1", "m99"]);
      id = live.id;
    }
    await expectNothingElse(relay, stream, "c2");
  });

  test("may resume from any event that it recovered, because each id stands for all before it", async () => {
    const url = withTopics(await registerStream(relay), "e1", "e2");
    const stream = await EventStream.open(url);
    const { lastEventId } = stream;
    await leaveStream(relay, stream, url);
    for (let i = 1; i <= 6; i++) await relay.publish(i % 2 === 0 ? "e1" : "e2", `m${i}`);
    const first = await EventStream.open(url, { lastEventId });
    const all = await first.take(6);
    await leaveStream(relay, first, url);
    for (const [i, { id }] of all.entries()) {
      const back = await EventStream.open(url, { lastEventId: id });
      const rest = all.slice(i + 1).map(({ event, data }) => `${event}: ${data}`);
      expect(await back.takeTexts(rest.length)).toEqual(rest);
      expect(back.rest()).toEqual([]);
      await leaveStream(relay, back, url);
    }
  });

  test("loses nothing even if it had received nothing: it has an id before the first event", async () => {
    const url = withTopics(await registerStream(relay), "quiet", "silent");
    let stream = await EventStream.open(url);
    for (let round = 0; round < 3; round++) {
      expect(stream.lastEventId).toContain("quiet=");
      expect(stream.lastEventId).toContain("silent=");
      expect(stream.rest()).toEqual([]);
      const { lastEventId } = stream;
      await leaveStream(relay, stream, url);
      stream = await EventStream.open(url, { lastEventId });
    }
    const { lastEventId } = stream;
    await leaveStream(relay, stream, url);
    await relay.publishMany("quiet", 2);
    await relay.publishMany("silent", 1);
    const back = await EventStream.open(url, { lastEventId });
    expect(await back.takeTexts(3)).toEqual(["quiet: m1", "quiet: m2", "silent: m1"]);
    await expectNothingElse(relay, back, "quiet");
  });

  test("may give its position as ?since=, but Last-Event-ID takes precedence", async () => {
    const { epoch } = await relay.publishMany("since & co", 4);
    const url = withTopics(await registerStream(relay), "since & co");
    const since = (offset: number) =>
      encodeURIComponent(idOfPosition("since & co", { epoch, offset }));
    const stream = await EventStream.open(`${url}&since=${since(2)}`);
    expect(await stream.takeTexts(2)).toEqual(["since & co: m3", "since & co: m4"]);
    const { lastEventId } = stream;
    await leaveStream(relay, stream, url);
    await relay.publishMany("since & co", 1, 5);
    const back = await EventStream.open(`${url}&since=${since(2)}`, { lastEventId });
    expect(await back.takeTexts(1)).toEqual(["since & co: m5"]);
    await leaveStream(relay, back, url);
    const empty = await EventStream.open(`${url}&since=${since(4)}`, { lastEventId: "" });
    expect(await empty.takeTexts(1)).toEqual(["since & co: m5"]);
  });

  test("without an id receives only what is live", async () => {
    await relay.publishMany("live", 3);
    const stream = await connectStream(relay, ["live"]);
    await relay.publishMany("live", 1, 4);
    expect(await stream.takeTexts(1)).toEqual(["live: m4"]);
  });

  test("with more topics than before receives only what is live of the new ones, without a notice", async () => {
    const url = await registerStream(relay);
    const stream = await EventStream.open(withTopics(url, "had"));
    const { lastEventId } = stream;
    await leaveStream(relay, stream, url);
    await relay.publishMany("had", 1);
    await relay.publishMany("new", 1);
    const back = await EventStream.open(withTopics(url, "new", "had"), { lastEventId });
    expect(await back.takeTexts(1)).toEqual(["had: m1"]);
    await expectNothingElse(relay, back, "new");
    expect(back.lastEventId).toContain("new=");
  });

  test("recovers several pages of history once and in order", async () => {
    const { epoch } = await relay.publishMany("deep:pages", 1_000);
    await relay.publishMany("deep:pages", 1_000, 1_001);
    const url = withTopics(await registerStream(relay), "deep:pages");
    const raw = await rawStream(url, [`Last-Event-ID: deep%3Apages=${epoch}:0`]);
    await raw.until("data: m1\n");
    const text = `data: m1\n${await raw.until("data: m2000\n")}`;
    const data = [...text.matchAll(/^data: m(\d+)$/gm)].map(([, number]) => Number(number));
    expect(data).toEqual(Array.from({ length: 2_000 }, (_, i) => i + 1));
    await relay.publish("deep:pages", "live");
    expect(await raw.until("data: live\n")).not.toContain("data: m");
    raw.drop();
  });

  test("while publications arrive receives each once and in order", async () => {
    const { epoch } = await relay.publishMany("deep:race", 500);
    const url = withTopics(await registerStream(relay), "deep:race");
    let offset = 0;
    for (let round = 0; round < 5; round++) {
      const publishing = Array.from({ length: 200 }, () => relay.publish("deep:race", "m"));
      const lastEventId = idOfPosition("deep:race", { epoch, offset });
      const stream = await EventStream.open(url, { lastEventId });
      await Promise.all(publishing);
      const count = 500 + 200 * (round + 1) - offset;
      const ids = (await stream.take(count)).map(({ id }) => id);
      const expected = Array.from({ length: count }, (_, i) =>
        idOfPosition("deep:race", { epoch, offset: offset + i + 1 }),
      );
      expect(ids).toEqual(expected);
      expect(stream.rest()).toEqual([]);
      offset += count - 50; // as if the last 50 had been lost on the way
      await leaveStream(relay, stream, url);
    }
  }, 120_000);
});

describe("a stream that cannot recover", () => {
  /** It receives an event without a name, and nothing of what it missed. */
  async function expectNotice(
    url: string,
    lastEventId: string,
    topics: Record<string, Position & { recovered: boolean }>,
  ): Promise<void> {
    const stream = await EventStream.open(url, { lastEventId });
    const { id, event, data } = await stream.next();
    expect([event, JSON.parse(data)]).toEqual(["", { topics }]);
    const places = Object.entries(topics).map(([topic, position]) => idOfPosition(topic, position));
    expect(id).toBe(places.join("&"));
    await expectNothingElse(relay, stream, Object.keys(topics)[0] as string);
    const { lastEventId: next } = stream;
    await leaveStream(relay, stream, url);
    // After the notice it resumes as usual.
    const back = await EventStream.open(url, { lastEventId: next });
    await expectNothingElse(relay, back, Object.keys(topics)[0] as string);
    await leaveStream(relay, back, url);
  }

  test.each([
    ["beyond the top", (top: Position) => ({ ...top, offset: top.offset + 1 })],
    ["of another epoch", (top: Position) => ({ ...top, epoch: "abcdefgh" })],
    [
      "just before what is kept",
      (top: Position) => ({ ...top, offset: top.offset - HISTORY_SIZE - 1 }),
    ],
    ["that of an empty topic", (top: Position) => ({ ...top, offset: 0 })],
  ])("because its position is %s receives a notice", async (name, wrong) => {
    const topic = `lost ${name}`;
    const top = await relay.publishMany(topic, 2 * HISTORY_SIZE);
    const url = withTopics(await registerStream(relay), topic);
    await expectNotice(url, idOfPosition(topic, wrong(top)), {
      [topic]: { ...top, recovered: false },
    });
  });

  test("one of two topics receives a notice for both, and what it missed of the other", async () => {
    const lost = await relay.publishMany("one lost", 2 * HISTORY_SIZE);
    const whole = await relay.publishMany("one whole", 3);
    const url = withTopics(await registerStream(relay), "one lost", "one whole");
    const lastEventId = [
      idOfPosition("one lost", { ...lost, offset: 1 }),
      idOfPosition("one whole", { ...whole, offset: 1 }),
    ].join("&");
    const stream = await EventStream.open(url, { lastEventId });
    const notice = await stream.next();
    expect(notice.event).toBe("");
    expect(JSON.parse(notice.data)).toEqual({
      topics: {
        "one lost": { ...lost, recovered: false },
        "one whole": { ...whole, recovered: true },
      },
    });
    // The id does not count what is still to come, in case the connection is cut right here.
    expect(notice.id).toBe(
      `${idOfPosition("one lost", lost)}&${idOfPosition("one whole", { ...whole, offset: 1 })}`,
    );
    expect(await stream.takeTexts(2)).toEqual(["one whole: m2", "one whole: m3"]);
    await expectNothingElse(relay, stream, "one lost");
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
  ])("because its id is invalid, %j, receives a notice for all its topics", async (lastEventId) => {
    const top = await relay.publishMany("told", 1);
    const silent = await relay.publishMany("told too", 1);
    const url = withTopics(await registerStream(relay), "told", "told too");
    await expectNotice(url, lastEventId, {
      told: { ...top, recovered: false },
      "told too": { ...silent, recovered: false },
    });
  });

  test("because the history of its topic was evicted receives a notice", async () => {
    await using small = await startRelay({ BATON_HISTORY_BYTES: "65536" });
    const url = withTopics(await registerStream(small), "evicted");
    const stream = await EventStream.open(url);
    await small.publish("evicted", "m1");
    const { id } = await stream.next();
    await leaveStream(small, stream, url);
    const flood = Array.from({ length: 200 }, (_, i) => ({ topic: `t${i}`, message: "m" }));
    await small.post("/publish", flood);
    const back = await EventStream.open(url, { lastEventId: id });
    const notice = await back.next();
    expect(notice.event).toBe("");
    expect(JSON.parse(notice.data).topics.evicted).toMatchObject({
      offset: 0,
      recovered: false,
    });
    await small.publish("evicted", "m2");
    expect(await back.takeTexts(1)).toEqual(["evicted: m2"]);
  });

  test("because its topic keeps no history receives a notice", async () => {
    const stream = await EventStream.open(withTopics(await registerStream(relay), "typing:t"), {
      lastEventId: "typing%3At=abcdefgh:1",
    });
    expect(await stream.next()).toEqual({
      id: "",
      event: "",
      data: '{"topics":{"typing:t":{"recovered":false}}}',
    });
    await expectNothingElse(relay, stream, "typing:t");
  });
});
