// The blocks of a stream, for clients that follow the standard less closely than browsers: to many of them each block is
// an event, also one that has no data (httpx-sse, r3labs/sse, sseclient, Spring).
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream, rawStream } from "../../support/clients/event-stream";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_PING_MS: "20", BATON_PONG_MS: "1000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

async function register(): Promise<string> {
  return (await relay.post("/register", { user_id: 1 })).json.sse;
}

/** The blocks in an answer as it came over TCP, in chunks (RFC 9112, section 7.1). */
function blocksIn(answer: string): string[] {
  const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
  const text = body.replace(/(?:^|\r\n)[\da-f]+\r\n/g, "").replace(/\r\n$/, "");
  return text.split("\n\n").slice(0, -1);
}

const withoutComments = (block: string) => block.replace(/^: \n/gm, "");

describe("a block of a stream", () => {
  test("has data, except the first one, which has the retry time and the positions", async () => {
    const raw = await rawStream(`${await register()}?topics=blocks`);
    const comments = () => raw.received.split("\n: \n").length - 1;
    await until("comments", () => comments() > 3);
    await relay.publish("blocks", "m1");
    await until("m1", () => raw.received.includes("data: m1\nid: "));
    const seen = comments();
    await until("more comments", () => comments() > seen + 3);
    await relay.publish("blocks", "m2");
    await until("m2", () => raw.received.includes("data: m2\nid: "));
    const blocks = blocksIn(raw.received).map(withoutComments);
    expect(blocks).toHaveLength(3);
    expect(blocks[0]).toMatch(/^retry: \d{4}\nid: blocks=[a-z]+:0$/);
    raw.drop();
  });

  test("ends with its id, because several libraries keep the id of a block that was cut, and would resume behind it", async () => {
    const raw = await rawStream(`${await register()}?topics=ends`);
    await until("the first block", () => raw.received.includes("\n\n"));
    await relay.publish("ends", "m1\nm2");
    await until("the event", () => /id: ends=[a-z]+:1\n\n/.test(raw.received));
    const lines = blocksIn(raw.received).map((block) => withoutComments(block).split("\n"));
    expect(lines.map((block) => block.at(-1)?.slice(0, 9))).toEqual(["id: ends=", "id: ends="]);
    raw.drop();
  });

  test("with positions=event is an event even without a publication, because several libraries ignore the id of a block without data", async () => {
    const stream = await EventStream.open(`${await register()}?topics=named&positions=event`);
    const [first, ...others] = await stream.take(1);
    expect([first?.event, first?.data, others]).toEqual(["$positions", "", []]);
    expect(first?.id).toMatch(/^named=[a-z]+:0$/);
    await relay.publish("named", "m");
    expect(await stream.takeTexts(1)).toEqual(["named: m"]);
    await stream.close();
  });

  test("refuses positions that are not an event", async () => {
    const response = await fetch(`${await register()}?positions=block`);
    const { error } = (await response.json()) as { error: { code: string } };
    expect([response.status, error.code]).toEqual([422, "invalid_query"]);
  });

  test("has the retry time if it is the first one with data, because some clients ignore a retry time without data", async () => {
    const url = await register();
    const stream = await EventStream.open(`${url}?topics=retried,other`);
    const [retry] = stream.retries as [number];
    for (const topic of ["retried", "other", "retried"]) await relay.publish(topic, "m");
    await stream.take(3);
    expect(stream.retries).toEqual([retry, retry]);
    await stream.close();

    await until("the relay to notice the drop", () => relay.counts.connections === 0);
    const lost = await EventStream.open(url, { lastEventId: "nonsense" });
    expect((await lost.next()).data).toContain('"recovered":false');
    expect(lost.retries).toHaveLength(1);
    await lost.close();
  });
});

test("a client with ?max_bytes= gets a block's end after 16 comments, which count for it", async () => {
  const url = await register();
  const raw = await rawStream(`${url}?topics=quiet&format=json&max_bytes=8192`);
  const comments = () => raw.received.split(": \n").length - 1;
  await until("comments", () => comments() >= 40);
  const runs = blocksIn(raw.received).map((block) => block.split(": ").length - 1);
  expect(runs.length).toBeGreaterThanOrEqual(2);
  expect(Math.max(...runs)).toBeLessThanOrEqual(16);
  raw.drop();
});
