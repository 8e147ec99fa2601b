// A connection may be cut at any byte, also in the middle of a write that carries many events: a client that resumes from
// the last event that it has received whole gets the rest, once and in order.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { EventParser } from "../../../support/clients/event-parser";
import { chunksIn, EventStream, rawStream } from "../../../support/clients/event-stream";
import { Folder } from "../../../support/machine/folder";
import { leaveStream, registerStream, withTopics } from "../../../support/relay/stream-calls";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { until } from "../../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

interface Sent {
  readonly topic: number;
  /** For whom; undefined for all. */
  readonly user: "own" | "other" | undefined;
  readonly text: string;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  topic: fc.nat(2),
  user: fc.constantFrom(undefined, undefined, undefined, "own", "other"),
  text: fc.constantFrom("m", "é\nü", "", "中".repeat(20)),
});

const requests = fc.array(fc.array(sent, { minLength: 1, maxLength: 20 }), {
  minLength: 1,
  maxLength: 4,
});

/** Publishes requests with many publications each, and resolves with what the user "own" is to receive. */
async function publish(to: TestRelay, all: readonly (readonly Sent[])[], topics: string[]) {
  const due: string[] = [];
  for (const request of all) {
    const body = request.map(({ topic, user, text }) => {
      const message = `${due.length} ${text}`;
      if (user !== "other") due.push(`${topics[topic]}: ${message}`);
      return { topic: topics[topic], message, ...(user !== undefined && { user_id: user }) };
    });
    expect((await to.post("/publish", body)).status).toBe(200);
  }
  return due;
}

/** What a client has received when the body is cut at this byte. */
function receivedUpTo(body: Buffer, byte: number) {
  const parser = new EventParser();
  parser.push(new TextDecoder().decode(body.subarray(0, byte), { stream: true }));
  const texts = parser.events.map(({ event, data }) => `${event}: ${data}`);
  return { texts, lastEventId: parser.lastEventId };
}

/** Each topic is recovered by itself, so only the order within a topic must be the same. */
function expectSame(texts: readonly string[], due: readonly string[], topics: readonly string[]) {
  for (const topic of topics) {
    const inTopic = (list: readonly string[]) =>
      list.filter((text) => text.startsWith(`${topic}:`));
    expect(inTopic(texts)).toEqual(inTopic(due));
  }
}

let runs = 0;

test("a stream that is cut at any byte resumes without a gap or a duplicate", async () => {
  await fc.assert(
    fc.asyncProperty(
      requests,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }),
      async (all, cuts) => {
        const topics = [0, 1, 2].map((number) => `cut ${runs} ${number}`);
        runs++;
        const url = withTopics(await registerStream(relay, "own"), ...topics);
        const raw = await rawStream(url);
        await until("the first block", () => raw.received.includes("\n\n"));
        const due = await publish(
          relay,
          [...all, [{ topic: 0, user: undefined, text: "last" }]],
          topics,
        );
        await until("the last event", () => / last\nid: .*\n\n/.test(raw.received));
        raw.drop();
        await until("the relay to notice", () => !relay.isConnected(url));
        const body = Buffer.concat(chunksIn(raw.received));
        const begun = body.indexOf("\n\n") + 2;
        for (const cut of cuts) {
          const byte = begun + Math.floor(cut * (body.length - begun));
          const { texts, lastEventId } = receivedUpTo(body, byte);
          expect(texts).toEqual(due.slice(0, texts.length));
          const back = await EventStream.open(url, { lastEventId });
          expectSame(
            await back.takeTexts(due.length - texts.length),
            due.slice(texts.length),
            topics,
          );
          await relay.publish(topics[1] as string, "marker");
          due.push(`${topics[1]}: marker`);
          expect(await back.takeTexts(1)).toEqual(due.slice(-1));
          await leaveStream(relay, back, url);
        }
      },
    ),
    { numRuns: 25 },
  );
}, 120_000);

test("a stream that was cut in the middle of a write resumes at a relay that was restarted", async () => {
  using folder = new Folder();
  const env = { BATON_ENGINE: `sqlite:${folder.path}/baton.db` };
  const topics = ["r0", "r1", "r2"];
  const step = Array.from({ length: 12 }, (_, i): Sent => {
    return { topic: i % 3, user: i % 4 === 3 ? "own" : undefined, text: "m" };
  });
  let body = Buffer.alloc(0);
  let due: string[] = [];
  {
    await using first = await startRelay(env);
    const raw = await rawStream(withTopics(await registerStream(first, "own"), ...topics));
    due = await publish(first, [step], topics);
    await until("the last event", () => /data: 11 m\nid: .*\n\n/.test(raw.received));
    body = Buffer.concat(chunksIn(raw.received));
    raw.drop();
  }
  const { texts, lastEventId } = receivedUpTo(body, body.indexOf("data: 7 m") + 4);
  expect(texts).toEqual(due.slice(0, 7));
  await using second = await startRelay(env);
  const url = withTopics(await registerStream(second, "own"), ...topics);
  const back = await EventStream.open(url, { lastEventId });
  const rest = await back.takeTexts(due.length - 7);
  expectSame(rest, due.slice(7), topics);
});
