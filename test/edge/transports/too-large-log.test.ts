// Messages that are too large for a client's library: what the log says about them.
import { expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const CLOSE = 8;
const REASON = "Text message too large: 40,040 > 32,768";

/** A client that closes after the first message, as its library does when a message is over its limit. */
async function refuseMessages(relay: TestRelay, user: number, reason = REASON): Promise<void> {
  const raw = await RawSocket.upgrade(await relay.register(user));
  await relay.publish("tech", "x".repeat(40_000));
  raw.frame(CLOSE, Buffer.concat([Buffer.from([1009 >> 8, 1009 & 255]), Buffer.from(reason)]));
  await until("the relay to notice", () => relay.counts.connections === 0);
  raw.drop();
}

const warnings = ({ log }: TestRelay) =>
  log.map((line) => JSON.parse(line)).filter(({ level, msg }) => level === 40 && /1009/.test(msg));

test("a client that closes because a message is too large for it is logged, with the size and the setting to change", async () => {
  await using relay = await startRelay();
  await refuseMessages(relay, 7);
  expect(warnings(relay)).toMatchObject([
    { user: "7", reason: REASON, lastLargeFrameBytes: 40_000 },
  ]);
  expect(warnings(relay)[0].msg).toContain("BATON_MESSAGE_BYTES");
});

test("clients that close for this reason again and again are logged once a minute each, and at most 20 of them", async () => {
  await using relay = await startRelay();
  for (let i = 0; i < 3; i++) await refuseMessages(relay, 7);
  expect(warnings(relay)).toHaveLength(1);
  for (let user = 100; user < 125; user++) await refuseMessages(relay, user);
  expect(warnings(relay)).toHaveLength(20);
});

test("the close reason of a client cannot forge a line of the log", async () => {
  await using relay = await startRelay();
  await refuseMessages(relay, 7, "a\nb\u202e");
  expect(warnings(relay)[0].reason).toBe("a\\u000ab\\u202e");
});
