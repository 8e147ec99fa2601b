// Who leads in what only one node may do at a time, over engines of each kind.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EngineUnavailable, type Groups } from "../../../src/relay/contracts/engine";
import { Leadership } from "../../../src/relay/state/leadership";
import { GROUP_NODES, type GroupNodes } from "../../support/engines/group-nodes";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { until } from "../../support/wait";

const NOBODY = { groupChanged() {}, groupsUnsure() {} };

for (const [engine, start] of Object.entries(GROUP_NODES)) {
  describe(`leadership over the ${engine} engine`, () => {
    let nodes: GroupNodes;
    let groups: readonly Groups[];
    let one: Leadership;
    let two: Leadership;

    beforeEach(async () => {
      nodes = await start();
      groups = [await nodes.join(NOBODY), await nodes.join(NOBODY)];
      [one, two] = groups.map((its, i) => new Leadership(its, `node${i}`, "a source")) as [
        Leadership,
        Leadership,
      ];
    });

    afterEach(() => nodes[Symbol.asyncDispose]());

    test("one node leads for as long as it does not resign, and then whoever asks", async () => {
      expect([await one.check(), await two.check(), await one.check()]).toEqual([
        true,
        false,
        true,
      ]);
      two.resign();
      expect([await one.check(), await two.check()]).toEqual([true, false]);
      one.resign();
      await until("the other to lead", () => two.check());
      expect(await one.check()).toBe(false);
    });

    test("of all that ask at once one leads, and each name has a leader of its own", async () => {
      const other = new Leadership(groups[1] as Groups, "node1", "another source");
      const answers = await Promise.all([one.check(), two.check(), one.check(), other.check()]);
      expect(answers[0]).not.toBe(answers[1]);
      expect(answers[2]).toBe(answers[0]);
      expect(answers[3]).toBe(true);
    });

    test("when the leader dies another node leads", async () => {
      expect([await one.check(), await two.check()]).toEqual([true, false]);
      await nodes.kill(groups[0] as Groups);
      await until("the other to lead", () => two.check());
    });
  });
}

test("a node that was taken for dead and comes back leads no more beside the one that leads by now", async () => {
  const { url } = await RedisServer.shared();
  const prefix = crypto.randomUUID();
  await using nodes = await RedisNode.pair(url, url, { prefix });
  const { one, two } = nodes;
  const [first, second] = [one, two].map(
    ({ engine, name }) => new Leadership(engine.groups, name, "a source"),
  ) as [Leadership, Leadership];
  expect(await first.check()).toBe(true);
  one.stall();
  await (await RedisServer.shared()).command("DEL", `${prefix}:place:${one.name}.1`);
  await until("the other to lead", () => second.check());
  // It finds that its place has gone, and says again what it has.
  one.engine.sweep();
  await until("two leaders", async () => (await one.engine.groups.size("leader:a source")) === 2);
  const answers = [await first.check(), await second.check()];
  expect(answers.toSorted()).toEqual([false, true]);
  expect([await first.check(), await second.check()]).toEqual(answers);
});

test("a node does not lead while the engine cannot be reached, and a fault is not hidden", async () => {
  const failing = (error: Error) =>
    new Leadership({ enter: () => Promise.reject(error) } as unknown as Groups, "node", "a source");
  expect(await failing(new EngineUnavailable("away")).check()).toBe(false);
  expect(failing(new Error("a fault")).check()).rejects.toThrow("a fault");
});
