// Members of groups over a Redis server that restarts, with its data and without.
import { expect, test } from "bun:test";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { until } from "../../support/wait";

const GROUP = "listed:room";

for (const durable of [true, false]) {
  test(`nobody goes when Redis restarts ${durable ? "with its data" : "and has lost its data"}`, async () => {
    await using server = await RedisServer.start({ durable });
    await using nodes = await RedisNode.pair(server.url);
    const { one, two } = nodes;
    await one.engine.groups.enter(GROUP, { name: "a" }, 100);
    await two.engine.groups.enter(GROUP, { name: "b" }, 100);
    await server.kill();
    await one.untilUnhealthy();
    await two.untilUnhealthy();
    two.engine.groups.leave(GROUP, "b");
    expect(Promise.resolve(two.engine.groups.enter(GROUP, { name: "c" }, 100))).rejects.toThrow();
    await server.run();
    await one.untilHealthy();
    await two.untilHealthy();
    await two.engine.groups.enter(GROUP, { name: "d" }, 100);
    for (const node of [one, two]) {
      await until("the node to be told to read", () => node.changes.includes("unsure"));
    }
    const names = async () =>
      (await one.engine.groups.state(GROUP)).members.map(({ name }) => name).toSorted();
    // What could not be said while Redis was away is true all the same.
    await until("a and d to be in", async () => String(await names()) === "a,d");
    const gone = one.changes.flatMap((one) =>
      one !== "unsure" && one.change === "went" ? [one.name] : [],
    );
    expect(gone.filter((name) => name !== "b")).toEqual([]);
  });
}
