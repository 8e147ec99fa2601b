// Records of sources, values and queues in Redis: while the server dies, is full or has a key of another program, and which keys they
// leave there. Rows G2, G5, G7 and G11 of the fault catalogue.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { EngineUnavailable } from "../../../../src/relay/contracts/engine";
import type { SourceRecord } from "../../../../src/relay/contracts/store";
import { TopicRules } from "../../../../src/relay/contracts/topic-rules";
import { RedisNode } from "../../../support/engines/redis-node";
import { RedisServer } from "../../../support/engines/redis-server";
import { until } from "../../../support/wait";

setDefaultTimeout(120_000);

const recordsOf = (from: number, to: number, topic = "t"): SourceRecord[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    publication: { topic, data: String(from + i) },
    position: String(from + i).padStart(6, "0"),
  }));

const texts = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

/** Publishes all records of a partition in calls of this size, each again and again until it succeeds. */
async function publishAll(node: RedisNode, last: number, size: number): Promise<void> {
  for (let from = 1; from <= last; from += size) {
    const records = recordsOf(from, Math.min(last, from + size - 1));
    while (
      !(await node.engine.publishRecords("s/0", records).then(
        () => true,
        () => false,
      ))
    ) {
      await Bun.sleep(5);
    }
  }
}

const errorOf = (call: unknown): Promise<unknown> =>
  Promise.resolve(call).then(
    () => undefined,
    (error: unknown) => error,
  );

describe("records of a source in Redis", () => {
  test("G2: while Redis is killed and started again, two nodes publish each record once, in order", async () => {
    await using server = await RedisServer.start({ durable: true });
    // A node that comes back later than the other one finds all in the history.
    const rules = new TopicRules({ historySize: 5_000, historyTtlMs: 300_000 }, {}, "all");
    await using nodes = await RedisNode.pair(server.url, server.url, { rules });
    const { one, two } = nodes;
    await two.follow("t");
    const publishing = Promise.all([publishAll(one, 3_000, 100), publishAll(two, 3_000, 170)]);
    for (const count of [300, 1_200]) {
      await until(`${count} deliveries`, () => two.delivered.length >= count);
      await server.kill();
      await server.run();
    }
    await publishing;
    await until("all deliveries", () => two.delivered.length >= 3_000);
    expect(two.texts.findIndex((text, i) => text !== String(i + 1))).toBe(-1);
    expect(await one.engine.positionOf("s/0")).toBe("003000");
  });

  test("G7: what a full server refuses is not published and keeps no position, and is published when it comes again", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    await node.engine.publishRecords("s/0", recordsOf(1, 2));
    await server.command("CONFIG", "SET", "maxmemory", "1");
    for (const records of [recordsOf(3, 4), recordsOf(3, 4, "new")]) {
      const error = await errorOf(node.engine.publishRecords("s/0", records));
      expect(error).toBeInstanceOf(EngineUnavailable);
      expect(String(error)).toContain("OOM");
    }
    expect(node.engine.healthy()).toBe(false);
    const bounds = { ttlMs: 60_000, max: 10 };
    for (const call of [
      node.engine.records.put("set", "name", "value", bounds),
      node.engine.queues.append("q", ["e"], 10),
    ]) {
      expect(await errorOf(call)).toBeInstanceOf(EngineUnavailable);
    }
    expect(await node.engine.positionOf("s/0")).toBe("000002");
    await server.command("CONFIG", "SET", "maxmemory", "0");
    await node.untilHealthy();
    expect(await node.engine.publishRecords("s/0", recordsOf(2, 4))).toMatchObject({
      published: 2,
    });
    await node.untilDelivered(...texts(1, 4));
    expect(await node.engine.records.list("set")).toEqual([]);
    expect(await node.engine.queues.size("q")).toBe(0);
  });

  test("G11: with a key of another program in the way of one topic, a call publishes nothing, and all when the key is gone", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    await server.command("SET", `${prefix}:log:taken`, "another program's");
    const records = [...recordsOf(1, 1), ...recordsOf(2, 2, "taken"), ...recordsOf(3, 3)];
    const error = await errorOf(node.engine.publishRecords("s/0", records));
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect(String(error)).toContain("WRONGTYPE");
    expect(await node.engine.positionOf("s/0")).toBeUndefined();
    await server.command("DEL", `${prefix}:log:taken`);
    expect(await node.engine.publishRecords("s/0", records)).toMatchObject({ published: 3 });
    await node.untilDelivered("1", "3");
  });

  test("G1: while one of two servers is away a call fails, and what is repeated is published once on each", async () => {
    await using away = await RedisServer.start({ durable: true });
    const urls = `${(await RedisServer.shared()).url},${away.url}`;
    await using node = await RedisNode.start(urls, { prefix: crypto.randomUUID() });
    // So many topics that each server has some.
    const topics = texts(1, 20).map((number) => `t${number}`);
    const records = recordsOf(1, 200).map(({ publication, position }, i) => ({
      publication: { ...publication, topic: topics[i % topics.length] as string },
      position,
    }));
    for (const topic of topics) await node.follow(topic);
    await node.engine.publishRecords("s/0", records.slice(0, 50));
    await away.kill();
    expect(await errorOf(node.engine.publishRecords("s/0", records.slice(30, 130)))).toBeInstanceOf(
      EngineUnavailable,
    );
    expect(await errorOf(node.engine.positionOf("s/0"))).toBeInstanceOf(EngineUnavailable);
    await away.run();
    await node.untilHealthy();
    expect(await node.engine.positionOf("s/0")).toBe("000050");
    await node.engine.publishRecords("s/0", records.slice(50, 150));
    await node.engine.publishRecords("s/0", records.slice(150));
    await until("all deliveries", () => node.delivered.length >= 200);
    expect(node.texts.toSorted((a, b) => Number(a) - Number(b))).toEqual(texts(1, 200));
  });

  test("a server that is new in the list begins where all is published, though the source begins far before", async () => {
    const prefix = crypto.randomUUID();
    const urls = [(await RedisServer.shared(0)).url, (await RedisServer.shared(1)).url];
    const topics = texts(1, 20).map((number) => `t${number}`);
    const all = topics.flatMap((topic, i) => recordsOf(5 * i + 1, 5 * i + 5, topic));
    {
      await using before = await RedisNode.start(urls[0] as string, { prefix });
      await before.engine.publishRecords("s/0", all.slice(0, 90));
    }
    await using node = await RedisNode.start(urls.join(","), { prefix });
    expect(await node.engine.positionOf("s/0")).toBe("000090");
    expect(await node.engine.publishRecords("s/0", all)).toEqual({ published: 10, repeated: 90 });
    expect(await node.engine.positionOf("s/0")).toBe("000100");
  });

  test("while a node of an older version is there, each record has an entry and a message of its own", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const older = await server.subscriber(`${prefix}:everybody`);
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    await node.engine.publishRecords("s/0", recordsOf(1, 20));
    await node.untilDelivered(...texts(1, 20));
    expect(await server.command("XLEN", `${prefix}:log:t`)).toBe(20);
    older.close();
  });

  test("a node that follows no topic of the records has them delivered on the nodes that do", async () => {
    const { url } = await RedisServer.shared();
    await using nodes = await RedisNode.pair(url);
    await nodes.two.follow("t");
    await nodes.one.engine.publishRecords("s/0", recordsOf(1, 300));
    await nodes.two.untilDelivered(...texts(1, 300));
    expect(nodes.one.delivered).toEqual([]);
  });

  test("G5: a server that has lost its data has lost the positions too, and publishes what comes again", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.engine.publishRecords("s/0", recordsOf(1, 5));
    await server.kill();
    await server.run();
    await node.untilHealthy();
    expect(await node.engine.positionOf("s/0")).toBeUndefined();
    expect(await node.engine.publishRecords("s/0", recordsOf(4, 6))).toMatchObject({
      published: 3,
    });
  });
});

describe("values and queues in Redis", () => {
  test("a set expires with its last value, and positions and queues stay", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const { engine } = node;
    const ttlOf = async (key: string) => Number(await server.command("PTTL", `${prefix}:${key}`));
    for (const [name, ttlMs] of [
      ["long", 600_000],
      ["short", 1_000],
    ] as const) {
      await engine.records.put("set", name, "value", { ttlMs, max: 10 });
    }
    await engine.publishRecords("s/0", recordsOf(1, 1));
    await engine.queues.append("q", ["e"], 10);
    for (const key of ["values:set", "expiries:set"]) {
      expect(await ttlOf(key)).toBeGreaterThan(600_000);
      expect(await ttlOf(key)).toBeLessThan(700_000);
    }
    expect(await ttlOf("numbers:q")).toBeGreaterThan(0);
    expect([await ttlOf("position:s/0"), await ttlOf("queue:q")]).toEqual([-1, -1]);
    await engine.records.remove("set", "long");
    await engine.records.remove("set", "short");
    await engine.queues.removeUpTo("q", Number.MAX_SAFE_INTEGER);
    expect(await ttlOf("queue:q")).toBe(-2);
  });

  test("G5: after Redis has lost the end of its data, no entry of a queue has the number of a lost one", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const { queues } = node.engine;
    await queues.append("q", ["1"], 10);
    const saved = await server.save();
    await queues.append("q", ["2", "3"], 10);
    const sent = (await queues.first("q", 10)).at(-1)?.number as number;
    await server.kill();
    await server.restore(saved);
    await server.run();
    await node.untilHealthy();
    await queues.append("q", ["4", "5"], 10);
    // What was read before the loss is done now.
    await queues.removeUpTo("q", sent);
    expect((await queues.first("q", 10)).map(({ entry }) => entry)).toEqual(["4", "5"]);
  });

  test("the numbers of a queue rise when their key has gone, and all nodes see the same entries", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using nodes = await RedisNode.pair(server.url, server.url, { prefix });
    const [one, two] = [nodes.one.engine.queues, nodes.two.engine.queues];
    await one.append("q", ["1", "2"], 10);
    const [first] = await two.first("q", 1);
    await two.removeUpTo("q", first?.number as number);
    await server.command("DEL", `${prefix}:numbers:q`);
    await two.append("q", ["3"], 10);
    const entries = await one.first("q", 10);
    expect(entries.map(({ entry }) => entry)).toEqual(["2", "3"]);
    expect(entries[1]?.number).toBeGreaterThan(entries[0]?.number as number);
  });
});
