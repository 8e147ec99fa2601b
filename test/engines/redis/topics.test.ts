// Topics in Redis: since when they are delivered, which keys they leave there, and how they are numbered.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { EPOCH_TAKEN_BITS } from "../../../src/engines/redis/server/keys";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { publishScripted } from "../../support/engines/scripted-publish";
import { until } from "../../support/wait";

setDefaultTimeout(120_000);

/** Keys about the server as a whole, of a few bytes each. */
const LASTING = ["count", "life", "run", "terms"];

/** Keys under a prefix, without it, and in how many ms each expires. */
async function keysOf(server: RedisServer, prefix: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  let cursor = "0";
  do {
    const [next, keys] = (await server.command(
      "SCAN",
      ...[cursor, "MATCH", `${prefix}:*`, "COUNT", "1000"],
    )) as [string, string[]];
    for (const key of keys) {
      const ms = Number(await server.command("PTTL", key));
      if (ms !== -2) found.set(key.slice(prefix.length + 1), ms);
    }
    cursor = next;
  } while (cursor !== "0");
  return found;
}

/** Resolves when the server's clock has gone on by so many ms. */
async function untilLater(server: RedisServer, ms: number): Promise<void> {
  const now = async (): Promise<number> => {
    const [seconds, micros] = (await server.command("TIME")) as [string, string];
    return Number(seconds) * 1_000 + Number(micros) / 1_000;
  };
  const then = (await now()) + ms;
  await until("the server's clock to go on", async () => (await now()) >= then);
}

describe("a topic in Redis", () => {
  test("a topic is delivered from the moment when it is followed, though the server learns of it later", async () => {
    const server = await RedisServer.shared();
    await using nodes = await RedisNode.pair(server.url);
    const { one, two } = nodes;
    for (let i = 0; i < 50; i++) {
      const topic = `t${i}`;
      await two.publish("before", topic);
      // Both nodes know the server's time of day to a fraction of a millisecond, and it has whole ones.
      await untilLater(server, 4);
      one.engine.follow(topic);
      const first = two.publish("first", topic);
      await Promise.all([first, two.publish("second", topic)]);
    }
    const all = Array.from({ length: 50 }, () => ["first", "second"]).flat();
    await until("all to arrive", () => one.delivered.length >= all.length);
    for (let i = 0; i < 50; i++) {
      const own = one.delivered.filter((event) => event !== "lost" && event.topic === `t${i}`);
      expect(own.map((event) => event !== "lost" && event.data)).toEqual(["first", "second"]);
    }
    expect(one.delivered).toHaveLength(all.length);
  });

  test("a topic is not delivered from before it was followed, though the server's clock was set back", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const texts = ["published before the clock was set back"];
    for (let i = 0; i < 20; i++) {
      await publishScripted(server, { prefix, texts, at: Date.now() + 60_000 });
    }
    node.engine.follow("t");
    await node.publish("1");
    await node.untilDelivered("1");
    node.engine.unfollow("t");
    await using other = await RedisNode.start(server.url, { prefix });
    other.engine.follow("t");
    await other.publish("2");
    await other.untilDelivered("2");
  });

  test("a topic that is left and followed again at once, over and over, is delivered in order", async () => {
    const server = await RedisServer.shared();
    await using nodes = await RedisNode.pair(server.url);
    const roundTrips = async (count: number) => {
      for (let i = 0; i < count; i++) await server.command("PING");
    };
    const { one, two } = nodes;
    await one.follow("other");
    let isOver = false;
    const publishing = (async () => {
      for (let i = 1; !isOver; i++) await two.publish(String(i));
    })();
    for (let i = 0; i < 100; i++) {
      one.engine.follow("t");
      await roundTrips(i % 15);
      one.engine.unfollow("t");
      if (i % 3 === 0) await roundTrips(i % 12);
    }
    await one.follow("t");
    isOver = true;
    await publishing;
    const last = Number((await two.publish("end")).offset);
    await until("the end", () => one.texts.at(-1) === "end");
    const offsets = one.delivered.map((event) => (event === "lost" ? 0 : (event.offset ?? 0)));
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
    expect(offsets.at(-1)).toBe(last);
    expect(one.texts).not.toContain("lost");
  });

  test("a topic without history is delivered once to each node that follows it", async () => {
    const { url } = await RedisServer.shared();
    const rules = new TopicRules({ historySize: 0, historyTtlMs: 0 });
    await using nodes = await RedisNode.pair(url, url, { rules });
    const { one, two } = nodes;
    for (const node of [one, two]) await node.follow("t");
    const texts = Array.from({ length: 200 }, (_, i) => String(i));
    const answers = await Promise.all(texts.map((text) => two.publish(text)));
    for (const answer of answers) expect(answer).toMatchObject({ delivered: expect.any(Number) });
    await one.untilDelivered(...texts);
    await two.untilDelivered(...texts);
  });

  test("topics that are left are unsubscribed, however many are followed and left at once", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const topics = Array.from({ length: 20_000 }, (_, i) => `flood${i}`);
    // Left in the turn in which it is followed, or in the next one, as by a client that floods the relay with names.
    for (const [i, topic] of topics.entries()) {
      node.engine.follow(topic);
      if (i % 2 === 0) node.engine.unfollow(topic);
      if (i % 100 === 99) await new Promise((done) => setImmediate(done));
    }
    for (const [i, topic] of topics.entries()) if (i % 2 === 1) node.engine.unfollow(topic);
    const channels = async () =>
      (await server.command("PUBSUB", "CHANNELS", "*:live:*")) as string[];
    await until("all topics to be unsubscribed", async () => (await channels()).length === 0);
    await node.follow("t");
    await node.publish("1");
    await node.untilDelivered("1");
    expect(node.warnings).toEqual([]);
  });
});

describe("keys in Redis", () => {
  test("every key in Redis expires, but for four of a few bytes", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using nodes = await RedisNode.pair(server.url, server.url, { prefix, machine: "m" });
    const { one, two } = nodes;
    const { registrations } = one.engine;
    for (const topic of ["a", "b", "c"]) await one.follow(topic);
    for (let i = 0; i < 20; i++) {
      await one.publish(`${i}`, "a", `key${i}`);
      await two.publish(`${i}`, "b");
      await one.publish(`${i}`, "nobody's");
      const id = `r${i}`;
      await registrations.add({ id, user: `u${i % 3}`, topics: ["a"] });
      if (i % 4 === 0) continue;
      const claimed = (await registrations.claim(id)) as { term: number };
      if (i % 4 === 1) registrations.release(id, claimed.term, "wait");
      if (i % 4 === 2) await two.engine.registrations.remove(id);
      await registrations.own(`s${i}`, `u${i % 3}`);
      if (i % 2 === 0) registrations.release(`s${i}`, 0, "end");
    }
    for (const topic of ["a", "c", "asked for"])
      await two.engine.history(topic, { limit: 10, size: 1e6 });
    await one.engine.forget("b");
    await until("topics to be compared", async () => (await keysOf(server, prefix)).has("topic:c"));
    const keys = await keysOf(server, prefix);
    expect(keys.size).toBeGreaterThan(40);
    for (const kind of [
      "topic:a",
      "log:a",
      "answer:",
      "registration:",
      "user:",
      "machine:",
      "node:",
    ])
      expect([...keys.keys()].join(" ")).toContain(kind);
    const lasting = [...keys].filter(([, ms]) => ms < 0).map(([key]) => key);
    for (const key of lasting) expect(LASTING).toContain(key);
    expect(keys.has("topic:asked for")).toBe(false);
    // The last one to expire is kept for a day longer than a history.
    expect(Math.max(...keys.values())).toBeLessThanOrEqual(86_400_000 + 300_000);
  });

  test("after a node has closed, its connections no longer count", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const options = { prefix, userConnectionsMax: 1, connectionsMax: 1, machine: "m" };
    await using one = await RedisNode.start(server.url, options);
    const two = await RedisNode.start(server.url, options);
    expect(await two.engine.registrations.own("s", "u")).toBeUndefined();
    expect(await one.engine.registrations.own("t", "u")).toMatchObject({
      code: "too_many_user_connections",
    });
    expect(await one.engine.registrations.own("t", "v")).toMatchObject({
      code: "too_many_connections",
    });
    await two[Symbol.asyncDispose]();
    expect(await one.engine.registrations.own("t", "u")).toBeUndefined();
  });

  test("E5: asking for topics to which nothing was published leaves no keys in Redis", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.engine.history("first", { limit: 0, size: 1e6 });
    const before = [...(await keysOf(server, prefix)).keys()].toSorted();
    const ask = async (name: string) => {
      node.engine.follow(name);
      await node.engine.history(name, { limit: 1, size: 1e6 });
      node.engine.unfollow(name);
    };
    // A topic that is followed for a second or two does get a key, so not all are asked for at once.
    for (let i = 0; i < 2_000; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, k) => ask(`name${i + k}`)));
    }
    const after = [...(await keysOf(server, prefix)).keys()];
    // A few of them share the bit of another topic.
    expect(after.filter((key) => !before.includes(key)).length).toBeLessThan(20);
  });
});

describe("offsets and epochs in Redis", () => {
  test("a history keeps its size, give or take what Redis trims at a time", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const rules = new TopicRules({ historySize: 10, historyTtlMs: 60_000 });
    await using node = await RedisNode.start(server.url, { prefix, rules });
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => node.publish(String(i))));
    const { publications } = await node.engine.history("t", { limit: 1_000, size: 1e6 });
    expect(publications.map(({ offset }) => offset)).toEqual(
      Array.from({ length: 10 }, (_, i) => 991 + i),
    );
    expect(Number(await server.command("XLEN", `${prefix}:log:t`))).toBeLessThan(220);
  });

  test("topics whose epoch-taken bit is the same get epochs of their own", async () => {
    const { url } = await RedisServer.shared();
    const seen = new Map<number, string>();
    let pair: [string, string] | undefined;
    for (let i = 0; pair === undefined; i++) {
      const bit = Bun.hash.xxHash32(`n${i}`) % EPOCH_TAKEN_BITS;
      const other = seen.get(bit);
      if (other !== undefined) pair = [other, `n${i}`];
      seen.set(bit, `n${i}`);
    }
    await using node = await RedisNode.start(url);
    const [first, second] = pair;
    const one = await node.publish("1", first);
    const two = await node.publish("1", second);
    const { top } = await node.engine.history("never", { limit: 0, size: 1e6 });
    expect(one.epoch).toBe(top?.epoch as string);
    expect(two.epoch).not.toBe(top?.epoch as string);
    for (const [topic, { epoch = "" }] of [
      [first, one],
      [second, two],
    ] as const) {
      expect(await node.publish("2", topic)).toMatchObject({ epoch, offset: 2 });
    }
  });

  test("G6: an offset of an epoch means one publication for ever, whichever keys Redis evicts at any time", async () => {
    const server = await RedisServer.shared();
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constant("publish") },
      { weight: 2, arbitrary: fc.constantFrom("read", "follow", "unfollow") },
      { weight: 3, arbitrary: fc.constantFrom("topic:t", "log:t", "blank", "life", "count") },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const prefix = crypto.randomUUID();
        await using node = await RedisNode.start(server.url, { prefix });
        const meant = new Map<string, string>();
        const note = (epoch = "", offset = 0, data = "") => {
          const place = `${epoch} ${offset}`;
          expect(meant.get(place) ?? data).toBe(data);
          meant.set(place, data);
        };
        let follows = false;
        for (const [i, what] of steps.entries()) {
          if (what === "publish") {
            const { epoch, offset } = await node.publish(String(i));
            note(epoch, offset, String(i));
          } else if (what === "read") {
            const { publications } = await node.engine.history("t", { limit: 100, size: 1e6 });
            for (const { epoch, offset, data } of publications) note(epoch, offset, data);
          } else if (what === "follow" || what === "unfollow") {
            if ((what === "follow") === follows) continue;
            follows = !follows;
            node.engine[what]("t");
          } else await server.command("DEL", `${prefix}:${what}`);
        }
        for (const event of node.delivered) {
          if (event !== "lost") note(event.epoch, event.offset, event.data);
        }
        const numbers = node.delivered.map((event) => (event === "lost" ? event : event.data));
        const delivered = numbers.filter((text) => text !== "lost");
        expect(delivered).toEqual(delivered.toSorted((a, b) => Number(a) - Number(b)));
      }),
      { numRuns: 60 },
    );
  });
});
