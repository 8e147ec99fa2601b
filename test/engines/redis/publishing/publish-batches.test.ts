// Publications that reach Redis together, in one call of a script, and how they are read there.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { EngineUnavailable, type HistoryRange } from "../../../../src/relay/contracts/engine";
import { Refusal } from "../../../../src/relay/contracts/errors";
import { TopicRules } from "../../../../src/relay/contracts/topic-rules";
import { RedisNode } from "../../../support/engines/redis-node";
import { RedisServer } from "../../../support/engines/redis-server";
import { publishScripted } from "../../../support/engines/scripted-publish";
import { until } from "../../../support/wait";

setDefaultTimeout(120_000);

const texts = (count: number, name = "") => Array.from({ length: count }, (_, i) => `${name}${i}`);

/** How many publications each entry of a topic's history has. */
async function entriesOf(server: RedisServer, prefix: string, topic = "t"): Promise<number[]> {
  const entries = await server.command("XRANGE", `${prefix}:log:${topic}`, "-", "+");
  return (entries as [string, [string, string]][]).map(
    ([, [, bodies]]) => bodies.split("\n").length,
  );
}

describe("publications to Redis", () => {
  test("a publication leaves at once when none is under way, and those that come meanwhile leave together", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.publish("alone");
    await Promise.all(texts(10).map((text) => node.publish(text)));
    expect(await entriesOf(server, prefix)).toEqual([1, 1, 9]);
  });

  test("publications of many topics, of which some keep no history, are delivered once, in order, and counted", async () => {
    const { url } = await RedisServer.shared();
    const rules = new TopicRules(
      { historySize: 1_000, historyTtlMs: 60_000 },
      { fleeting: { historySize: 0 } },
    );
    await using nodes = await RedisNode.pair(url, url, { rules });
    const { one, two } = nodes;
    const topics = ["a", "fleeting", "b"];
    for (const node of [one, two]) for (const topic of topics) await node.follow(topic);
    const all = texts(900);
    const answers = await Promise.all(
      all.map((text, i) => (i % 2 ? one : two).publish(text, topics[i % 3])),
    );
    for (const node of [one, two]) {
      await until("all to arrive", () => node.delivered.length >= all.length);
      for (const topic of topics) {
        const own = node.delivered.flatMap((event) =>
          event !== "lost" && event.topic === topic ? [event] : [],
        );
        expect(own).toHaveLength(300);
        if (topic === "fleeting") continue;
        expect(own.map(({ offset }) => offset)).toEqual(own.map((_, i) => i + 1));
        for (const { data, offset } of own) {
          expect(answers[Number(data)]).toMatchObject({ offset: offset as number });
        }
      }
    }
    // RedisNode counts what was delivered so far.
    expect(answers.every(({ delivered }) => delivered > 0)).toBe(true);
  });

  test("a publication to a topic that is followed or left meanwhile is answered, also when nobody sweeps any more", async () => {
    const { url } = await RedisServer.shared();
    await using node = await RedisNode.start(url);
    node.stall();
    const { engine } = node;
    const all = texts(30).map(async (topic) => {
      // The first one leaves at once, and the others after the topic was followed.
      const before = texts(3).map((text) => node.publish(text, topic));
      engine.follow(topic);
      const { offset = 0 } = (await Promise.all(before)).at(-1) ?? {};
      await node.engine.history(topic, { limit: 0, size: 1e6 });
      const after = texts(3).map((text) => node.publish(text, topic));
      engine.unfollow(topic);
      expect((await Promise.all(after)).at(-1)?.offset).toBe(offset + 3);
    });
    await Promise.all(all);
  });

  test("a batch has a bounded size, however much is published in a turn", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await Promise.all(texts(1_000).map((text) => node.publish(text)));
    const many = await entriesOf(server, prefix);
    expect(Math.max(...many)).toBeLessThanOrEqual(128);
    expect(many.length).toBeLessThan(20);
    await Promise.all(texts(20).map((text) => node.publish(text.padEnd(60_000), "long")));
    expect(Math.max(...(await entriesOf(server, prefix, "long")))).toBeLessThanOrEqual(4);
  });

  test("idempotency keys that are forgotten leave nothing in Redis", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix, idempotencyMax: 5 });
    for (const text of texts(30)) await node.publish(text, "t", text);
    expect(await server.command("ZCARD", `${prefix}:answers`)).toBe(5);
    expect(await server.command("KEYS", `${prefix}:answer:*`)).toHaveLength(5);
  });

  test("a topic whose key belongs to another program fails alone", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.publish("1");
    await server.command("SET", `${prefix}:log:taken`, "text");
    await server.command("SET", `${prefix}:topic:taken`, " e 5");
    const all = ["t", "t", "taken", "t", "u"].map((topic, i) => {
      return node.publish(String(i), topic, `key${i}`);
    });
    const answers = await Promise.allSettled(all);
    expect(answers.map(({ status }) => status === "fulfilled")).toEqual([
      true,
      true,
      false,
      true,
      true,
    ]);
    const { reason } = answers[2] as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(EngineUnavailable);
    expect(String(reason)).toContain("WRONGTYPE");
    expect(node.engine.healthy()).toBe(true);
    expect(await node.publish("3", "t", "key3")).toMatchObject({ offset: 4 });
    // What has failed has not used its key.
    for (const kind of ["log", "topic"]) await server.command("DEL", `${prefix}:${kind}:taken`);
    expect(await node.publish("2", "taken", "key2")).toMatchObject({ offset: 1 });
  });

  test("while a node of an older version is there, each entry and each message has one publication", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    // An older node is subscribed to the channel of all nodes, and to none that newer nodes added.
    const older = await server.subscriber(`${prefix}:everybody`);
    await using node = await RedisNode.start(server.url, { prefix });
    const answers = await Promise.all(texts(50).map((text) => node.publish(text)));
    expect(answers.map(({ offset }) => offset)).toEqual(texts(50).map((_, i) => i + 1));
    expect(await entriesOf(server, prefix)).toEqual(Array(50).fill(1));
    older.close();
    await until("batches", async () => {
      await Promise.all(texts(10).map((text) => node.publish(text, "later")));
      return Math.max(...(await entriesOf(server, prefix, "later"))) > 1;
    });
    expect(node.messages).toEqual([]);
  });
});

describe("idempotency keys in a batch", () => {
  test("publications that are not new take no offset, wherever they are in the batch", async () => {
    const { url } = await RedisServer.shared();
    const action = fc.record({
      topic: fc.constantFrom("a", "b"),
      key: fc.option(fc.constantFrom("k1", "k2", "k3", "k4"), { nil: undefined }),
      data: fc.constantFrom("x", "y"),
    });
    const rounds = fc.array(fc.array(action, { maxLength: 12 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(rounds, async (all) => {
        await using node = await RedisNode.start(url, { prefix: crypto.randomUUID() });
        const tops = new Map<string, number>();
        const firsts = new Map<string, { data: string; offset: number }>();
        const expected = new Map<string, string[]>();
        for (const round of all) {
          const answers = round.map(({ topic, key, data }) =>
            node.engine.publish({ topic, data }, key),
          );
          for (const [i, { topic, key, data }] of round.entries()) {
            const answer = await answers[i];
            const name = `${topic} ${key}`;
            const first = key === undefined ? undefined : firsts.get(name);
            if (first === undefined) {
              const offset = (tops.get(topic) ?? 0) + 1;
              tops.set(topic, offset);
              expect(answer).toMatchObject({ offset });
              if (key !== undefined) firsts.set(name, { data, offset });
              expected.set(topic, [...(expected.get(topic) ?? []), data]);
            } else if (first.data !== data) expect(answer).toBeInstanceOf(Refusal);
            else expect(answer).toMatchObject({ offset: first.offset });
          }
        }
        for (const [topic, datas] of expected) {
          const { publications } = await node.engine.history(topic, { limit: 1_000, size: 1e6 });
          expect(publications.map(({ data }) => data)).toEqual(datas);
          expect(publications.map(({ offset }) => offset)).toEqual(datas.map((_, i) => i + 1));
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("a history with entries of several publications", () => {
  test("any part of it is read as if each had its own entry", async () => {
    const server = await RedisServer.shared();
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 40 });
    const since = fc.option(fc.nat(200), { nil: undefined });
    const size = fc.nat(300);
    const range = fc.record({ since, limit: fc.nat(120), size, reverse: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.integer({ min: 1, max: 150 }),
        fc.array(range, { minLength: 1, maxLength: 10 }),
        async (entries, historySize, ranges) => {
          const prefix = crypto.randomUUID();
          const rules = new TopicRules({ historySize, historyTtlMs: 60_000 });
          await using node = await RedisNode.start(server.url, { prefix, rules });
          let top = 0;
          for (const size of entries) {
            await publishScripted(server, { prefix, texts: texts(size, `${top}+`), historySize });
            top += size;
          }
          const kept = Array.from({ length: top }, (_, i) => i + 1).slice(-historySize);
          for (const asked of ranges as HistoryRange[]) {
            const page = await node.engine.history("t", asked);
            expect(page.top).toMatchObject({ offset: top });
            const { since: from, limit, size, reverse } = asked;
            const found =
              reverse === true
                ? kept.filter((offset) => offset < (from ?? top + 1)).reverse()
                : kept.filter((offset) => offset > (from ?? 0));
            const { publications } = page;
            const offsets = publications.map(({ offset }) => offset as number);
            const wanted = found.slice(0, limit);
            expect(offsets).toEqual(wanted.slice(0, offsets.length));
            const characters = publications.reduce((sum, { data }) => sum + data.length, 0);
            if (offsets.length !== Math.min(1, wanted.length))
              expect(characters).toBeLessThanOrEqual(size);
            // Their bodies are at most three times as long as their texts.
            const isShort = offsets.length < wanted.length;
            if (isShort) expect(3 * characters + 30).toBeGreaterThan(size);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("entries that are too old are not read, and those that are not old enough are, whole", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const old = Date.now() - 3_600_000;
    for (let i = 0; i < 5; i++) {
      await publishScripted(server, { prefix, texts: texts(7), at: old + i });
    }
    await publishScripted(server, { prefix, texts: texts(4) });
    await publishScripted(server, { prefix, texts: texts(3) });
    const { publications } = await node.engine.history("t", { limit: 100, size: 1e6 });
    expect(publications.map(({ offset }) => offset)).toEqual([36, 37, 38, 39, 40, 41, 42]);
    expect(await entriesOf(server, prefix)).toEqual([4, 3]);
  });

  test("a node that has missed a part of an entry gets the rest of it", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    await publishScripted(server, { prefix, texts: ["1", "2"] });
    await node.untilDelivered("1", "2");
    await publishScripted(server, { prefix, texts: ["3", "4", "5"], channel: "nobody" });
    await publishScripted(server, { prefix, texts: ["6", "7"] });
    await node.untilDelivered("1", "2", "3", "4", "5", "6", "7");
  });
});
