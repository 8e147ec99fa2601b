// Deliveries around a recovery: under load, with except, and of large messages. Row C8 of the fault catalogue.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { JsonClient } from "../../support/clients/json-client";
import { RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_TOPICS_FILE: topicsFile({ "deep:": { history_size: 5_000 } }) });
});
afterAll(() => relay[Symbol.asyncDispose]());

test("except keeps the live publication from a client, not the recovered one", async () => {
  const url = await relay.register();
  const client = await JsonClient.open(relay, url);
  const { except: start } = await client.choose(["except"]);
  const other = await JsonClient.connect(relay);
  await other.choose(["except"]);
  const answer = await relay.post("/publish", {
    topic: "except",
    message: "m1",
    except: idOf(url),
  });
  expect(answer.json).toMatchObject({ delivered: 1, offset: 1 });
  expect(await other.takeTexts(1)).toEqual(["m1 at 1"]);
  await client.expectNothingElse();
  await client.leave();
  const back = await JsonClient.open(relay, url);
  expect((await back.choose(["except"], { except: start })).except.recovered).toBe(true);
  expect(await back.takeTexts(1)).toEqual(["m1 at 1"]);
});

test("a thousand publications while a client resumes arrive once and in order", async () => {
  const start = await relay.publishMany("deep:c8", 1_000);
  const url = await relay.register();
  let offset = 0;
  for (let round = 0; round < 5; round++) {
    const client = await JsonClient.open(relay, url);
    const publishing = Array.from({ length: 200 }, (_, i) =>
      relay.publish("deep:c8", `m${start.offset + 200 * round + i + 1}`),
    );
    client.send({ topics: ["deep:c8"], since: { "deep:c8": { ...start, offset } } });
    expect((await client.next()).topics["deep:c8"].recovered).toBe(true);
    await Promise.all(publishing);
    const missed = 1_000 + 200 * (round + 1) - offset;
    const frames = await client.takeTexts(missed);
    const expected = Array.from({ length: missed }, (_, i) => offset + i + 1);
    expect(frames.map((frame) => Number(frame.split(" at ")[1]))).toEqual(expected);
    await client.expectNothingElse();
    offset += missed - 50; // as if the last 50 had been lost on the way
    await client.leave();
  }
});

test("a message larger than BATON_BACKPRESSURE_BYTES is sent to a client that has read everything before it", async () => {
  await using tight = await startRelay({ BATON_BACKPRESSURE_BYTES: "20000" });
  const large = "x".repeat(60_000);
  const { json } = await tight.post("/publish", { topic: "large", message: large });
  const since = { large: { offset: 0, epoch: json.epoch } };
  const client = await JsonClient.connect(tight, 1);
  client.send({ topics: ["large"], since });
  expect((await client.next()).topics.large.recovered).toBe(true);
  expect((await client.next()).data).toBe(large);
  const path = `/sse/${idOf(await tight.register(1))}?topics=large`;
  const stream = await RawSocket.open(tight.port);
  stream.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nLast-Event-ID: large=${json.epoch}:0\r\n\r\n`,
  );
  expect(await stream.until("x\nid: ")).toContain(large);
  for (const user of [undefined, 1]) {
    expect(await tight.publish("large", `${large}y`, user)).toBe(2);
    expect((await client.next()).data).toBe(`${large}y`);
    expect(await stream.until("y\nid: ")).toContain(large);
  }
  stream.drop();
});
