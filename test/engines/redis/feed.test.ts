// A feed under any interleaving of messages, duplicates, losses, pauses and new epochs, against a server that is a list.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Feed } from "../../../src/engines/redis/following/feed";
import type { ReceivedPublication } from "../../../src/engines/redis/server/wire";
import type { HistoryPage, HistoryRange } from "../../../src/relay/contracts/engine";
import type { Publication } from "../../../src/relay/contracts/publication";

/** How many publications the server keeps: a larger gap cannot be closed. */
const HISTORY_SIZE = 6;

/** The server: one topic, and the channel towards the node. */
class Server {
  epoch = "e0";
  /** All publications of this epoch. */
  log: Publication[] = [];
  /** On its way to the node. */
  readonly channel: ReceivedPublication[] = [];
  #epochs = 0;
  #publishes = 0;

  publish(): ReceivedPublication {
    const offset = this.log.length + 1;
    const data = `${this.epoch}.${offset}`;
    const publication = { topic: "t", data, offset, epoch: this.epoch };
    this.log.push(publication);
    const received = { publication, publish: ++this.#publishes };
    this.channel.push(received);
    return received;
  }

  newEpoch(): void {
    this.epoch = `e${++this.#epochs}`;
    this.log = [];
  }

  get top() {
    return { epoch: this.epoch, offset: this.log.length };
  }

  read = async (_: string, { since = 0, limit }: HistoryRange): Promise<HistoryPage> => {
    const first = Math.max(since, this.log.length - HISTORY_SIZE);
    return { top: this.top, publications: this.log.slice(first, first + limit) };
  };
}

/** A node that follows the topic as FollowedTopics does, but in steps: other things may happen between those of one sync. */
class Node {
  readonly feed: Feed;
  readonly events: (Publication | "reset")[] = [];
  /** Publishes whose publications were received, and those that the feed has accounted for. */
  readonly received = new Set<number>();
  readonly accounted = new Set<number>();
  #isReset = false;
  #sync: (() => Promise<void>) | undefined;
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
    this.feed = new Feed("t", {
      inOrder: ({ publication, publish }) => {
        expect(this.#isReset).toBe(false);
        this.events.push(publication);
        if (publish !== 0) this.accounted.add(publish);
      },
      discarded: ({ publish }) => this.accounted.add(publish),
      historyReset: () => {
        this.events.push("reset");
        this.#isReset = true;
      },
      gap: () => expect(this.feed.isLive).toBe(false),
    });
  }

  /** Asks the server for the position of the topic; `finish` does the rest. */
  ask(): void {
    if (this.feed.isLive || this.#sync !== undefined) return;
    this.feed.positionRequested();
    const { top } = this.#server;
    this.#sync = async () => {
      const isFirst = this.feed.position === undefined;
      if (isFirst) this.feed.seek(top);
      const at = this.feed.position ?? top;
      const { epoch, log } = this.#server;
      const isKept = epoch === at.epoch && log.length - HISTORY_SIZE <= at.offset;
      const isClosable = at.epoch === top.epoch && (at.offset === top.offset || isKept);
      const beyond = await this.feed.closeGap(top, this.#server.read, () => false);
      // What it has received meanwhile may close a gap that the history cannot.
      if (isClosable) expect(beyond).toBeUndefined();
      if (beyond !== undefined && isFirst) this.feed.seek(beyond);
      else if (beyond !== undefined) this.feed.reset(beyond);
      this.#isReset = false;
      this.feed.resume(beyond ?? top);
    };
  }

  async finish(): Promise<void> {
    const sync = this.#sync;
    this.#sync = undefined;
    await sync?.();
  }

  /** A new connection: what was on its way is gone. */
  reconnect(): void {
    this.#sync = undefined;
    this.feed.pause();
    this.feed.releaseWaiters();
    this.feed.dropBuffered();
    this.#server.channel.length = 0;
  }

  /** The next message comes once, several times or not at all. */
  receive(times: number): void {
    const received = this.#server.channel.shift();
    if (received === undefined) return;
    for (let i = 0; i < times; i++) this.#apply(received);
  }

  /** An older message comes again. */
  repeat(received: ReceivedPublication | undefined): void {
    if (received !== undefined) this.#apply(received);
  }

  #apply(received: ReceivedPublication): void {
    this.received.add(received.publish);
    this.feed.apply(received);
  }
}

type Step =
  | { do: "publish"; count: number }
  | { do: "receive"; times: number }
  | { do: "repeat"; which: number }
  | { do: "ask" | "finish" | "reconnect" | "newEpoch" | "pause" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("publish"), count: fc.nat(4) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("receive"), times: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("repeat"), which: fc.nat(50) }) },
  ...(["ask", "finish"] as const).map((name) => ({
    weight: 4,
    arbitrary: fc.record({ do: fc.constant(name) }),
  })),
  ...(["reconnect", "newEpoch", "pause"] as const).map((name) => ({
    weight: 1,
    arbitrary: fc.record({ do: fc.constant(name) }),
  })),
) as fc.Arbitrary<Step>;

/** Each publication once and in order, and no gap without a reset before it. */
function check(events: readonly (Publication | "reset")[]): void {
  const seen = new Set<string>();
  let last: Publication | undefined;
  let wasReset = true;
  for (const event of events) {
    if (event === "reset") {
      wasReset = true;
      continue;
    }
    expect(seen.has(event.data)).toBe(false);
    seen.add(event.data);
    if (!wasReset) {
      expect(event.epoch).toBe(last?.epoch as string);
      expect(event.offset).toBe((last?.offset ?? 0) + 1);
    } else if (last !== undefined && event.epoch === last.epoch) {
      expect(event.offset).toBeGreaterThan(last.offset ?? 0);
    }
    wasReset = false;
    last = event;
  }
}

test("G3, G5, G8, G10: a feed passes on each publication once and in order, or reports a reset", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const server = new Server();
      const node = new Node(server);
      const all: ReceivedPublication[] = [];
      for (const one of steps) {
        switch (one.do) {
          case "publish":
            for (let i = 0; i < one.count; i++) all.push(server.publish());
            break;
          case "receive":
            node.receive(one.times);
            break;
          case "repeat":
            node.repeat(all[one.which]);
            break;
          case "newEpoch":
            server.newEpoch();
            break;
          case "pause":
            node.feed.pause();
            break;
          default:
            await node[one.do]();
        }
      }
      // When messages are no longer lost, a few syncs bring the feed to where the server is.
      while (server.channel.length > 0) node.receive(1);
      for (let syncs = 0; !node.feed.isLive; syncs++) {
        expect(syncs).toBeLessThan(4);
        node.ask();
        await node.finish();
      }
      // Only a comparison with the server finds that the last messages were lost.
      const { position } = node.feed;
      if (position?.epoch !== server.epoch || position.offset !== server.top.offset) {
        node.feed.pause();
        node.ask();
        await node.finish();
      }
      expect(node.feed.position).toEqual(server.top);
      const next = server.publish();
      node.receive(1);
      expect(node.events.at(-1)).toEqual(next.publication);
      check(node.events);
      expect(node.accounted).toEqual(node.received);
    }),
    { numRuns: 3_000 },
  );
});

describe("Feed", () => {
  const publication = (offset: number, epoch = "e"): Publication => ({
    topic: "t",
    data: `${epoch}${offset}`,
    offset,
    epoch,
  });
  const received = (offset: number, epoch?: string): ReceivedPublication => ({
    publication: publication(offset, epoch),
    publish: offset,
  });
  const make = () => {
    const events: string[] = [];
    const feed = new Feed("t", {
      inOrder: ({ publication: { data } }) => events.push(data),
      discarded: ({ publish }) => events.push(`not id${publish}`),
      historyReset: () => events.push("reset"),
      gap: () => events.push("gap"),
    });
    return { feed, events };
  };

  test("a feed begins at its first position, with what it has buffered since", () => {
    const { feed, events } = make();
    feed.apply(received(4));
    feed.apply(received(5));
    feed.seek({ epoch: "e", offset: 5 });
    feed.resume({ epoch: "e", offset: 5 });
    expect(events).toEqual(["e4", "e5"]);
  });

  test("a feed of a topic that is followed again passes on nothing twice, though it starts at an earlier offset", () => {
    const { feed, events } = make();
    feed.position = { epoch: "e", offset: 8 };
    for (const offset of [8, 9]) feed.apply(received(offset));
    feed.seek({ epoch: "e", offset: 5 }, { epoch: "e", offset: 9 });
    feed.resume({ epoch: "e", offset: 9 });
    expect(events).toEqual(["not id8", "e9"]);
  });

  test("a feed passes on publications without an offset as they come, and never sees a gap", () => {
    const { feed, events } = make();
    const { topic } = feed;
    feed.seek(undefined);
    feed.resume(undefined);
    for (const data of ["a", "b"]) feed.apply({ publication: { topic, data }, publish: 0 });
    // Another node numbers them, because its rules keep a history of the topic.
    for (const offset of [5, 9]) feed.apply(received(offset));
    expect(events).toEqual(["a", "b", "e5", "e9"]);
  });

  test("G10: a feed discards a publication that it has passed on before", () => {
    const { feed, events } = make();
    feed.seek({ epoch: "e", offset: 0 });
    feed.resume({ epoch: "e", offset: 0 });
    for (const offset of [1, 1, 2, 1, 2]) feed.apply(received(offset));
    expect(events).toEqual(["e1", "not id1", "e2", "not id1", "not id2"]);
  });

  test.each(["old", "new"])(
    "a feed discards what the server does not have: the rest of an epoch that has ended, or a forgery (%s)",
    (epoch) => {
      const { feed, events } = make();
      const top = { epoch: "new", offset: 3 };
      feed.seek(top);
      feed.resume(top);
      feed.apply(received(7, epoch));
      expect(events).toEqual(["gap"]);
      feed.positionRequested();
      feed.resume(top);
      expect(events).toEqual(["gap", "not id7"]);
      expect(feed.isLive).toBe(true);
    },
  );

  test("G5: a feed reports a reset and goes back when the server has fewer publications than it has passed on", () => {
    const { feed, events } = make();
    feed.seek({ epoch: "e", offset: 5 });
    feed.reset({ epoch: "e", offset: 3 });
    feed.resume({ epoch: "e", offset: 3 });
    feed.apply(received(4));
    expect(events).toEqual(["reset", "e4"]);
  });

  test("a feed buffers no more than its bound, and reads the rest later", async () => {
    const { feed, events } = make();
    for (let offset = 1; offset <= 1_500; offset++) feed.apply(received(offset));
    expect(events).toHaveLength(1_000);
    const long = { ...publication(1_501), data: "x".repeat(1_048_577) };
    feed.apply({ publication: long, publish: 0 });
    expect(events).toHaveLength(1_500);
    feed.seek({ epoch: "e", offset: 0 });
    const top = { epoch: "e", offset: 1_500 };
    const read = async (_: string, { since = 0, limit }: HistoryRange) => ({
      top,
      publications: Array.from({ length: Math.min(limit, 1_500 - since) }, (_, i) =>
        publication(since + i + 1),
      ),
    });
    expect(await feed.closeGap(top, read, () => false)).toBeUndefined();
    feed.resume(top);
    expect(events.slice(1_500).at(-1)).toBe(long.data);
  });

  test("G2: a feed needs no history for what it has received while it was paused", async () => {
    const { feed, events } = make();
    feed.position = { epoch: "e", offset: 1 };
    for (const offset of [1, 2, 3, 4, 5]) feed.apply(received(offset));
    const top = { epoch: "e", offset: 4 };
    const read = async () => ({ top, publications: [publication(4)] });
    expect(await feed.closeGap(top, read, () => false)).toBeUndefined();
    feed.resume(top);
    expect(events).toEqual(["not id1", "e2", "e3", "e4", "e5"]);
  });

  test("reached() resolves when the offset was passed on, or never will be", async () => {
    const { feed } = make();
    feed.seek({ epoch: "e", offset: 0 });
    feed.resume({ epoch: "e", offset: 0 });
    expect(feed.reached({ epoch: "e", offset: 0 })).toBeUndefined();
    expect(feed.reached({ epoch: "other", offset: 9 })).toBeUndefined();
    const first = feed.reached({ epoch: "e", offset: 1 });
    const third = feed.reached({ epoch: "e", offset: 3 });
    feed.apply(received(1));
    await first;
    feed.pause();
    feed.reset({ epoch: "f", offset: 0 });
    await third;
  });
});
