// Streams while they are open, and when the relay shuts down. Row F1 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream, eventsIn, rawStream } from "../../../support/clients/event-stream";
import { RawSocket } from "../../../support/clients/raw-socket";
import {
  connectStream,
  expectNothingElse,
  registerStream,
  withTopics,
} from "../../../support/relay/stream-calls";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { until, within } from "../../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("an open stream", () => {
  test("receives comments as pings, which no client sees", async () => {
    await using brisk = await startRelay({ BATON_PING_MS: "20", BATON_PONG_MS: "20" });
    const url = await registerStream(brisk);
    const stream = await EventStream.open(url);
    await stream.until("comments", ({ comments }) => comments.length >= 20);
    expect(stream.rest()).toEqual([]);
    await brisk.publish("tech", "m");
    expect(await stream.takeTexts(1)).toEqual(["tech: m"]);
    expect([brisk.isConnected(url), stream.faults]).toEqual([true, []]);
  });

  test("receives comments with a space, since a client library takes the line after an empty one for its text", async () => {
    await using brisk = await startRelay({ BATON_PING_MS: "20", BATON_PONG_MS: "20" });
    const stream = await EventStream.open(await registerStream(brisk));
    await stream.until("comments", ({ comments }) => comments.length >= 3);
    expect(new Set(stream.comments)).toEqual(new Set([" "]));
  });

  test("receives no comments between two pings", async () => {
    const stream = await connectStream(relay, ["calm"]);
    await expectNothingElse(relay, stream, "calm");
    expect(stream.comments).toEqual([]);
  });

  test("leaves nothing behind but its registration, which can still be used", async () => {
    await using own = await startRelay();
    const urls = await Promise.all(
      Array.from({ length: 30 }, (_, i) => registerStream(own, i, [`t${i % 3}`, "all"])),
    );
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all(urls.map((url) => EventStream.open(url)));
      expect(own.counts).toEqual({ connections: 30, registrations: 0, topics: 4 });
      expect(await own.publish("all", "m")).toBe(30);
      for (const stream of streams) await stream.close();
      await until("the streams to be gone", () => own.counts.connections === 0);
      expect(own.counts).toEqual({ connections: 0, registrations: 30, topics: 0 });
      expect(await own.publish("all", "m")).toBe(0);
    }
    const gone = own.log.filter((line) => line.includes('"msg":"connection closed"'));
    expect(gone).toHaveLength(90);
    for (const url of urls) await own.unregister(url);
    expect(own.counts).toEqual({ connections: 0, registrations: 0, topics: 0 });
  });

  test("leaves nothing behind but its registration if its client drops before it begins", async () => {
    await using own = await startRelay();
    const urls = await Promise.all(Array.from({ length: 50 }, () => registerStream(own)));
    for (const [i, url] of urls.entries()) {
      const raw = await RawSocket.open(own.port);
      const { pathname, search } = new URL(withTopics(url, "left"));
      raw.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
      if (i % 2 === 0) raw.reset();
      else raw.drop();
    }
    await until("the connections to be gone", () => !urls.some((url) => own.isConnected(url)));
    expect(await own.publish("left", "m")).toBe(0);
  });

  test("receives all of 200 messages once and in order, next to 999 others of the topic", async () => {
    await using own = await startRelay({ BATON_LOG_LEVEL: "info" });
    const raws: RawSocket[] = [];
    while (raws.length < 1_000) {
      const batch = Array.from({ length: 100 }, async (_, k) =>
        rawStream(
          await registerStream(own, raws.length + k, ["crowd", ...(k % 2 === 0 ? ["alone"] : [])]),
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
    const last = /data: m199\n(id: .*\n)?\n\r\n$/;
    await until(
      "all streams to have everything",
      () => raws.every((raw) => last.test(raw.received.slice(-200))),
      120_000,
    );
    for (const raw of raws) {
      const { events, faults } = eventsIn(raw.received);
      expect([events.map(({ data }) => data).join(), faults]).toEqual([expected, []]);
      raw.drop();
    }
    await until("all streams to be gone", () => own.counts.connections === 0);
    expect(own.counts).toEqual({ connections: 0, registrations: 1_000, topics: 0 });
    expect(own.log).toEqual([]);
  }, 120_000);
});

describe("a shutdown", () => {
  test("ends the streams, which may reconnect soon", async () => {
    const own = await startRelay();
    const streams = await Promise.all(
      Array.from({ length: 5 }, async () => EventStream.open(await registerStream(own))),
    );
    await own.publish("tech", "m");
    await own.running.shutdown();
    for (const stream of streams) {
      expect(await stream.closed).toBe("ended");
      expect(await stream.takeTexts(1)).toEqual(["tech: m"]);
      expect(new Set(stream.retries).size).toBe(1);
    }
  });

  test("does not wait for a stream whose client does not read", async () => {
    const own = await startRelay();
    const raw = await rawStream(await registerStream(own));
    raw.pause();
    await own.publishUntilBuffered("tech", () => "x".repeat(60_000));
    // Its heartbeat would end it after 35 s.
    await within("the shutdown", own.running.shutdown(), 20_000);
    raw.drop();
  });
});
