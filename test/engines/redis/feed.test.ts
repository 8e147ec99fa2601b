// A feed under any order of arrivals, duplicates, losses, holds and new lives of the history, against a server that is a list.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Arrival, Feed } from "../../../src/engines/redis/following/feed";
import { closeGap } from "../../../src/engines/redis/following/gap";
import type { HistoryPage, HistoryRange } from "../../../src/relay/contracts/engine";
import type { Publication } from "../../../src/relay/contracts/publication";

/** What the server keeps at most: gaps beyond it cannot be closed. */
const KEPT = 6;

/** The server: one topic, and the channel towards the node. */
class Server {
  epoch = "e0";
  /** All of this life. */
  log: Publication[] = [];
  /** On its way to the node. */
  readonly channel: Arrival[] = [];
  #lives = 0;
  #calls = 0;

  publish(): Arrival {
    const offset = this.log.length + 1;
    const data = `${this.epoch}.${offset}`;
    const publication = { topic: "t", data, offset, epoch: this.epoch };
    this.log.push(publication);
    const arrival = { publication, call: `call${++this.#calls}` };
    this.channel.push(arrival);
    return arrival;
  }

  begin(): void {
    this.epoch = `e${++this.#lives}`;
    this.log = [];
  }

  get top() {
    return { epoch: this.epoch, offset: this.log.length };
  }

  read = async (_: string, { since = 0, limit }: HistoryRange): Promise<HistoryPage> => {
    const first = Math.max(since, this.log.length - KEPT);
    return { top: this.top, publications: this.log.slice(first, first + limit) };
  };
}

/** A node that follows the topic, as the shard does it, with the steps of an attempt apart. */
class Node {
  readonly feed: Feed;
  readonly events: (Publication | "lost")[] = [];
  /** Calls whose publications were heard of, and those that were then delivered or passed over. */
  readonly heard = new Set<string>();
  readonly counted = new Set<string>();
  #isLost = false;
  #attempt: (() => Promise<void>) | undefined;
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
    this.feed = new Feed("t", {
      deliver: ({ publication, call }) => {
        expect(this.#isLost).toBe(false);
        this.events.push(publication);
        if (call !== "") this.counted.add(call);
      },
      passedOver: ({ call }) => this.counted.add(call),
      lost: () => {
        this.events.push("lost");
        this.#isLost = true;
      },
      behind: () => expect(this.feed.isLive).toBe(false),
    });
  }

  /** Asks the server where the topic is; what comes of it, `finish` does. */
  ask(): void {
    if (this.feed.isLive || this.#attempt !== undefined) return;
    this.feed.asked();
    const { top } = this.#server;
    this.#attempt = async () => {
      const isFirst = this.feed.position === undefined;
      if (isFirst) this.feed.begin(top);
      const at = this.feed.position ?? top;
      const { epoch, log } = this.#server;
      const isKept = epoch === at.epoch && log.length - KEPT <= at.offset;
      const isClosable = at.epoch === top.epoch && (at.offset === top.offset || isKept);
      const beyond = await closeGap(this.feed, top, this.#server.read, () => false);
      expect(beyond === undefined).toBe(isClosable);
      if (beyond !== undefined && isFirst) this.feed.begin(beyond);
      else if (beyond !== undefined) this.feed.restart(beyond);
      this.#isLost = false;
      this.feed.goOn(beyond ?? top);
    };
  }

  async finish(): Promise<void> {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    await attempt?.();
  }

  /** A new connection: what was on its way is gone. */
  reconnect(): void {
    this.#attempt = undefined;
    this.feed.hold();
    this.feed.end();
    this.feed.dropHeld();
    this.#server.channel.length = 0;
  }

  /** The subscription hears the next one, again and again or not at all. */
  hear(times: number): void {
    const arrival = this.#server.channel.shift();
    if (arrival === undefined) return;
    for (let i = 0; i < times; i++) this.#take(arrival);
  }

  /** An older one is told again. */
  echo(arrival: Arrival | undefined): void {
    if (arrival !== undefined) this.#take(arrival);
  }

  #take(arrival: Arrival): void {
    this.heard.add(arrival.call);
    this.feed.arrived(arrival);
  }
}

type Step =
  | { do: "publish"; count: number }
  | { do: "hear"; times: number }
  | { do: "echo"; which: number }
  | { do: "ask" | "finish" | "reconnect" | "begin" | "hold" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("publish"), count: fc.nat(4) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("hear"), times: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("echo"), which: fc.nat(50) }) },
  ...(["ask", "finish"] as const).map((name) => ({
    weight: 4,
    arbitrary: fc.record({ do: fc.constant(name) }),
  })),
  ...(["reconnect", "begin", "hold"] as const).map((name) => ({
    weight: 1,
    arbitrary: fc.record({ do: fc.constant(name) }),
  })),
) as fc.Arbitrary<Step>;

/** In order, each once, and no hole that was not told. */
function check(events: readonly (Publication | "lost")[]): void {
  const seen = new Set<string>();
  let last: Publication | undefined;
  let wasLost = true;
  for (const event of events) {
    if (event === "lost") {
      wasLost = true;
      continue;
    }
    expect(seen.has(event.data)).toBe(false);
    seen.add(event.data);
    if (!wasLost) {
      expect(event.epoch).toBe(last?.epoch as string);
      expect(event.offset).toBe((last?.offset ?? 0) + 1);
    } else if (last !== undefined && event.epoch === last.epoch) {
      expect(event.offset).toBeGreaterThan(last.offset ?? 0);
    }
    wasLost = false;
    last = event;
  }
}

test("G3, G5, G8, G10: a feed gives each publication once and in order, and says so where it cannot", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const server = new Server();
      const node = new Node(server);
      const all: Arrival[] = [];
      for (const one of steps) {
        switch (one.do) {
          case "publish":
            for (let i = 0; i < one.count; i++) all.push(server.publish());
            break;
          case "hear":
            node.hear(one.times);
            break;
          case "echo":
            node.echo(all[one.which]);
            break;
          case "begin":
            server.begin();
            break;
          case "hold":
            node.feed.hold();
            break;
          default:
            await node[one.do]();
        }
      }
      // In the end nothing is lost on the way any more: it is as far as the server, after some attempts.
      while (server.channel.length > 0) node.hear(1);
      for (let attempts = 0; !node.feed.isLive; attempts++) {
        expect(attempts).toBeLessThan(4);
        node.ask();
        await node.finish();
      }
      // What was lost at the end only the comparison with the server can find.
      const { position } = node.feed;
      if (position?.epoch !== server.epoch || position.offset !== server.top.offset) {
        node.feed.hold();
        node.ask();
        await node.finish();
      }
      expect(node.feed.position).toEqual(server.top);
      const next = server.publish();
      node.hear(1);
      expect(node.events.at(-1)).toEqual(next.publication);
      check(node.events);
      expect(node.counted).toEqual(node.heard);
    }),
    { numRuns: 3_000 },
  );
});

describe("a feed", () => {
  const publication = (offset: number, epoch = "e"): Publication => ({
    topic: "t",
    data: `${epoch}${offset}`,
    offset,
    epoch,
  });
  const arrival = (offset: number, epoch?: string): Arrival => ({
    publication: publication(offset, epoch),
    call: `call${offset}`,
  });
  const make = () => {
    const heard: string[] = [];
    const feed = new Feed("t", {
      deliver: ({ publication: { data } }) => heard.push(data),
      passedOver: ({ call }) => heard.push(`not ${call}`),
      lost: () => heard.push("lost"),
      behind: () => heard.push("behind"),
    });
    return { feed, heard };
  };

  test("begins at its first position, with what came since", () => {
    const { feed, heard } = make();
    feed.arrived(arrival(4));
    feed.arrived(arrival(5));
    feed.begin({ epoch: "e", offset: 5 });
    feed.goOn({ epoch: "e", offset: 5 });
    expect(heard).toEqual(["e4", "e5"]);
  });

  test("of a topic that is followed again delivers nothing twice, though its moment is taken to be earlier", () => {
    const { feed, heard } = make();
    feed.position = { epoch: "e", offset: 8 };
    for (const offset of [8, 9]) feed.arrived(arrival(offset));
    feed.begin({ epoch: "e", offset: 5 }, { epoch: "e", offset: 9 });
    feed.goOn({ epoch: "e", offset: 9 });
    expect(heard).toEqual(["not call8", "e9"]);
  });

  test("gives what is not numbered as it comes, and never says that it is behind", () => {
    const { feed, heard } = make();
    const { topic } = feed;
    feed.begin(undefined);
    feed.goOn(undefined);
    for (const data of ["a", "b"]) feed.arrived({ publication: { topic, data }, call: "" });
    // Numbered by a node whose rules keep a history of it.
    for (const offset of [5, 9]) feed.arrived(arrival(offset));
    expect(heard).toEqual(["a", "b", "e5", "e9"]);
  });

  test("G10: passes over what it has delivered, and whoever counts it is told", () => {
    const { feed, heard } = make();
    feed.begin({ epoch: "e", offset: 0 });
    feed.goOn({ epoch: "e", offset: 0 });
    for (const offset of [1, 1, 2, 1, 2]) feed.arrived(arrival(offset));
    expect(heard).toEqual(["e1", "not call1", "e2", "not call1", "not call2"]);
  });

  test.each(["old", "new"])(
    "passes over what the server knows nothing of: the rest of a life that has ended, or a hoax (%s)",
    (epoch) => {
      const { feed, heard } = make();
      const top = { epoch: "new", offset: 3 };
      feed.begin(top);
      feed.goOn(top);
      feed.arrived(arrival(7, epoch));
      expect(heard).toEqual(["behind"]);
      feed.asked();
      feed.goOn(top);
      expect(heard).toEqual(["behind", "not call7"]);
      expect(feed.isLive).toBe(true);
    },
  );

  test("G5: goes back where the server has fewer than it has delivered, and says so", () => {
    const { feed, heard } = make();
    feed.begin({ epoch: "e", offset: 5 });
    feed.restart({ epoch: "e", offset: 3 });
    feed.goOn({ epoch: "e", offset: 3 });
    feed.arrived(arrival(4));
    expect(heard).toEqual(["lost", "e4"]);
  });

  test("holds no more than its bound, and reads the rest later", () => {
    const { feed, heard } = make();
    for (let offset = 1; offset <= 1_500; offset++) feed.arrived(arrival(offset));
    expect(heard).toHaveLength(1_000);
    const long = { ...publication(1_501), data: "x".repeat(1_048_577) };
    feed.arrived({ publication: long, call: "" });
    expect(heard).toHaveLength(1_500);
    feed.begin({ epoch: "e", offset: 0 });
    feed.give(Array.from({ length: 1_500 }, (_, i) => publication(i + 1)));
    feed.goOn({ epoch: "e", offset: 1_501 });
    expect(heard.slice(1_500).at(-1)).toBe(long.data);
  });

  test("tells those who wait for an offset when it was delivered, or never will be", async () => {
    const { feed } = make();
    feed.begin({ epoch: "e", offset: 0 });
    feed.goOn({ epoch: "e", offset: 0 });
    expect(feed.reached({ epoch: "e", offset: 0 })).toBeUndefined();
    expect(feed.reached({ epoch: "other", offset: 9 })).toBeUndefined();
    const first = feed.reached({ epoch: "e", offset: 1 });
    const third = feed.reached({ epoch: "e", offset: 3 });
    feed.arrived(arrival(1));
    await first;
    feed.hold();
    feed.restart({ epoch: "f", offset: 0 });
    await third;
  });
});
