// Nodes over one Redis whose rules change one after the other, so that for a while they disagree on whether a topic keeps a history.
import { expect, test } from "bun:test";
import { TopicRules } from "../../../../src/relay/contracts/topic-rules";
import { RedisNode } from "../../../support/engines/redis-node";
import { RedisServer } from "../../../support/engines/redis-server";
import { until } from "../../../support/wait";

const KEEPS = { historySize: 100, historyTtlMs: 300_000 };
const KEEPS_NOT = { historySize: 0, historyTtlMs: 0 };

/** Two nodes of one relay with these rules, which follow the topic t. */
async function start(first: typeof KEEPS) {
  const { url } = await RedisServer.shared();
  const prefix = crypto.randomUUID();
  const make = async () => {
    const rules = new TopicRules(first);
    const node = await RedisNode.start(url, { prefix, rules });
    await node.follow("t");
    const change = (next: typeof KEEPS) =>
      node.engine.rulesChanged(rules.replace(new TopicRules(next)));
    return { node, change };
  };
  return [await make(), await make()] as const;
}

test("a topic that begins to keep a history on one node after the other is delivered each publication once on both", async () => {
  const [one, two] = await start(KEEPS_NOT);
  await using first = one.node;
  await using second = two.node;
  await first.publish("1");
  await second.publish("2");
  one.change(KEEPS);
  await first.publish("3");
  await second.publish("4");
  await first.publish("5");
  two.change(KEEPS);
  await second.publish("6");
  await first.publish("7");
  const expected = ["1", "2", "3", "4", "5", "6", "7"];
  // While they disagree, a publication of the other node may begin another epoch, which ends connections that can resume.
  const texts = (node: RedisNode) => node.texts.filter((text) => text !== "lost");
  for (const node of [first, second]) {
    await until("all to arrive", () => texts(node).length === expected.length);
    expect(texts(node)).toEqual(expected);
  }
  const { offset = 0 } = await first.publish("8");
  expect((await second.publish("9")).offset).toBe(offset + 1);
});

test("a topic that stops keeping a history on both nodes goes on there, and is numbered from 1 in another epoch when it keeps one again", async () => {
  const [one, two] = await start(KEEPS);
  await using first = one.node;
  await using second = two.node;
  const before = await first.publish("1");
  for (const { change } of [one, two]) change(KEEPS_NOT);
  expect(await second.publish("2")).not.toHaveProperty("offset");
  for (const { change } of [one, two]) change(KEEPS);
  const after = await first.publish("3");
  expect(after.offset).toBe(1);
  expect(after.epoch).not.toBe(before.epoch);
  await first.untilDelivered("1", "2", "3");
  await second.untilDelivered("1", "2", "3");
});
