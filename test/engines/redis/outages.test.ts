// Nodes while a real Redis server is absent, stopped, killed or started again: rows G1 to G4 and G11 of the fault catalogue.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until, within } from "../../support/wait";

// Some tests wait until a node notices that its server is silent, which takes 2.5 s.
setDefaultTimeout(120_000);

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i));

describe("a Redis server that cannot be reached", () => {
  test("G1: a node starts without Redis, is unhealthy, refuses publishes, and joins when Redis is there", async () => {
    await using server = await RedisServer.absent();
    await using node = await RedisNode.start(server.url);
    expect(node.engine.healthy()).toBe(false);
    node.engine.follow("t");
    const began = performance.now();
    expect(node.publish("1")).rejects.toBeInstanceOf(EngineUnavailable);
    expect(node.engine.history("t", { limit: 1, size: 1e6 })).rejects.toBeInstanceOf(
      EngineUnavailable,
    );
    expect(node.engine.registrations.add({ id: "r", user: "1" })).rejects.toBeInstanceOf(
      EngineUnavailable,
    );
    // Each call would wait 2.5 s for an answer of Redis.
    expect(performance.now() - began).toBeLessThan(2_500);
    expect(node.warnings).toHaveLength(1);
    expect(node.warnings[0]).toContain(`127.0.0.1:${server.port} is out of reach`);
    await server.run();
    await node.untilHealthy();
    expect(await node.publish("1")).toMatchObject({ delivered: 1, offset: 1 });
    await node.untilDelivered("1");
    expect(node.warnings).toHaveLength(2);
  });

  test("a node connects again after growing pauses, and warns once", async () => {
    const attempts: number[] = [];
    using closing = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          attempts.push(performance.now());
          socket.end();
        },
        data() {},
      },
    });
    await using node = await RedisNode.start(`redis://127.0.0.1:${closing.port}`);
    // Two connections, and one more for the diagnosis, each time.
    await until("six attempts", () => attempts.length >= 3 * 6);
    // Pauses of 50, 100, 200… ms or half of that; a slow machine adds to them.
    expect((attempts.at(-1) ?? 0) - (attempts[0] ?? 0)).toBeGreaterThan(350);
    expect(node.warnings).toHaveLength(1);
  });

  test("G2: when Redis is killed amid publishes, each is answered, and a retry with the same key publishes once", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    const all = numbers(1, 300);
    let acknowledged = 0;
    let killed: Promise<void> | undefined;
    const publishers = Array.from({ length: 10 }, async (_, i) => {
      for (const text of all.slice(30 * i, 30 * (i + 1))) {
        const answer = await node.publish(text, "t", text).catch(() => undefined);
        if (answer !== undefined && ++acknowledged === 20) killed = server.kill();
      }
    });
    await within("all answers", Promise.all(publishers));
    await killed;
    expect(acknowledged).toBeLessThan(300);
    await server.run();
    const answers = await Promise.all(all.map((text) => node.publishUntilAcknowledged(text)));
    expect(new Set(answers.map(({ offset }) => offset)).size).toBe(300);
    await until("all to arrive", () => node.delivered.length >= 300);
    const { publications } = await node.engine.history("t", { limit: 1_000, size: 1e6 });
    expect(publications.map(({ offset }) => offset)).toEqual(all.slice(200).map(Number));
    expect(node.texts.toSorted()).toEqual(all.toSorted());
  });

  test("G4: when Redis hangs, calls fail within 4 s, later ones at once, and all resume by themselves", async () => {
    await using server = await RedisServer.start();
    await using nodes = await RedisNode.pair(server.url);
    const { one, two } = nodes;
    await one.follow("t");
    await two.follow("t");
    await one.publish("1");
    server.signal("SIGSTOP");
    const began = performance.now();
    const calls = [
      one.publish("2", "t", "k2"),
      one.engine.history("t", { limit: 1, size: 1e6 }),
      one.engine.registrations.claim("r"),
      one.engine.sendToNodes("x"),
    ].map((call) =>
      Promise.resolve(call).then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(EngineUnavailable);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(one.engine.healthy()).toBe(false);
    const late = performance.now();
    expect(await one.publish("3").catch(String)).toContain("does not answer");
    expect(performance.now() - late).toBeLessThan(1_000);
    server.signal("SIGCONT");
    await one.untilHealthy();
    await two.untilHealthy();
    // The server may have executed it: the command waited in its socket.
    await one.publishUntilAcknowledged("2", "t", "k2");
    await two.publish("4");
    await one.untilDelivered("1", "2", "4");
    await two.untilDelivered("1", "2", "4");
  });

  test("G4: while Redis does not answer, publishes beyond 64 MiB are refused at once", async () => {
    await using server = await RedisServer.start();
    await using proxy = await TcpProxy.start(server.url);
    await using node = await RedisNode.start(proxy.through(server.url));
    proxy.stall();
    const data = "x".repeat(65_536);
    let refused = 0;
    const publishes = Array.from({ length: 1_500 }, () =>
      node.publish(data).catch((error: unknown) => {
        if (String(error).includes("slower")) refused++;
      }),
    );
    await until("some to be refused", () => refused > 0);
    // 64 MiB are under way.
    expect(refused).toBeGreaterThan(1_500 - 1_100);
    expect(refused).toBeLessThan(1_500 - 1_000);
    proxy.cutAll();
    await within("all answers", Promise.all(publishes));
    proxy.heal();
    await node.untilHealthy();
    await node.publish("1");
  });

  test("G11: when Redis refuses the connection, the error has its reason and not the password", async () => {
    await using server = await RedisServer.start({ password: "geheim" });
    const start = (user: string) =>
      RedisNode.start(`redis://${user}@127.0.0.1:${server.port}`).then(String, String);
    expect(await start(":falsch")).toMatch(/WRONGPASS/);
    expect(await start(":falsch")).not.toContain("falsch");
    expect(await start("default:")).toMatch(/NOAUTH/);
    await using node = await RedisNode.start(server.url);
    expect(node.engine.healthy()).toBe(true);
  });
});

describe("a Redis server that is started again with its data", () => {
  test("G3: after Redis restarts with its data, missed publications are delivered under the same epoch without a reset", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using nodes = await RedisNode.pair(server.url);
    const { one, two } = nodes;
    await one.follow("t");
    await one.publish("1");
    await two.publish("2");
    await server.kill();
    await one.untilUnhealthy();
    await two.untilUnhealthy();
    await server.run();
    // Either node may be back first.
    await two.publishUntilAcknowledged("3");
    await one.publishUntilAcknowledged("4");
    await one.untilDelivered("1", "2", "3", "4");
    expect(new Set(one.delivered.map((event) => event !== "lost" && event.epoch)).size).toBe(1);
    expect(one.warnings.join()).not.toContain("lost data");
  });

  test.each([
    ["a publication", ["1", "2"], ["3"]],
    ["a batch of publications", ["1", "2", "0"], ["3", "6", "7"]],
  ])(
    "G3: after Redis restarts twice with a file that ends amid %s, everything acknowledged since is kept",
    async (_, before, last) => {
      await using whole = await RedisServer.start({ durable: true });
      {
        await using node = await RedisNode.start(whole.url, { prefix: "torn" });
        for (const text of before.slice(0, 2)) await node.publish(text, "t", text);
        // The first leaves at once, the others together.
        const rest = [...before.slice(2), ...last];
        await Promise.all(rest.map((text) => node.publish(text, "t", text)));
      }
      await whole.kill();
      const file = Buffer.from(await Bun.file(whole.appendOnlyFile).bytes());
      const from = file.lastIndexOf("MULTI");
      const to = file.indexOf("EXEC", from) + 4;
      const torn = file.subarray(from, to).toString("latin1");
      expect(torn).toMatch(/XADD.*SET/s);
      expect([...torn.matchAll(/\["\d",0\]/g)].map(([body]) => body)).toEqual(
        last.map((text) => `["${text}",0]`),
      );
      // The file ends in the middle of each command in turn, and no node has received the publication.
      for (const { index } of torn.matchAll(/\*\d+\r\n\$/g)) {
        await using server = await RedisServer.start({ durable: true });
        await server.kill();
        await Bun.write(server.appendOnlyFile, file.subarray(0, from + index + 7));
        await server.run();
        await using node = await RedisNode.start(server.url, { prefix: "torn" });
        await node.follow("t");
        await node.publish("4", "t", "4");
        const again = await node.publish("3", "t", "3");
        await server.kill();
        await node.untilUnhealthy();
        await server.run();
        await node.untilHealthy();
        await node.publish("5", "t", "5");
        expect(await node.publish("3", "t", "3")).toMatchObject({ offset: again.offset });
        await node.untilDelivered("4", "3", "5");
        for (const limit of [1, 2, 3, 10]) {
          const found: string[] = [];
          for (;;) {
            const range = { since: found.length, limit, size: 1e6 };
            const { publications } = await node.engine.history("t", range);
            if (publications.length === 0) break;
            for (const { offset, data } of publications) {
              found.push(data);
              expect(offset).toBe(found.length);
            }
          }
          expect(found, torn.slice(0, index)).toEqual([...before, "4", "3", "5"]);
        }
        const newestFirst = { limit: 10, size: 1e6, reverse: true };
        const { publications } = await node.engine.history("t", newestFirst);
        expect(publications.map(({ data }) => data)).toEqual([
          "5",
          "3",
          "4",
          ...before.toReversed(),
        ]);
      }
    },
  );
});
