// Connections to a real Redis server that are cut, slow or dead, or carry what they should not: rows G8 to G10 of the fault
// catalogue.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { publishScripted } from "../../support/engines/scripted-publish";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until } from "../../support/wait";

// Some tests wait until a node notices that its server is silent, which takes 2.5 s.
setDefaultTimeout(120_000);

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i));

describe("a connection to Redis", () => {
  test.each(["pubsub", "normal"])(
    "G8: after a connection is cut (%s), publications of that time are delivered once and in order",
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

  test("G8: after Redis cuts a subscriber whose output buffer is full, nothing is missing", async () => {
    await using server = await RedisServer.start({
      args: ["--client-output-buffer-limit", "pubsub 65536 65536 1"],
    });
    await using proxy = await TcpProxy.start(server.url);
    const rules = new TopicRules({ historySize: 1_000, historyTtlMs: 60_000 });
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url, { rules });
    const { one, two } = nodes;
    await one.follow("t");
    // The node reads nothing: what the buffers of the sockets cannot hold stays in the server.
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
    await until("all to arrive", () => one.delivered.length >= 300);
    expect(one.texts).toEqual(texts);
  });

  test("G9: publications stay in order over a connection with half a second of latency", async () => {
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

  test("G9: a connection that is silently dead is noticed and replaced", async () => {
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

  test("G10: a publication that Redis sends several times is delivered once", async () => {
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

  test("a message on a channel of a topic that is not a publication is ignored", async () => {
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

  test("a lost message is noticed when the topic is compared with the server, and delivered", async () => {
    await using server = await RedisServer.start();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix });
    await node.follow("t");
    await node.publish("1");
    // Published on another channel, so that no node receives it.
    await publishScripted(server, { prefix, texts: ["2"], channel: "nobody" });
    await node.untilDelivered("1", "2");
  });

  test("after SCRIPT FLUSH the scripts are sent again, and no publication is lost", async () => {
    await using server = await RedisServer.start();
    await using node = await RedisNode.start(server.url);
    await node.follow("t");
    await node.publish("1");
    await server.command("SCRIPT", "FLUSH");
    await Promise.all(["2", "3", "4"].map((text) => node.publish(text)));
    await node.untilDelivered("1", "2", "3", "4");
  });
});
