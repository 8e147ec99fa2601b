// Streams whose clients stop reading. Rows D1 and D4 of the fault catalogue.
import { describe, expect, spyOn, test } from "bun:test";
import { EventStream, eventsIn, rawStream } from "../../../support/clients/event-stream";
import { RawSocket } from "../../../support/clients/raw-socket";
import { registerStream } from "../../../support/relay/stream-calls";
import { startRelay } from "../../../support/relay/test-relay";
import { until } from "../../../support/wait";

describe("a stream whose client stops reading", () => {
  const LIMIT = 262_144;
  const MESSAGE = "x".repeat(16_384);
  const numberOf = ({ data }: { data: string }) => Number.parseInt(data, 10);

  test("is closed while others receive everything, memory stays bounded, and it resumes from what it has read", async () => {
    await using own = await startRelay({
      BATON_BACKPRESSURE_BYTES: String(LIMIT),
      BATON_HISTORY_SIZE: "10000",
    });
    const healthy = await EventStream.open(await registerStream(own, "healthy"));
    const urls = await Promise.all(["s1", "s2", "s3"].map((user) => registerStream(own, user)));
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
    // What history keeps, three times the limit, and room for the test itself.
    const kept = 2 * published * MESSAGE.length;
    expect(process.memoryUsage.rss() - before).toBeLessThan(kept + 3 * LIMIT + 100_000_000);
    await until("the log lines", () => own.slowConsumerLines.length === 3);
    expect(JSON.parse(own.slowConsumerLines[0] as string)).toMatchObject({ level: 40 });
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
  }, 120_000);

  test("is closed too if only its user is published to", async () => {
    await using own = await startRelay({ BATON_BACKPRESSURE_BYTES: String(LIMIT) });
    const raw = await rawStream(await registerStream(own, "slow"));
    raw.pause();
    let delivered = 0;
    while ((await own.publish("tech", `${delivered} ${MESSAGE}`, "slow")) === 1) delivered++;
    expect(own.slowConsumerLines).toHaveLength(1);
    expect(own.counts).toEqual({ connections: 0, registrations: 1, topics: 0 });
    raw.drop();
  });

  test("while it recovers is waited for, and closed by the heartbeat alone", async () => {
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
    const url = await registerStream(own);
    const raw = await rawStream(url, [`Last-Event-ID: tech=${epoch}:0`]);
    raw.pause();
    await until("the stream to be closed", () => own.counts.connections === 0);
    expect(own.slowConsumerLines).toEqual([]);
    expect(own.log.some((line) => JSON.parse(line).code === 4012)).toBe(true);
    raw.resume();
    const { events, lastEventId } = eventsIn(await raw.untilClosed());
    expect(events.length).toBeLessThan(1_000);
    const back = await EventStream.open(url, { lastEventId });
    expect(await back.take(1_000 - events.length)).toHaveLength(1_000 - events.length);
    expect(back.lastEventId).toBe(`tech=${epoch}:1000`);
  });

  test("is closed by the heartbeat if the topic is quiet from then on", async () => {
    await using own = await startRelay({
      BATON_PING_MS: "60",
      BATON_PONG_MS: "60",
      BATON_BACKPRESSURE_BYTES: "100000000",
    });
    const raw = await rawStream(await registerStream(own));
    raw.pause();
    await own.publishUntilBuffered("tech", () => MESSAGE);
    await until("the stream to be closed", () => own.counts.connections === 0);
    expect(own.counts.registrations).toBe(1);
    raw.drop();
  });

  test("is closed by the heartbeat if nothing of what waits for it is read", async () => {
    await using own = await startRelay({
      BATON_PING_MS: "60",
      BATON_PONG_MS: "60",
      BATON_BACKPRESSURE_BYTES: "100000000",
    });
    const raw = await RawSocket.open(own.port);
    const { pathname } = new URL(await registerStream(own));
    raw.write(`GET ${pathname} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
    await raw.until("retry");
    raw.pause();
    await own.publishUntilBuffered("tech", () => "x".repeat(60_000));
    await until("the stream to be closed", () => own.counts.connections === 0);
    expect(own.counts.registrations).toBe(1);
    raw.drop();
  });

  test("receives everything if the client goes on reading in time", async () => {
    await using own = await startRelay({ BATON_BACKPRESSURE_BYTES: "100000000" });
    const raw = await rawStream(await registerStream(own));
    raw.pause();
    await own.publishUntilBuffered("tech", (number) => `${number} ${MESSAGE}`);
    raw.resume();
    await own.publish("tech", "last");
    await raw.until("data: last\n");
    expect(own.counts.connections).toBe(1);
    expect(own.slowConsumerLines).toEqual([]);
    raw.drop();
  });

  test("in a session has more time for its pong once it reads on", async () => {
    await using own = await startRelay({
      BATON_ANONYMOUS: "1",
      BATON_BACKPRESSURE_BYTES: "100000000",
    });
    const raw = await RawSocket.open(own.port);
    const body = '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"tech"}}';
    raw.write(
      `POST /connection/http_stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await raw.until('"id":2');
    raw.pause();
    await own.publishUntilBuffered("tech", () => MESSAGE);
    // relay.test.ts says what becomes of its pong.
    const drained = spyOn(own.running.relay, "drained");
    expect(drained).not.toHaveBeenCalled();
    raw.resume();
    await until("the relay to notice", () => drained.mock.calls.length > 0);
    drained.mockRestore();
    raw.drop();
  });
});
