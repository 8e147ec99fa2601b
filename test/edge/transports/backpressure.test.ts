// Slow consumers on sockets that really stall. Rows D1, D2, D3 and D8 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { SECRET, token } from "../../support/centrifuge/sdk";
import { RawSocket } from "../../support/clients/raw-socket";
import { withTls } from "../../support/machine/authority";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const LIMIT = 262_144;
const MESSAGE = "x".repeat(16_384);

describe.each([
  ["without TLS", () => ({})],
  ["with TLS", () => withTls()],
])("%s", (_, tls) => {
  test("a socket whose client stops reading is closed, others receive everything in order, and memory stays bounded", async () => {
    await using relay = await startRelay({ ...tls(), BATON_BACKPRESSURE_BYTES: String(LIMIT) });
    const healthy = await relay.connect("healthy");
    const stalled = await Promise.all(
      [1, 2, 3].map(async (user) => RawSocket.upgrade(await relay.register(user))),
    );
    for (const raw of stalled) raw.pause();
    const before = process.memoryUsage.rss();
    let published = 0;
    while (relay.counts.connections > 1) {
      const message = `${published++} ${MESSAGE}`;
      await relay.publish("tech", message);
      expect(await healthy.next()).toBe(message);
      if (published > 5_000) throw new Error("the stalled readers were never closed");
    }
    // Three times the limit without the kernel's buffers, and room for the test itself.
    expect(process.memoryUsage.rss() - before).toBeLessThan(3 * LIMIT + 100_000_000);
    await relay.publish("tech", "after");
    expect(await healthy.next()).toBe("after");
    await until("the log line", () => slowLines(relay.log) === 3);
    for (const raw of stalled) raw.drop();
  });

  test("a socket whose client stops reading while only its user is published to is closed with 4008 after what fits", async () => {
    await using relay = await startRelay({ ...tls(), BATON_BACKPRESSURE_BYTES: String(LIMIT) });
    const other = await relay.connect("other");
    const raw = await RawSocket.upgrade(await relay.register("slow"));
    raw.pause();
    let delivered = 0;
    while ((await relay.publish("tech", `${delivered} ${MESSAGE}`, "slow")) === 1) delivered++;
    raw.resume();
    for (let i = 0; i < delivered; i++) {
      expect((await raw.nextFrame()).payload.toString()).toBe(`${i} ${MESSAGE}`);
    }
    const { opcode, payload } = await raw.nextFrame();
    expect([opcode, payload.readUInt16BE(0)]).toEqual([8, 4008]);
    expect(slowLines(relay.log)).toBe(1);
    expect(await other.rest()).toEqual([]);
    raw.drop();
  });

  test("a socket whose client sends garbage and reads no answers is closed", async () => {
    await using relay = await startRelay({
      ...tls(),
      BATON_BACKPRESSURE_BYTES: "65536",
      BATON_CONNECTION_FRAMES_MAX: "10000000",
    });
    const raw = await RawSocket.upgrade(await relay.register());
    raw.pause();
    await until("the socket to be closed", () => {
      for (let i = 0; i < 500; i++) raw.frame(1, "garbage");
      return relay.counts.connections === 0;
    });
    raw.drop();
  });

  /** The first command of a Centrifuge client of this user. */
  const connectCommands = async (user: string) =>
    JSON.stringify({
      id: 1,
      connect: { token: await token({ sub: user, channels: ["tech"] }) },
    });

  const startWithTokens = (): Promise<TestRelay> =>
    startRelay({ ...tls(), BATON_BACKPRESSURE_BYTES: String(LIMIT), BATON_TOKEN_SECRET: SECRET });

  test("a Centrifuge socket whose client stops reading is closed with 3008 after what fits", async () => {
    await using relay = await startWithTokens();
    const raw = await RawSocket.upgrade(`${relay.url}/connection/websocket`);
    raw.frame(1, await connectCommands("slow"));
    expect((await raw.nextFrame()).payload.toString()).toContain('"connect":');
    raw.pause();
    let delivered = 0;
    while ((await relay.publish("tech", `${delivered} ${MESSAGE}`, "slow")) === 1) delivered++;
    raw.resume();
    for (let i = 0; i < delivered; i++) {
      expect((await raw.nextFrame()).payload.toString()).toContain(`"${i} ${MESSAGE}"`);
    }
    const { opcode, payload } = await raw.nextFrame();
    expect([opcode, payload.readUInt16BE(0)]).toEqual([8, 3008]);
    await until("the log line", () => slowLines(relay.log) === 1);
    raw.drop();
  });

  test("a client that asks for more at once than may wait for it is sent all of it as it reads", async () => {
    await using relay = await startRelay({
      ...tls(),
      ...PUSHER_ENV,
      BATON_BACKPRESSURE_BYTES: String(LIMIT),
      BATON_MESSAGE_BYTES: "131072",
    });
    const channels = Array.from({ length: 100 }, (_, i) => `cache-${i}`);
    const last = "x".repeat(120_000);
    for (const channel of channels) await relay.publish(channel, last);
    const raw = await RawSocket.upgrade(`${relay.url}/app/${APP.key}`);
    raw.pause();
    for (const channel of channels) {
      raw.frame(1, JSON.stringify({ event: "pusher:subscribe", data: { channel } }));
    }
    raw.frame(1, '{"event":"pusher:ping"}');
    // The kernel takes some of the answers for a client that does not read, and not all.
    let answered = 0;
    await until("no more answers", () => {
      const before = answered;
      answered = relay.counts.topics;
      return (answered > 0 && answered === before) || relay.counts.connections === 0;
    });
    expect(relay.counts.connections).toBe(1);
    raw.resume();
    const events: string[] = [];
    do events.push(JSON.parse((await raw.nextFrame()).payload.toString()).event);
    while (events.at(-1) !== "pusher:pong");
    expect(events.filter((event) => event === "message").length).toBe(channels.length);
    expect(slowLines(relay.log)).toBe(0);
    raw.drop();
  });

  test("a Centrifuge stream whose client stops reading is cut off without what was buffered for it", async () => {
    await using relay = await startWithTokens();
    const raw = await RawSocket.reach(relay.url);
    const body = await connectCommands("slow");
    raw.write(
      `POST /connection/http_stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await raw.until('"connect":');
    raw.pause();
    let delivered = 0;
    while ((await relay.publish("tech", `${delivered} ${MESSAGE}`, "slow")) === 1) delivered++;
    expect(slowLines(relay.log)).toBe(1);
    raw.resume();
    const rest = await raw.untilClosed();
    expect(rest).not.toContain(`"${delivered - 1} `);
    // A complete response would end with an empty chunk.
    expect(rest).not.toEndWith("\r\n0\r\n\r\n");
  });
});

function slowLines(log: readonly string[]): number {
  return log.filter((line) => line.includes("slow consumer closed")).length;
}
