// Groups over Redis when something goes wrong: a node that others took for dead, a server that has lost its data, one that refuses.
import { describe, expect, test } from "bun:test";
import { RedisNode } from "../../../support/engines/redis-node";
import { RedisServer } from "../../../support/engines/redis-server";
import { until } from "../../../support/wait";

const GROUP = "listed:room";

const enter = async ({ engine }: RedisNode, name: string) => {
  expect(await engine.groups.enter(GROUP, { name }, 100)).not.toBe("full");
};
const names = async ({ engine }: RedisNode) =>
  (await engine.groups.state(GROUP)).members.map(({ name }) => name).toSorted();
const untilIn = (node: RedisNode, ...expected: string[]) =>
  until(`${expected} to be in`, async () => String(await names(node)) === String(expected));
const told = ({ changes }: RedisNode) =>
  changes.map((one) => (one === "unsure" ? one : `${one.change} ${one.name}`));

/** Two nodes of one relay, and the names of their keys. */
async function pair() {
  const server = await RedisServer.shared();
  const prefix = crypto.randomUUID();
  const one = await RedisNode.start(server.url, { prefix });
  const two = await RedisNode.start(server.url, { prefix });
  const close = async () => {
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  };
  return { server, prefix, one, two, [Symbol.asyncDispose]: close };
}

describe("groups over Redis", () => {
  test("a node that others took for dead says again what it has", async () => {
    await using relay = await pair();
    const { server, prefix, one, two } = relay;
    await enter(one, "a");
    await enter(two, "b");
    // The other one finds that its place has expired before it renews it.
    one.stall();
    await server.command("DEL", `${prefix}:place:${one.name}.1`);
    await until("a to have gone", () => told(two).includes("went a"));
    one.engine.sweep();
    await untilIn(two, "a", "b");
    await until("a to have come", () => told(two).at(-1) === "came a");
    expect(told(two).filter((event) => event === "went a")).toHaveLength(1);
  });

  test("a node says again and again that it is alive, and a dead one is forgotten with all that it had", async () => {
    await using relay = await pair();
    const { server, prefix, one, two } = relay;
    const place = `${one.name}.1`;
    const members = Array.from({ length: 100 }, (_, i) => `m${i}`);
    await Promise.all(members.map((name) => one.engine.groups.enter(GROUP, { name }, 0)));
    await two.engine.groups.enter(GROUP, { name: "b" }, 0);
    await server.command("PEXPIRE", `${prefix}:place:${place}`, "5000");
    await until("it to say so", async () => {
      return Number(await server.command("PTTL", `${prefix}:place:${place}`)) > 5_000;
    });
    one.stall();
    await server.command("DEL", `${prefix}:place:${place}`);
    await until("the place to be forgotten", async () => {
      return (await server.command("HEXISTS", `${prefix}:places`, place)) === 0;
    });
    expect(await names(two)).toEqual(["b"]);
  });

  test("what a server has lost comes back from all nodes", async () => {
    await using relay = await pair();
    const { server, prefix, one, two } = relay;
    await enter(one, "a");
    await enter(two, "a");
    await enter(two, "b");
    const keys = (await server.command("KEYS", `${prefix}:*`)) as string[];
    await server.command("DEL", ...keys.filter((key) => /:(group|places|members|place)/.test(key)));
    await untilIn(one, "a", "b");
    two.engine.groups.leave(GROUP, "a");
    two.engine.groups.leave(GROUP, "b");
    await untilIn(one, "a");
  });

  test("a full group stays full for a node that asks while it says again what it has", async () => {
    await using relay = await pair();
    const { one, two } = relay;
    expect(await one.engine.groups.enter(GROUP, { name: "leader" }, 1)).not.toBe("full");
    for (let i = 0; i < 20; i++) {
      const asked = two.engine.groups.enter(GROUP, { name: "waits" }, 1);
      two.engine.sweep();
      expect(await asked).toBe("full");
    }
    expect(await names(one)).toEqual(["leader"]);
  });

  test("a change that a node was not told of is found", async () => {
    await using relay = await pair();
    const { server, prefix, one, two } = relay;
    await enter(one, "a");
    await enter(two, "b");
    const { version } = await one.engine.groups.state(GROUP);
    await server.command("HSET", `${prefix}:group:${GROUP}`, "", String(version + 7));
    await until("the node to be told to read", () => one.changes.includes("unsure"));
  });

  test("a change that a node was not told of is found also when a server has lost its data, and its clock is behind", async () => {
    await using server = await RedisServer.start();
    await using nodes = await RedisNode.pair(server.url, server.url, { prefix: "p" });
    const { one, two } = nodes;
    const unsure = () => one.changes.filter((change) => change === "unsure").length;
    const skip = async (by: number) => {
      const before = unsure();
      const { version } = await two.engine.groups.state(GROUP);
      await server.command("HSET", `p:group:${GROUP}`, "", String(version + by));
      await until("the node to be told to read", () => unsure() > before);
      return one.engine.groups.state(GROUP);
    };
    await enter(one, "a");
    await enter(two, "b");
    const { version } = await skip(1e12);
    await server.kill();
    await server.run();
    await until("the node to read what there is now", () => unsure() > 1);
    await untilIn(one, "a", "b");
    expect((await one.engine.groups.state(GROUP)).version).toBeLessThan(version);
    await skip(7);
  });

  test("a node that ends leaves nothing behind", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const node = await RedisNode.start(server.url, { prefix });
    const members = Array.from({ length: 600 }, (_, i) => `m${i}`);
    await Promise.all(members.map((name) => node.engine.groups.enter(GROUP, { name }, 0)));
    await node[Symbol.asyncDispose]();
    const left = (await server.command("KEYS", `${prefix}:*`)) as string[];
    expect(left.filter((key) => /:(group:|members:|places)/.test(key))).toEqual([]);
  });

  test("a member whose entering a server refused is in no group, and may enter when it takes writes again", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await enter(node, "a");
    await server.command("CONFIG", "SET", "min-replicas-to-write", "1");
    const refused = await Promise.resolve(
      node.engine.groups.enter(GROUP, { name: "b" }, 100),
    ).catch((error: Error) => error.message);
    expect(refused).toContain("NOREPLICAS");
    node.engine.groups.leave(GROUP, "a");
    await server.command("CONFIG", "SET", "min-replicas-to-write", "0");
    await enter(node, "c");
    // What was not carried out is left behind with the place.
    await untilIn(node, "c");
  });
});
