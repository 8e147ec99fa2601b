// Streams and requests over HTTP/2, and WebSockets on the same port over HTTP/1.1.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { readSettings } from "../../../src/settings/read";
import { EventParser } from "../../support/clients/event-parser";
import { withTls } from "../../support/machine/authority";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until, within } from "../../support/wait";

const LIMIT = 262_144;

let relay: TestRelay;
let session: ClientHttp2Session;
beforeEach(async () => {
  relay = await startRelay({
    ...withTls(),
    BATON_HTTP2: "1",
    BATON_BACKPRESSURE_BYTES: String(LIMIT),
  });
  session = await open();
});
afterEach(async () => {
  session.destroy();
  await relay[Symbol.asyncDispose]();
});

function open(): Promise<ClientHttp2Session> {
  const opened = new Promise<ClientHttp2Session>((resolve, reject) => {
    const one = connect(relay.url);
    one.on("connect", () => resolve(one));
    one.on("error", reject);
  });
  return within("an HTTP/2 connection", opened);
}

/** One request, and what is answered. */
function request(method: string, path: string, body?: string) {
  const sent = session.request({
    ":method": method,
    ":path": path,
    ...(body !== undefined && { "content-type": "application/json" }),
  });
  const answer = new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    let status: number | undefined;
    let text = "";
    sent.on("response", (headers) => {
      status = headers[":status"];
    });
    sent.on("data", (bytes) => {
      text += bytes;
    });
    sent.on("end", () => resolve({ status, text }));
    sent.on("error", reject);
  });
  sent.end(body);
  return within("an answer", answer);
}

class Stream {
  readonly #stream: ClientHttp2Stream;
  readonly #parser = new EventParser();
  hasClosed = false;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    stream.on("data", (bytes: Buffer) => this.#parser.push(bytes.toString()));
    stream.on("error", () => {});
    stream.on("close", () => {
      this.hasClosed = true;
    });
  }

  static async open(of: ClientHttp2Session, user: string): Promise<Stream> {
    const { sse } = await relay.registration(user, ["news"]);
    const stream = new Stream(of.request({ ":path": new URL(sse).pathname }));
    await until("the stream to begin", () => stream.#parser.retries.length > 0);
    return stream;
  }

  async next(): Promise<string> {
    await until("an event", () => this.#parser.events.length > 0);
    return String(this.#parser.events.shift()?.data);
  }

  pause(): void {
    this.#stream.pause();
  }

  cancel(): void {
    this.#stream.close();
  }
}

test("many streams share one connection, and each gets every publication once and in order", async () => {
  const streams: Stream[] = [];
  for (let i = 0; i < 50; i++) streams.push(await Stream.open(session, `user ${i % 7}`));
  for (const message of ["1", "2", "3"]) expect(await relay.publish("news", message)).toBe(50);
  for (const stream of streams) {
    for (const message of ["1", "2", "3"]) expect(await stream.next()).toBe(message);
  }
});

test("a WebSocket on the same port speaks HTTP/1.1", async () => {
  const client = await relay.connect("socket", ["news"]);
  await relay.publish("news", "hello");
  expect(await client.next()).toBe("hello");
});

test("POST is answered as over HTTP/1.1, and a body over the limit is refused", async () => {
  const body = JSON.stringify({ topic: "news", message: "x" });
  expect(await request("POST", "/publish", body)).toMatchObject({ status: 200 });
  const registered = await request("POST", "/register", '{"user_id":1}');
  expect(JSON.parse(registered.text).sse).toStartWith(`${relay.url}/sse/`);
  const large = JSON.stringify({ topic: "news", message: "x".repeat(2_000_000) });
  expect(await request("POST", "/publish", large)).toMatchObject({ status: 413 });
});

test("a request that wants to become a socket is refused", async () => {
  const { pathname } = new URL(await relay.register());
  expect((await request("GET", pathname)).status).toBe(426);
});

test("a stream that is cancelled, and a connection that ends, are noticed", async () => {
  const cancelled = await Stream.open(session, "cancelled");
  const other = await open();
  await Stream.open(other, "other");
  expect(relay.counts.connections).toBe(2);
  cancelled.cancel();
  await until("the cancelled stream to go", () => relay.counts.connections === 1);
  other.destroy();
  await until("the other stream to go", () => relay.counts.connections === 0);
});

test("a stream that is not read is ended at its limit, and those of other connections get everything", async () => {
  const stalled = await open();
  const slow = await Stream.open(stalled, "slow");
  const healthy = await Stream.open(session, "healthy");
  slow.pause();
  const before = process.memoryUsage.rss();
  let published = 0;
  while (relay.counts.connections > 1) {
    const message = `${published++} ${"x".repeat(16_384)}`;
    await relay.publish("news", message);
    expect(await healthy.next()).toBe(message);
    if (published > 2_000) throw new Error("the stalled stream was never ended");
  }
  expect(process.memoryUsage.rss() - before).toBeLessThan(2 * LIMIT + 100_000_000);
  expect(relay.slowConsumerLines).toHaveLength(1);
  stalled.destroy();
});

test("at a shutdown streams end, and the connection is told that it ends", async () => {
  const stream = await Stream.open(session, "1");
  const goaway = new Promise((resolve) => session.on("goaway", resolve));
  await relay.running.shutdown();
  expect(await within("GOAWAY", goaway)).toBe(0);
  await until("the stream to end", () => stream.hasClosed);
});

describe("BATON_HTTP2", () => {
  test("needs a certificate", () => {
    expect(() => readSettings({ BATON_HTTP2: "1" })).toThrow("BATON_HTTP2=1 needs BATON_TLS_CERT");
  });

  test("is off unless it is set", async () => {
    await using plain = await startRelay(withTls());
    const refused = new Promise((resolve) => connect(plain.url).on("error", resolve));
    expect(await within("an error", refused)).toBeDefined();
  });
});
