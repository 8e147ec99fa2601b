// Nodes over a real Redis server that loses data, or is too full to take any: rows G3 and G5 to G7 of the fault catalogue.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { SERVER_SCRIPTS } from "../../../src/engines/redis/server/server-scripts";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until } from "../../support/wait";

// Some tests wait until a node notices that its server is silent, which takes 2.5 s.
setDefaultTimeout(120_000);

describe("a Redis server that is started again without some of its data", () => {
  test("G3: after Redis restarts without data, the history is reset before anything else, and a new epoch begins", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    const before = await node.publish("1");
    await server.kill();
    await server.run();
    const after = await node.publishUntilAcknowledged("2");
    expect(after).toMatchObject({ offset: 1 });
    expect(after.epoch).not.toBe(before.epoch as string);
    await node.untilDelivered("1", "lost", "2");
    expect(node.warnings.join()).toContain("has lost data");
  });

  test("G5: after Redis restarts with an older snapshot, every topic gets a new epoch, even one that nobody follows", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const { epoch = "" } = await node.publish("1", "away");
    await server.save();
    for (const text of ["2", "3"]) await node.publish(text, "away");
    await server.kill();
    await server.run();
    await node.untilHealthy();
    // A client that reconnects at offset 3 must not get what is now 4 as if nothing were missing.
    const { top } = await node.engine.history("away", { limit: 10, size: 1e6 });
    expect(top?.epoch).not.toBe(epoch);
    expect(await node.publish("4", "away")).toMatchObject({ offset: 1 });
  });

  test("G5: a loss at the second of two restarts is noticed, though nobody publishes", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const { epoch = "" } = await node.publish("1");
    const older = await server.save();
    await node.publish("2");
    await server.save();
    await server.kill();
    await server.run();
    await node.untilHealthy();
    expect((await node.engine.history("t", { limit: 1, size: 1e6 })).top).toEqual({
      epoch,
      offset: 2,
    });
    await server.kill();
    await server.restore(older);
    await server.run();
    await until("it to be back", async () => {
      const page = await node.engine.history("t", { limit: 1, size: 1e6 }).catch(() => undefined);
      return page !== undefined && page.top?.epoch !== epoch;
    });
  });

  test("after Redis has lost its data, a claim has a greater term than any before", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const { registrations } = node.engine;
    const claim = async () => {
      await registrations.add({ id: "r", user: "1" });
      return (await registrations.claim("r")) as { term: number };
    };
    const before = await claim();
    registrations.release("r", before.term, "end");
    await server.kill();
    await node.untilUnhealthy();
    await server.run();
    await node.untilHealthy();
    expect((await claim()).term).toBeGreaterThan(before.term);
  });
});

describe("a Redis server that loses data while it runs", () => {
  test("G6: after FLUSHALL, a topic is reset with its next publication", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    const before = await node.publish("1");
    await server.command("FLUSHALL");
    const after = await node.publish("2");
    expect(after.epoch).not.toBe(before.epoch as string);
    await node.untilDelivered("1", "lost", "2");
  });

  test("G6: after FLUSHALL, a quiet topic is reset when its position is compared with the server", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    await node.publish("1");
    await server.command("FLUSHALL");
    await node.untilDelivered("1", "lost");
    expect(await node.publish("2")).toMatchObject({ offset: 1 });
  });

  test("G6: an offset of an epoch never means two publications, whichever keys of a topic Redis evicts", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const meanings = new Map<string, string>();
    for (const evicted of [
      ["topic:t"],
      ["topic:t", "log:t"],
      ["topic:t", "blank"],
      ["blank"],
      [],
    ]) {
      for (const data of ["a", "b"]) {
        const text = `${data} after ${evicted.join(" and ")}`;
        const { epoch, offset } = await node.publish(text);
        const place = `${epoch} ${offset}`;
        expect(meanings.get(place) ?? text).toBe(text);
        meanings.set(place, text);
      }
      for (const key of evicted) await server.command("DEL", `${prefix}:${key}`);
    }
    expect(new Set([...meanings.keys()].map((place) => place.split(" ")[0])).size).toBe(4);
  });

  test("G6: when Redis evicts a history, the topic keeps its epoch and its offsets continue", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const { epoch } = await node.publish("1");
    await server.command("DEL", `${prefix}:log:t`);
    expect(await node.publish("2")).toMatchObject({ epoch: epoch as string, offset: 2 });
    const { publications } = await node.engine.history("t", { limit: 10, size: 1e6 });
    expect(publications.map(({ offset }) => offset)).toEqual([2]);
  });

  test("G7: while Redis is full, publishes fail at once, the node is unhealthy and reads succeed; then publishing resumes", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    const { epoch = "" } = await node.publish("1");
    await node.engine.registrations.add({ id: "r", user: "1" });
    await node.engine.registrations.claim("r");
    const full = () => server.command("CONFIG", "SET", "maxmemory", "1");
    await full();
    for (const key of [undefined, "key"]) {
      const error = await node.publish("2", "t", key).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(EngineUnavailable);
      expect(String(error)).toContain("OOM");
    }
    expect(node.engine.healthy()).toBe(false);
    // So does one in a topic that is new to the server.
    const other = await node.publish("2", "new").catch((thrown: unknown) => thrown);
    expect(other).toBeInstanceOf(EngineUnavailable);
    const { top, publications } = await node.engine.history("t", { limit: 10, size: 1e6 });
    expect(top).toEqual({ epoch, offset: 1 });
    expect(publications).toHaveLength(1);
    await server.command("CONFIG", "SET", "maxmemory", "0");
    await node.untilHealthy();
    expect(await node.publish("2", "t", "key")).toMatchObject({ offset: 2 });
    await node.untilDelivered("1", "2");
  });
});

describe("a failover of Redis", () => {
  test("G5: a failover to a complete replica keeps the epoch, and one to a replica that lags begins a new one", async () => {
    await using first = await RedisServer.start();
    await using second = await RedisServer.start();
    await using address = await TcpProxy.start(first.url);
    await using node = await RedisNode.start(address.through(first.url));
    const lead = (server: RedisServer) => {
      address.port = server.port;
      address.cutAll();
    };
    await node.follow("t");
    await second.replicate(first.port);
    const { epoch = "" } = await node.publish("1");
    const isEqual = async () => (await first.replicated()) === (await second.replicated());
    await until("the replica to have it", isEqual);

    // The address leads to a replica, which takes no writes. When it is promoted, it has everything.
    lead(second);
    await until("the node to reach a replica", () => node.warnings.join().includes("READONLY"));
    expect(node.publish("2")).rejects.toBeInstanceOf(EngineUnavailable);
    await second.command("REPLICAOF", "NO", "ONE");
    await node.untilHealthy();
    expect(await node.publish("2")).toMatchObject({ epoch, offset: 2 });

    // Back to the first server, which has become a replica and lacks the end.
    await using way = await TcpProxy.start(second.url);
    await first.replicate(Number(new URL(way.through(second.url)).port));
    await until("the replica to have it", isEqual);
    way.stall();
    await node.publish("3");
    lead(first);
    await first.command("REPLICAOF", "NO", "ONE");
    const after = await node.publishUntilAcknowledged("4");
    expect(after).toMatchObject({ offset: 1 });
    expect(after.epoch).not.toBe(epoch);
    await node.untilDelivered("1", "2", "3", "lost", "4");
  });
});

describe("the JOIN script", () => {
  /** Whether a new generation of the data begins, by what the server knows of a run and what the node knows. */
  const join = async (
    known: { run?: string; base?: number; lost?: boolean; count: number },
    node: { run: string; count: number | ""; isSameRun: boolean },
  ) => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const key = (name: string) => `${prefix}:${name}`;
    await server.command("SET", key("count"), String(known.count));
    await server.command("SET", key("life"), "old");
    if (known.run !== undefined) {
      const fields = ["id", known.run, "base", String(known.base)];
      if (known.lost === true) fields.push("lost", "1");
      await server.command("HSET", key("run"), ...fields);
    }
    const keys = ["run", "count", "life", "blank", "terms"].map(key);
    const args = [node.run, String(node.count), node.isSameRun ? "1" : "", "new", "7"];
    const answer = await server.command("EVAL", SERVER_SCRIPTS.JOIN.text, "5", ...keys, ...args);
    const [hasLostData] = answer as number[];
    expect(await server.command("GET", key("life"))).toBe(hasLostData === 1 ? "new" : "old");
    return hasLostData === 1 ? "begin again" : "continue";
  };

  test.each([
    ["for the first time", "continue", { count: 5 }, { run: "r1", count: "", isSameRun: false }],
    [
      "to a server that was restarted with everything",
      "continue",
      { run: "r1", base: 0, count: 5 },
      { run: "r2", count: 5, isSameRun: false },
    ],
    [
      "to a server that has lost the end of its data",
      "begin again",
      { run: "r1", base: 0, count: 4 },
      { run: "r2", count: 5, isSameRun: false },
    ],
    [
      "to a server that has lost the end of its data, and has new publications of other nodes",
      "begin again",
      { run: "r2", base: 4, count: 9 },
      { run: "r2", count: 5, isSameRun: false },
    ],
    [
      "to a server whose loss another node has noticed",
      "continue",
      { run: "r2", base: 4, count: 9, lost: true },
      { run: "r2", count: 5, isSameRun: false },
    ],
    [
      "again to the same run of the server",
      "continue",
      { run: "r1", base: 0, count: 9 },
      { run: "r1", count: 9, isSameRun: true },
    ],
    [
      "again to a run that has got another server's data meanwhile",
      "begin again",
      { run: "r2", base: 4, count: 8 },
      { run: "r1", count: 9, isSameRun: true },
    ],
  ] as const)("G5: when a node connects %s, histories %s", async (_, outcome, known, node) => {
    expect(await join(known, node)).toBe(outcome);
  });
});
