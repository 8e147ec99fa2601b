// Rows A20 and B7 of the fault catalogue: what one client sends without waiting for answers must not keep others from being served.
import { expect, test } from "bun:test";
import { TurnShare } from "../../../src/edge/access/turn-share";
import { Client } from "../../support/clients/client";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay } from "../../support/relay/test-relay";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Keeps the loop busy for longer than a turn may take. */
function busy(): void {
  const end = performance.now() + 5;
  while (performance.now() < end);
}

test("the free items of a turn are handled whatever they cost, and further ones only for a while", async () => {
  const share = new TurnShare(8);
  expect(Array.from({ length: 16 }, () => share.take())).not.toContain(false);
  busy();
  expect(share.take()).toBe(false);
  await nextTurn();
  expect(share.take()).toBe(true);
});

test("the free items are as many in a turn that comes after others", async () => {
  const share = new TurnShare(16);
  for (let i = 0; i < 15; i++) share.take();
  await nextTurn();
  for (let i = 0; i < 16; i++) {
    expect(share.take()).toBe(true);
    busy();
  }
});

test("an item that may take long counts as several", async () => {
  const share = new TurnShare(16);
  expect(share.take(100)).toBe(true);
  busy();
  expect(share.take()).toBe(false);
  await nextTurn();
  expect(share.take()).toBe(true);
});

test("each turn has a share of its own", async () => {
  const share = new TurnShare(16);
  for (let turn = 0; turn < 40; turn++) {
    expect(share.take()).toBe(true);
    busy();
    await nextTurn();
  }
});

test("A20: a client that sends requests without waiting for answers is cut off, and others are served", async () => {
  await using relay = await startRelay();
  const raw = await RawSocket.open(relay.port);
  raw.write("GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000));
  const answers = (await raw.untilClosed()).split("HTTP/1.1 200").length - 1;
  expect(answers).toBeLessThan(10_000);
  expect((await relay.request("GET", "/health")).status).toBe(200);
});

test("B7: a client that sends frames without end does not hold up others", async () => {
  await using relay = await startRelay();
  const raw = await RawSocket.upgrade(await relay.register());
  const topics = Array.from({ length: 128 }, (_, i) => `${i}`.padStart(200, "x"));
  const other = await Client.open(await relay.register());
  for (let i = 0; i < 200; i++) raw.frame(1, JSON.stringify({ topics }));
  await raw.closed;
  await relay.publish("tech", "hi");
  expect(await other.next()).toBe("hi");
  other.drop();
});
