// Requests for streams: what they are answered, and which are refused. Rows A18, B9, E1 and I1 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream } from "../../../support/clients/event-stream";
import { RawSocket } from "../../../support/clients/raw-socket";
import {
  connectStream,
  leaveStream,
  refusalOf,
  registerStream,
} from "../../../support/relay/stream-calls";
import { idOf, startRelay, type TestRelay } from "../../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("a request for a stream", () => {
  test("is answered by an event stream that no cache or proxy may keep", async () => {
    const stream = await EventStream.open(await registerStream(relay), {
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

  test("tells streams to reconnect after different times", async () => {
    const streams = await Promise.all(
      Array.from({ length: 10 }, () => connectStream(relay, ["r"])),
    );
    expect(new Set(streams.map(({ retries }) => retries[0])).size).toBeGreaterThan(5);
    for (const stream of streams) await stream.close();
  });

  test.each([
    "topics=a&format=json&format=json",
    "since=a&since=a",
    "format=xml",
    "format=plain",
    "format=__proto__",
    "Topics=a",
    "topics[]=a",
    "topic=a",
    "Since=a",
    "topics=%ff",
    "topics=%ED%A0%80",
    "topics=100%",
    "since=%c3",
  ])("with ?%s is refused with 422, and the registration can still be used", async (text) => {
    const url = await registerStream(relay);
    const { status, code } = await refusalOf(`${url}?${text}`);
    expect([status, code]).toEqual([422, "invalid_query"]);
    await (await EventStream.open(url)).close();
  });

  test("may have a query in raw UTF-8, as curl sends it", async () => {
    const url = await registerStream(relay);
    const raw = await RawSocket.open(relay.port);
    raw.write(`GET ${new URL(url).pathname}?topics=café HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n`);
    await raw.until("id: caf%C3%A9=");
    expect(await relay.publish("café", "m")).toBe(1);
    raw.drop();
  });

  test("with HEAD is answered by the headers of a stream, and opens none", async () => {
    const url = await registerStream(relay);
    const { pathname } = new URL(url);
    const { status, headers, text } = await relay.request("HEAD", pathname);
    expect([status, text]).toEqual([200, ""]);
    expect(headers.get("content-type")).toStartWith("text/event-stream");
    const socket = await relay.request("GET", `/ws/${idOf(url)}?format=json`);
    expect([relay.isConnected(url), socket.status]).toEqual([false, 426]);
  });

  test("with another method than GET and HEAD gets 405", async () => {
    const { pathname } = new URL(await registerStream(relay));
    for (const method of ["POST", "PUT", "DELETE"]) {
      const { status, headers } = await relay.request(method, pathname);
      expect([status, headers.get("allow")]).toEqual([405, "GET"]);
    }
  });

  test("from a page of another origin is refused with 403 if BATON_ORIGINS is set", async () => {
    const home = "https://app.example.com";
    await using strict = await startRelay({ BATON_ORIGINS: home });
    const url = await registerStream(strict);
    for (const origin of [
      "https://evil.example",
      "null",
      `${home}.evil.example`,
      "http://app.example.com",
    ]) {
      const { status, code, headers } = await refusalOf(url, { headers: { origin } });
      expect([status, code]).toEqual([403, "forbidden_origin"]);
      expect(headers.get("access-control-allow-origin")).toBeNull();
    }
    expect(strict.counts).toEqual({ connections: 0, registrations: 1, topics: 0 });
    const stream = await EventStream.open(url, { headers: { origin: home } });
    expect(stream.headers.get("access-control-allow-origin")).toBe(home);
    // Without an Origin, it does not come from a browser.
    await (await EventStream.open(await registerStream(strict))).close();
  });

  test("beyond BATON_CONNECTIONS_MAX is refused with 503, until a place is free", async () => {
    await using full = await startRelay({ BATON_CONNECTIONS_MAX: "1" });
    const [first, second] = [await registerStream(full), await registerStream(full, 2)];
    const stream = await EventStream.open(first);
    const { status, code, headers } = await refusalOf(second);
    expect([status, code, headers.get("retry-after")]).toEqual([503, "too_many_connections", "5"]);
    // A registration may replace its own stream.
    const again = await EventStream.open(first);
    expect(await stream.closed).toBe("ended");
    await leaveStream(full, again, first);
    await (await EventStream.open(second)).close();
  });

  test("beyond BATON_USER_CONNECTIONS_MAX is refused with 429", async () => {
    await using full = await startRelay({ BATON_USER_CONNECTIONS_MAX: "2" });
    const urls = await Promise.all([1, "1", 1, 2].map((user) => registerStream(full, user)));
    const [first, second, third, other] = urls as [string, string, string, string];
    for (const url of [first, second, other]) await EventStream.open(url);
    const { status, code, headers } = await refusalOf(third);
    expect([status, code]).toEqual([429, "too_many_user_connections"]);
    expect(headers.get("retry-after")).toBe("5");
    await EventStream.open(second);
    expect(full.counts.connections).toBe(3);
  });
});
