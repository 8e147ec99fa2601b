// A relay that speaks TLS itself: real clients of every wire over it, and what it negotiates.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { EventSource } from "eventsource";
import { WebSocket as WsSocket } from "ws";
import { recordEvents, SECRET, sdk, token, type Wire } from "../../support/centrifuge/sdk";
import { EventStream } from "../../support/clients/event-stream";
import { JsonClient } from "../../support/clients/json-client";
import { trustedAuthority, withTls } from "../../support/machine/authority";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { within } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ ...withTls(), BATON_TOKEN_SECRET: SECRET });
});
afterAll(() => relay[Symbol.asyncDispose]());

test("its address and those of POST /register begin with https:// and wss://", async () => {
  expect(relay.url).toStartWith("https://");
  const { url, sse } = await relay.registration(1);
  const { host } = new URL(relay.url);
  expect(url).toStartWith(`wss://${host}/ws/`);
  expect(sse).toStartWith(`https://${host}/sse/`);
});

test("a plain socket, a JSON socket and a stream get a publication", async () => {
  const plain = await relay.connect("plain", ["news"]);
  const json = await JsonClient.connect(relay, "json");
  await json.choose(["news"]);
  const { sse } = await relay.registration("stream", ["news"]);
  const stream = await EventStream.open(sse);
  expect(await relay.publish("news", "hello")).toBe(3);
  expect(await plain.next()).toBe("hello");
  expect((await json.next()).data).toBe("hello");
  expect((await stream.next()).data).toBe("hello");
  stream.close();
});

test("the libraries ws and eventsource get a publication", async () => {
  const ca = readFileSync(trustedAuthority().ca);
  const { url } = await relay.registration("ws", ["news"]);
  const socket = new WsSocket(url, { ca });
  const opened = new Promise((resolve) => socket.on("open", resolve));
  const frame = new Promise((resolve) => socket.on("message", (bytes) => resolve(String(bytes))));
  await within("ws to open", opened);
  const { sse } = await relay.registration("eventsource", ["news"]);
  const events = new EventSource(sse, { fetch });
  const event = new Promise((resolve) => events.addEventListener("news", resolve));
  await within("EventSource to open", new Promise((resolve) => (events.onopen = resolve)));
  await relay.publish("news", "for libraries");
  expect(await within("the frame", frame)).toBe("for libraries");
  expect(await within("the event", event)).toMatchObject({ data: "for libraries" });
  events.close();
  socket.terminate();
});

test.each<Wire>([
  "websocket",
  "websocket in protobuf",
  "http_stream",
  "http_stream in protobuf",
  "sse",
])("Centrifuge's SDK gets a publication by %s", async (wire) => {
  const client = sdk(relay.url, wire, {
    token: await token({ sub: "1", channels: ["news"] }),
    eventsource: class extends EventSource {
      constructor(url: string) {
        super(url, { fetch });
      }
    },
  });
  const subscribed = recordEvents(client, "subscribed");
  const publications = recordEvents(client, "publication");
  client.connect();
  await subscribed.next();
  await relay.publish("news", JSON.stringify({ from: wire }));
  expect(await publications.next()).toMatchObject({ data: JSON.stringify({ from: wire }) });
  client.disconnect();
});

test("curl publishes", async () => {
  const curl = Bun.spawn(
    ["curl", "-sS", "--cacert", trustedAuthority().ca, `${relay.url}/publish`].concat([
      "-H",
      "content-type: application/json",
      "-d",
      '{"topic":"news","message":"x"}',
    ]),
    { stdout: "pipe" },
  );
  expect(JSON.parse(await curl.stdout.text())).toMatchObject({ offset: expect.any(Number) });
});

describe("negotiates", () => {
  const negotiate = (
    minVersion: "TLSv1" | "TLSv1.2",
    maxVersion: "TLSv1.1" | "TLSv1.2" | "TLSv1.3",
  ) =>
    within(
      "a handshake",
      new Promise<string | null>((resolve, reject) => {
        const socket = connect(
          { port: relay.port, host: "127.0.0.1", minVersion, maxVersion },
          () => {
            resolve(socket.getProtocol());
            socket.destroy();
          },
        );
        socket.on("error", reject);
      }),
    );

  test("TLS 1.3 and 1.2, and nothing older", async () => {
    expect(await negotiate("TLSv1.2", "TLSv1.3")).toBe("TLSv1.3");
    expect(await negotiate("TLSv1.2", "TLSv1.2")).toBe("TLSv1.2");
    expect(negotiate("TLSv1", "TLSv1.1")).rejects.toThrow(/protocol/i);
  });
});

test("a client that speaks no TLS is closed, and others are served", async () => {
  expect(fetch(`http://127.0.0.1:${relay.port}/health`)).rejects.toThrow();
  expect((await relay.request("GET", "/health")).status).toBe(200);
});

test("the metrics say when the certificate expires", async () => {
  const { text } = await relay.request("GET", "/metrics");
  const [, seconds] = /^baton_tls_certificate_expiry_timestamp_seconds (\d+)$/m.exec(text) ?? [];
  const days = (Number(seconds) - Date.now() / 1_000) / 86_400;
  expect(Math.round(days)).toBe(20);
});
