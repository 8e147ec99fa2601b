// Pusher clients that come back while a process shuts down: they do not notice a refused handshake for 15 seconds, so they are accepted, are
// sent nothing, and are closed when the process ends.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { PusherClient } from "../../support/pusher/socket-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { within } from "../../support/wait";

const ROOM = 2;

let relay: TestRelay;
beforeEach(async () => {
  relay = await startRelay({ ...PUSHER_ENV, BATON_CONNECTIONS_MAX: String(ROOM) });
});
afterEach(() => relay[Symbol.asyncDispose]());

const open = (path = `/app/${APP.key}?protocol=7`) =>
  Client.open(relay.url.replace("http", "ws") + path);

test("a client that comes back in a shutdown is accepted and sent nothing, and closed at the end of the process", async () => {
  const before = await PusherClient.open(relay.url);
  await before.subscribed("news");
  relay.running.relay.beginShutdown();
  const held = await open();
  held.send({ event: "pusher:ping", data: {} });
  held.send({ event: "pusher:subscribe", data: { channel: "news" } });
  expect(await held.rest()).toEqual([]);
  expect(relay.counts.topics).toBe(1);
  await relay.running.shutdown();
  expect((await within("the close of the first", before.closed)).code).toBe(1001);
  expect((await within("the close of the second", held.closed)).code).toBe(1001);
  await expect(PusherClient.open(relay.url)).rejects.toThrow();
});

test("no more of them are accepted than BATON_CONNECTIONS_MAX, and one that goes makes room", async () => {
  relay.running.relay.beginShutdown();
  const held = await Promise.all(Array.from({ length: ROOM }, () => open()));
  await expect(open()).rejects.toThrow();
  expect(relay.counts.connections).toBe(ROOM);
  await held[0]?.close();
  expect(await (await open()).rest()).toEqual([]);
});

test("a wrong key still ends with its error, and other clients are refused", async () => {
  relay.running.relay.beginShutdown();
  const unknown = await open("/app/other?protocol=7");
  expect(JSON.parse(await unknown.next()).data.code).toBe(4001);
  expect((await within("the close", unknown.closed)).code).toBe(4001);
  await expect(open("/connection/websocket")).rejects.toThrow();
});

test("none of them is closed shortly before the end of a process, to come back shortly after it, but at the end", async () => {
  await using larger = await startRelay({ ...PUSHER_ENV, BATON_SHUTDOWN_MS: "200" });
  for (let i = 0; i < 10; i++) await larger.connect(i);
  for (let i = 0; i < 10; i++) await PusherClient.open(larger.url);
  const ends: string[] = [];
  larger.running.relay.connections.onEnd(({ protocol }) => ends.push(protocol.name));
  await larger.running.shutdown();
  expect(ends).toEqual([...Array(10).fill("plain"), ...Array(10).fill("pusher")]);
});
