// Which topics a stream has: those of its query, of its registration, or the default ones.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream } from "../../../support/clients/event-stream";
import {
  connectStream,
  leaveStream,
  refusalOf,
  registerStream,
  withTopics,
} from "../../../support/relay/stream-calls";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("the topics of a stream", () => {
  test("are those of its query, each once", async () => {
    const stream = await connectStream(relay, ["q1", "q2", "q1"]);
    expect(await relay.publish("q1", "m")).toBe(1);
    expect(await relay.publish("q2", "m")).toBe(1);
    expect(await relay.publish("tech", "m")).toBe(0);
    expect(await stream.takeTexts(2)).toEqual(["q1: m", "q2: m"]);
    await stream.close();
  });

  test("are those of its registration if the query names none, also when it resumes", async () => {
    const url = await registerStream(relay, 1, ["with, comma", "r2"]);
    const stream = await EventStream.open(url);
    await relay.publish("r2", "m1");
    await relay.publish("with, comma", "m1");
    expect(await stream.takeTexts(2)).toEqual(["r2: m1", "with, comma: m1"]);
    const { lastEventId } = stream;
    await leaveStream(relay, stream, url);
    await relay.publish("r2", "m2");
    const back = await EventStream.open(url, { lastEventId });
    expect(await back.takeTexts(1)).toEqual(["r2: m2"]);
    await leaveStream(relay, back, url);
    const other = await EventStream.open(withTopics(url, "instead"));
    expect(await relay.publish("r2", "m3")).toBe(0);
    expect(await relay.publish("instead", "m")).toBe(1);
    expect(await other.takeTexts(1)).toEqual(["instead: m"]);
  });

  test("are BATON_DEFAULT_TOPICS if neither the query nor the registration names any", async () => {
    await using own = await startRelay({ BATON_DEFAULT_TOPICS: "d1,d2" });
    const stream = await EventStream.open(await registerStream(own));
    await own.publish("d2", "m");
    await own.publish("d1", "m");
    expect(await stream.takeTexts(2)).toEqual(["d2: m", "d1: m"]);
  });

  test("may be an empty list", async () => {
    for (const url of [
      `${await registerStream(relay)}?topics=`,
      await registerStream(relay, 1, []),
    ]) {
      const stream = await EventStream.open(url);
      expect(stream.lastEventId).toBe("");
      expect(await relay.publish("tech", "m")).toBe(0);
      await leaveStream(relay, stream, url);
    }
  });

  test("are at most as many as BATON_CONNECTION_TOPICS_MAX allows", async () => {
    await using small = await startRelay({ BATON_CONNECTION_TOPICS_MAX: "3" });
    const url = await registerStream(small);
    const { status, code } = await refusalOf(withTopics(url, "a", "b", "c", "d"));
    expect([status, code]).toEqual([422, "too_many_topics"]);
    const stream = await EventStream.open(withTopics(url, "a", "b", "c", "c"));
    await small.publish("c", "m");
    expect(await stream.takeTexts(1)).toEqual(["c: m"]);
  });

  test("are refused if one is not a valid name, and the registration can still be used", async () => {
    const url = await registerStream(relay);
    for (const list of [",", "a,,b", "a%00", "a%0a", "x".repeat(256), "é".repeat(128)]) {
      const { status, code } = await refusalOf(`${url}?topics=${list}`);
      expect([list, status, code]).toEqual([list, 422, "invalid_topic"]);
    }
    await (await EventStream.open(url)).close();
  });

  test("are refused if their positions would not fit into the header Last-Event-ID", async () => {
    const names = (count: number, length: number) =>
      Array.from({ length: count }, (_, i) => `${i}`.padEnd(length, "é"));
    // By registration, so that only the id counts: 40 bytes each, and 32 for the position.
    const refused = await refusalOf(await registerStream(relay, 1, names(120, 12)));
    expect([refused.status, refused.code]).toEqual([422, "too_many_topics"]);
    // By query, where the address counts too.
    const url = await registerStream(relay);
    const both = await refusalOf(withTopics(url, ...names(60, 18)));
    expect([both.status, both.code]).toEqual([422, "too_many_topics"]);
  });

  test.each([["registration"], ["query"]])(
    "in a %s, as many as are just allowed, can be resumed by a browser with cookies",
    async (way) => {
      await using plenty = await startRelay({ BATON_CONNECTION_TOPICS_MAX: "1000" });
      const register1 = (topics?: string[]) => registerStream(plenty, 1, topics);
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
      await leaveStream(plenty, stream, url);
      await plenty.publish(topics[0] as string, "m");
      const headers = { cookie: "x".repeat(3_000) };
      const back = await EventStream.open(url, { lastEventId, headers });
      expect(await back.takeTexts(1)).toEqual(["topic 0: m"]);
    },
    120_000,
  );
});

test("a stream may choose the same topics as a socket of its registration, and no others", async () => {
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
