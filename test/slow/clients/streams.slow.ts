// What takes its time with Server-Sent Events: quiet streams, streams that have ended, and many stalled readers.
// Rows D1, D5 and H4 of the fault catalogue.
import { expect, test } from "bun:test";
import { EventStream, eventsIn, rawStream } from "../../support/clients/event-stream";
import { memoryKb, openFiles } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** The address for the stream of a new registration. */
async function register(
  relay: RelayProcess,
  user: number | string,
  topics: readonly string[],
): Promise<string> {
  const answer = await relay.post("/register", { user_id: user, topics });
  return ((await answer.json()) as { sse: string }).sse;
}

test("H4: a quiet stream lives longer than the 10 s after which Bun ends a response", async () => {
  await using relay = await RelayProcess.start();
  const stream = await EventStream.open(await register(relay, 1, ["quiet"]));
  let end: string | undefined;
  stream.closed.then((how) => {
    end = how;
  });
  const begun = performance.now();
  // The first comment comes after BATON_PING_MS.
  const hasBeenQuiet = () => performance.now() - begun > 26_000 && stream.comments.length > 0;
  await until("26 s to pass, and a comment", hasBeenQuiet);
  expect(end).toBeUndefined();
  expect(await relay.publish("quiet", "m")).toBe(1);
  expect((await stream.next()).data).toBe("m");
});

test("a stream that has ended leaves no TCP connection, whether its peer reads or stalls", async () => {
  // The connections of this test's own requests are not to count for long.
  await using relay = await RelayProcess.start({
    BATON_BACKPRESSURE_BYTES: "16777216",
    BATON_KEEP_ALIVE_MS: "1000",
  });
  const before = openFiles(relay.pid);
  const urls = await Promise.all(
    Array.from({ length: 16 }, (_, i) => register(relay, i, [i % 2 === 0 ? "read" : "stalled"])),
  );
  const raws = await Promise.all(urls.map((url) => rawStream(url)));
  for (const [i, raw] of raws.entries()) if (i % 2 === 1) raw.pause();
  // More than the kernel takes, so that some of it is left in the relay.
  for (let i = 0; i < 150; i++) expect(await relay.publish("stalled", "x".repeat(60_000))).toBe(8);
  expect(await relay.publish("read", "m")).toBe(8);
  expect(openFiles(relay.pid)).toBeGreaterThanOrEqual(before + 16);
  for (const url of urls) {
    const { status } = await fetch(url.replace("/sse/", "/register/"), { method: "DELETE" });
    expect(status).toBe(200);
  }
  // One of them may belong to this test's own requests.
  await until("the connections to be closed", () => openFiles(relay.pid) <= before + 1);
  for (const [i, raw] of raws.entries()) {
    if (i % 2 === 1) raw.resume();
    const { whole } = eventsIn(await raw.untilClosed());
    expect(whole).toBe(i % 2 === 0);
  }
});

test("D5: 100 streams that stall at once cost the limit each, and 10 that read get everything", async () => {
  const LIMIT = 1_048_576;
  const PADDING = "x".repeat(16_000);
  await using relay = await RelayProcess.start({
    BATON_BACKPRESSURE_BYTES: String(LIMIT),
    BATON_HISTORY_SIZE: "10",
  });
  // With two topics, so that each stream is sent bytes of its own.
  const open = async (user: string) => rawStream(await register(relay, user, ["a", "b"]));
  const healthy = await Promise.all(
    Array.from({ length: 10 }, async (_, i) =>
      EventStream.open(await register(relay, `healthy ${i}`, ["a", "b"])),
    ),
  );
  const stalled = await Promise.all(Array.from({ length: 100 }, (_, i) => open(`stalled ${i}`)));
  for (const raw of stalled) raw.pause();
  const before = memoryKb(relay.pid);
  let peak = before;
  let published = 0;
  for (let delivered = 110; delivered > 10; published++) {
    const topic = published % 2 === 0 ? "a" : "b";
    delivered = await relay.publish(topic, `${published} ${PADDING}`);
    peak = Math.max(peak, memoryKb(relay.pid));
    for (const stream of healthy) {
      const { event, data } = await stream.next();
      expect([event, Number.parseInt(data, 10)]).toEqual([topic, published]);
    }
    if (published > 2_000) throw new Error("the stalled streams were never ended");
  }
  expect((peak - before) / 100).toBeLessThan((2.5 * LIMIT) / 1_024);
  const closed = () => relay.lines.filter(({ msg }) => msg === "slow consumer closed").length;
  await until("a line in the log for each of them", () => closed() >= 100);
  expect(closed()).toBe(100);
  expect(relay.lines.filter(({ level }) => level > 40)).toEqual([]);
  for (const raw of stalled) raw.drop();
});
