// History that clients of sessions read: it is bounded, and a client can always go on after what it was given.
import { expect, test } from "bun:test";
import { SessionClient } from "../../support/centrifuge/session-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

/** Reads a topic's history page by page, as a client does that takes the last offset for where to go on. */
async function readAll(client: SessionClient, reverse: boolean): Promise<string[][]> {
  const pages: string[][] = [];
  const { history: top } = await client.ask("history", { channel: "t", limit: 0 });
  for (let since: object | undefined; ; ) {
    const asked = { channel: "t", limit: 100, reverse, ...(since && { since }) };
    const { history } = await client.ask("history", asked);
    const { publications = [] } = history;
    if (publications.length === 0) return pages;
    pages.push(publications.map(({ data }: { data: string }) => data));
    since = { offset: publications.at(-1).offset, epoch: top.epoch };
  }
}

async function publishAll(relay: TestRelay, messages: readonly string[], user_id?: string) {
  for (const message of messages) {
    expect((await relay.post("/publish", { topic: "t", message, user_id })).status).toBe(200);
  }
}

test.each([false, true])(
  "a history of large messages is read in pages that fit the connection, newest first: %p",
  async (reverse) => {
    await using relay = await startRelay({ BATON_BACKPRESSURE_BYTES: "100000" });
    const messages = Array.from({ length: 20 }, (_, i) => String(i).padEnd(30_000));
    await publishAll(relay, messages);
    const pages = await readAll(await SessionClient.connect(relay), reverse);
    for (const page of pages) expect(page.join("").length).toBeLessThanOrEqual(100_000);
    expect(pages.flat()).toEqual(reverse ? messages.toReversed() : messages);
  },
);

test.each([false, true])(
  "a history with many publications for others in a row is read to its end, newest first: %p",
  async (reverse) => {
    await using relay = await startRelay({ BATON_HISTORY_SIZE: "1000" });
    const numbers = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => String(from + i));
    await publishAll(relay, ["a", "b"]);
    await publishAll(relay, numbers(0, 250), "somebody else");
    await publishAll(relay, ["c"]);
    await publishAll(relay, numbers(0, 150), "somebody else");
    const pages = await readAll(await SessionClient.connect(relay), reverse);
    expect(pages.flat()).toEqual(reverse ? ["c", "b", "a"] : ["a", "b", "c"]);
  },
);
