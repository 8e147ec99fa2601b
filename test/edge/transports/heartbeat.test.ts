// Heartbeats over real sockets and streams: when the first ping comes, and ?heartbeat=.
import { expect, test } from "bun:test";
import { EventStream } from "../../support/clients/event-stream";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

/** A ping without data, as a server sends it (RFC 6455, section 5.5.2). */
const PING = "\x89\x00";

test("no ping comes together with the answer to the handshake, whatever the format", async () => {
  await using relay = await startRelay();
  for (const query of ["", "?format=json", "?format=json&heartbeat=1"]) {
    const raw = await RawSocket.open(relay.port);
    const { pathname } = new URL(await relay.register());
    raw.write(
      `GET ${pathname}${query} HTTP/1.1\r\nHost: relay.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    await until("the handshake", () => raw.received.includes("\r\n\r\n"));
    expect([query, raw.received.endsWith("\r\n\r\n")]).toEqual([query, true]);
    if (query.includes("json")) {
      await until("the first ping", () => raw.received.endsWith(PING));
    }
    raw.drop();
  }
});

test("?heartbeat= is the longest time for which a stream or a socket is quiet", async () => {
  await using relay = await startRelay();
  const { sse, url } = (await relay.post("/register", { user_id: 1 })).json;
  const { sse: other } = (await relay.post("/register", { user_id: 2 })).json;
  const stream = await EventStream.open(`${other}?topics=a&heartbeat=1`);
  const socket = new WebSocket(`${url}?heartbeat=1`);
  let pings = 0;
  socket.addEventListener("ping" as "message", () => pings++);
  await stream.until("two comments", ({ comments }) => comments.length >= 2);
  await until("a ping", () => pings > 0);
  socket.close();
  await stream.close();
  expect(sse).toContain("/sse/");
});

test("?heartbeat= is refused with 422 outside of 1 to BATON_PING_MS, on sockets and streams", async () => {
  await using relay = await startRelay({ BATON_PING_MS: "10000" });
  for (const value of ["0", "11", "-1", "1.5", "x", "", "1e1", "99999999999999999999"]) {
    const { url, sse } = (await relay.post("/register", { user_id: 1 })).json;
    for (const address of [url.replace("ws:", "http:"), sse]) {
      const { status, json } = await relay.request(
        "GET",
        `${new URL(address).pathname}?heartbeat=${value}`,
      );
      expect([value, status, json.error.code]).toEqual([value, 422, "invalid_query"]);
      expect(json.error.message).toContain("from 1 to 10");
    }
  }
  const { sse } = (await relay.post("/register", { user_id: 1 })).json;
  await (await EventStream.open(`${sse}?heartbeat=10`)).close();
});

test("a client whose frame comes a byte at a time is closed, because it answers no ping meanwhile", async () => {
  await using relay = await startRelay({ BATON_PING_MS: "100", BATON_PONG_MS: "100" });
  const raw = await RawSocket.upgrade(await relay.register());
  let isOpen = true;
  void raw.closed.then(() => (isOpen = false));
  // The head of a text frame of 65,535 bytes, masked with zeros.
  raw.write(new Uint8Array([0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0]));
  await until("the socket to be closed", () => {
    raw.write("x");
    return !isOpen;
  });
  expect(relay.counts.connections).toBe(0);
});
