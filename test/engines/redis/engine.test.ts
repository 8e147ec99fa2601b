// Nodes over a real Redis server to which everything happens: rows G1 to G11 of the fault catalogue, and traps 15 and 16.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { TOPIC_SCRIPTS } from "../../../src/engines/redis/server/topic-scripts";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until, within } from "../../support/wait";

// Some wait for the patience of a node with a server, which is 2.5 s.
setDefaultTimeout(20_000);

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i));

describe("a server that cannot be reached", () => {
  test("G1: at the start: the node starts, is unhealthy, publishes nothing, and joins later", async () => {
    await using server = await RedisServer.absent();
    await using node = await RedisNode.start(server.url);
    expect(node.engine.healthy()).toBe(false);
    node.engine.follow("t");
    const began = performance.now();
    expect(node.publish("1")).rejects.toBeInstanceOf(EngineUnavailable);
    expect(node.engine.history("t", { limit: 1 })).rejects.toBeInstanceOf(EngineUnavailable);
    expect(node.engine.registrations.add({ id: "r", user: "1" })).rejects.toBeInstanceOf(
      EngineUnavailable,
    );
    expect(performance.now() - began).toBeLessThan(100);
    expect(node.warnings).toHaveLength(1);
    expect(node.warnings[0]).toContain(`127.0.0.1:${server.port} is out of reach`);
    await server.run();
    await node.untilHealthy();
    expect(await node.publish("1")).toMatchObject({ delivered: 1, offset: 1 });
    await node.untilDelivered("1");
    expect(node.warnings).toHaveLength(2);
  });

  test("tries again with growing pauses, and says so once", async () => {
    let attempts = 0;
    using closing = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          attempts++;
          socket.end();
        },
        data() {},
      },
    });
    await using node = await RedisNode.start(`redis://127.0.0.1:${closing.port}`);
    await Bun.sleep(1_500);
    // Two connections and one to find out why, after 50, 100, 200, 400, 800 ms, or half of that.
    expect(attempts).toBeGreaterThan(3 * 3);
    expect(attempts).toBeLessThan(3 * 9);
    expect(node.warnings).toHaveLength(1);
  });

  test("G2: killed amid publishes: none waits, and what is tried again with its key is published once", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    const all = numbers(1, 300);
    const first = all.map((text) =>
      node.publish(text, "t", text).then(
        () => true,
        () => false,
      ),
    );
    await first[20];
    await server.kill();
    const acknowledged = (await within("all answers", Promise.all(first))).filter(Boolean).length;
    expect(acknowledged).toBeLessThan(300);
    await server.run();
    const answers = await Promise.all(all.map((text) => node.publishUntilAcknowledged(text)));
    expect(new Set(answers.map(({ offset }) => offset)).size).toBe(300);
    await until("all to arrive", () => node.delivered.length >= 300);
    const { publications } = await node.engine.history("t", { limit: 1_000 });
    expect(publications.map(({ offset }) => offset)).toEqual(all.slice(200).map(Number));
    expect(node.texts.toSorted()).toEqual(all.toSorted());
  });

  test("G4: stopped: what is under way fails within 4 s, what comes then at once; it goes on by itself", async () => {
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
      one.engine.history("t", { limit: 1 }),
      one.engine.registrations.claim("r"),
      one.engine.sendToNodes("x"),
    ].map((call) =>
      Promise.resolve(call).then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(EngineUnavailable);
    expect(performance.now() - began).toBeLessThan(4_200);
    expect(one.engine.healthy()).toBe(false);
    const late = performance.now();
    expect(await one.publish("3").catch(String)).toContain("does not answer");
    expect(performance.now() - late).toBeLessThan(20);
    server.signal("SIGCONT");
    await one.untilHealthy();
    await two.untilHealthy();
    // It may have been executed, from what waited in the stopped server's socket.
    await one.publishUntilAcknowledged("2", "t", "k2");
    await two.publish("4");
    await one.untilDelivered("1", "2", "4");
    await two.untilDelivered("1", "2", "4");
  });

  test("G4: takes no more than it can keep while it waits: what is beyond is refused at once", async () => {
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

  test("G11: an error in place of an answer is told with its reason, and never the password", async () => {
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

describe("a server that is started again", () => {
  test("G3: with its data: what was missed is delivered, under the same epoch, and nobody is told a loss", async () => {
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
    // Whichever node is back first.
    await two.publishUntilAcknowledged("3");
    await one.publishUntilAcknowledged("4");
    await one.untilDelivered("1", "2", "3", "4");
    expect(new Set(one.delivered.map((event) => event !== "lost" && event.epoch)).size).toBe(1);
    expect(one.warnings.join()).not.toContain("lost data");
  });

  test("G3: with a file that ends amid a publication, and again after that: all that was acknowledged since is there", async () => {
    await using whole = await RedisServer.start({ durable: true });
    const publish = async (server: RedisServer, ...texts: readonly string[]) => {
      await using node = await RedisNode.start(server.url, { prefix: "torn" });
      for (const text of texts) await node.publish(text, "t", text);
    };
    await publish(whole, "1", "2");
    const before = (await Bun.file(whole.appendOnlyFile).bytes()).length;
    await publish(whole, "3");
    await whole.kill();
    const file = Buffer.from(await Bun.file(whole.appendOnlyFile).bytes());
    const from = file.lastIndexOf("MULTI");
    const to = file.indexOf("EXEC", from) + 4;
    const torn = file.subarray(from, to).toString("latin1");
    expect(from).toBeGreaterThan(before);
    expect(torn).toMatch(/XADD.*SET/s);
    // The file ends in the middle of each command in turn, and nobody has heard of the publication.
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
          const { publications } = await node.engine.history("t", { since: found.length, limit });
          if (publications.length === 0) break;
          for (const { offset, data } of publications) {
            found.push(data);
            expect(offset).toBe(found.length);
          }
        }
        expect(found, torn.slice(0, index)).toEqual(["1", "2", "4", "3", "5"]);
      }
      const { publications } = await node.engine.history("t", { limit: 10, reverse: true });
      expect(publications.map(({ data }) => data)).toEqual(["5", "3", "4", "2", "1"]);
    }
  });

  test("G3: without its data: the loss is told before anything else, and all begins anew", async () => {
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

  test("G5: with an older snapshot: topics that were there begin anew, also those nobody was in", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const { epoch = "" } = await node.publish("1", "away");
    await server.save();
    for (const text of ["2", "3"]) await node.publish(text, "away");
    await server.kill();
    await server.run();
    await node.untilHealthy();
    // A client that comes back at offset 3 must not be given what is now 4 as if nothing were missing.
    const { top } = await node.engine.history("away", { limit: 10 });
    expect(top?.epoch).not.toBe(epoch);
    expect(await node.publish("4", "away")).toMatchObject({ offset: 1 });
  });

  test("G5: twice, with data and then with an older snapshot, while nobody publishes", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    const { epoch = "" } = await node.publish("1");
    const older = await server.save();
    await node.publish("2");
    await server.save();
    await server.kill();
    await server.run();
    await node.untilHealthy();
    expect((await node.engine.history("t", { limit: 1 })).top).toEqual({ epoch, offset: 2 });
    await server.kill();
    await server.restore(older);
    await server.run();
    await until("it to be back", async () => {
      const page = await node.engine.history("t", { limit: 1 }).catch(() => undefined);
      return page !== undefined && page.top?.epoch !== epoch;
    });
  });

  test("a claim after a loss has a greater term than all before", async () => {
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

describe("a server that loses data while it runs", () => {
  test("G6: FLUSHALL: a topic in use hears of it with the next publication", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    const before = await node.publish("1");
    await server.command("FLUSHALL");
    const after = await node.publish("2");
    expect(after.epoch).not.toBe(before.epoch as string);
    await node.untilDelivered("1", "lost", "2");
  });

  test("G6: FLUSHALL: a quiet topic hears of it when it is compared with the server", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    await node.publish("1");
    await server.command("FLUSHALL");
    await node.untilDelivered("1", "lost");
    expect(await node.publish("2")).toMatchObject({ offset: 1 });
  });

  test("G6: an evicted numbering never comes back as it was, whatever else is left", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const lives = new Map<string, string>();
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
        expect(lives.get(place) ?? text).toBe(text);
        lives.set(place, text);
      }
      for (const key of evicted) await server.command("DEL", `${prefix}:${key}`);
    }
    expect(new Set([...lives.keys()].map((place) => place.split(" ")[0])).size).toBe(4);
  });

  test("G6: an evicted history is a hole, and no new life", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    const { epoch } = await node.publish("1");
    await server.command("DEL", `${prefix}:log:t`);
    expect(await node.publish("2")).toMatchObject({ epoch: epoch as string, offset: 2 });
    const { publications } = await node.engine.history("t", { limit: 10 });
    expect(publications.map(({ offset }) => offset)).toEqual([2]);
  });

  test("G7: full: publishes fail at once and health says so, reading goes on, and publishing again by itself", async () => {
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
    // In a topic that is new to it too.
    expect(node.publish("2", "new")).rejects.toBeInstanceOf(EngineUnavailable);
    const { top, publications } = await node.engine.history("t", { limit: 10 });
    expect(top).toEqual({ epoch, offset: 1 });
    expect(publications).toHaveLength(1);
    await server.command("CONFIG", "SET", "maxmemory", "0");
    await node.untilHealthy();
    expect(await node.publish("2", "t", "key")).toMatchObject({ offset: 2 });
    await node.untilDelivered("1", "2");
  });
});

describe("a connection to the server", () => {
  test.each(["pubsub", "normal"])(
    "G8: that is cut (%s) comes back, and what was published meanwhile is delivered once and in order",
    async (type) => {
      await using server = await RedisServer.start();
      await using nodes = await RedisNode.pair(server.url);
      const { one, two } = nodes;
      await one.follow("t");
      const { engine } = two;
      let sent = 0;
      for (let cut = 0; cut < 5; cut++) {
        for (let i = 0; i < 20; i++) await two.publishUntilAcknowledged(String(++sent));
        await server.command("CLIENT", "KILL", "TYPE", type);
        for (let i = 0; i < 20; i++) await two.publishUntilAcknowledged(String(++sent));
        await one.untilHealthy();
      }
      expect(engine.healthy()).toBe(true);
      await one.untilDelivered(...numbers(1, sent));
    },
  );

  test("G8: whose output buffer was too small is cut by the server, and nothing is missed", async () => {
    await using server = await RedisServer.start({
      args: ["--client-output-buffer-limit", "pubsub 65536 65536 1"],
    });
    await using proxy = await TcpProxy.start(server.url);
    const rules = new TopicRules({ historySize: 1_000, historyTtlMs: 60_000 });
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url, { rules });
    const { one, two } = nodes;
    await one.follow("t");
    // It takes nothing: more than the sockets' buffers hold is in the server's way.
    proxy.stall();
    const texts = Array.from({ length: 300 }, (_, i) => `${i}`.padEnd(65_000, "."));
    const listening = async () => {
      return String(await server.command("CLIENT", "LIST", "TYPE", "pubsub")).split("\n").length;
    };
    const before = await listening();
    await Promise.all(texts.map((text) => two.publish(text)));
    await until("the server to cut it", async () => (await listening()) < before);
    proxy.heal();
    proxy.cutAll();
    await until("all to arrive", () => one.delivered.length >= 300, 8_000);
    expect(one.texts).toEqual(texts);
  });

  test("G9: that is slow (half a second) keeps the order", async () => {
    await using server = await RedisServer.start();
    await using proxy = await TcpProxy.start(server.url);
    await using node = await RedisNode.start(proxy.through(server.url));
    await node.follow("t");
    proxy.latencyMs = 250;
    const all = numbers(1, 50);
    const answers = await Promise.all(all.map((text) => node.publish(text)));
    expect(answers.map(({ offset }) => offset)).toEqual(all.map(Number));
    await node.untilDelivered(...all);
  });

  test("G9: that leads nowhere, and tells nobody, is given up and made again", async () => {
    await using server = await RedisServer.start();
    await using proxy = await TcpProxy.start(server.url);
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url);
    const { one, two } = nodes;
    await one.follow("t");
    await two.publish("1");
    await one.untilDelivered("1");
    proxy.stall();
    proxy.heal();
    await two.publish("2");
    await one.untilUnhealthy();
    await one.untilDelivered("1", "2");
  });

  test("G10: that tells a publication twice, or an old one again, delivers it once", async () => {
    await using server = await RedisServer.start();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    const { epoch } = await node.publish("1");
    const again = `1\n${epoch}\n1\n\n["1",0]`;
    for (let i = 0; i < 3; i++) await server.command("PUBLISH", `${prefix}:live:t`, again);
    await node.publish("2");
    await server.command("PUBLISH", `${prefix}:live:t`, again);
    await node.publish("3");
    await node.untilDelivered("1", "2", "3");
  });

  test("that says what is no publication is not listened to", async () => {
    await using server = await RedisServer.start();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    for (const text of ["", "hello", "1\ne\n1\n\n{", "\n\n\n\n"]) {
      await server.command("PUBLISH", `${prefix}:live:t`, text);
    }
    await node.publish("1");
    await node.untilDelivered("1");
  });

  test("that drops a message without a word is found out: a topic is compared with the server", async () => {
    await using server = await RedisServer.start();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    await node.publish("1");
    // Published on another channel, so to nobody.
    const names = ["topic:t", "log:t", "life", "count", "blank"].map((key) => `${prefix}:${key}`);
    const args = [String(Date.now()), "nobody", "call", '["2",0]', "100", "60000", "never", "0"];
    await server.command("EVAL", TOPIC_SCRIPTS.PUBLISH.text, "5", ...names, ...args);
    await node.untilDelivered("1", "2");
  });

  test("SCRIPT FLUSH costs nothing but the scripts' way again", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    await node.publish("1");
    await server.command("SCRIPT", "FLUSH");
    await Promise.all(["2", "3", "4"].map((text) => node.publish(text)));
    await node.untilDelivered("1", "2", "3", "4");
  });
});

describe("a failover", () => {
  test("G5: to a replica that has everything costs nothing; to one that lags it begins histories anew", async () => {
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

    // To a replica, which takes no writes; when it is promoted, it has all.
    lead(second);
    await until("the node to meet a replica", () => node.warnings.join().includes("READONLY"));
    expect(node.publish("2")).rejects.toBeInstanceOf(EngineUnavailable);
    await second.command("REPLICAOF", "NO", "ONE");
    await node.untilHealthy();
    expect(await node.publish("2")).toMatchObject({ epoch, offset: 2 });

    // Back to the first one, which has followed, and lacks the end.
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
