// Registrations over Redis: who holds what, after nodes were deaf, claims were lost, and servers have forgotten.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Claimed } from "../../../src/relay/contracts/engine";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until } from "../../support/wait";

setDefaultTimeout(20_000);

/** A claimed registration of this user. */
async function claim({ engine }: RedisNode, id: string, user?: string): Promise<Claimed> {
  if (user !== undefined) await engine.registrations.add({ id, user, topics: ["a"] });
  const claimed = await engine.registrations.claim(id);
  if (!("term" in claimed)) throw new Error(claimed.code);
  return claimed;
}

const crowded = { code: "too_many_user_connections" };
const unknown = { code: "unknown_connection" };

describe("a node that was out of reach of Redis", () => {
  /** One that is deaf while `work` is done, and the other. */
  const whileDeaf = async (
    work: (one: RedisNode, two: RedisNode) => Promise<void>,
    before: (one: RedisNode) => Promise<void>,
    after: (one: RedisNode, two: RedisNode) => Promise<void>,
  ) => {
    await using server = await RedisServer.start();
    await using proxy = await TcpProxy.start(server.url);
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url);
    const { one, two } = nodes;
    await before(one);
    // Nothing answers there.
    await using nowhere = await RedisServer.absent();
    proxy.port = nowhere.port;
    proxy.cutAll();
    await one.untilUnhealthy();
    await work(one, two);
    proxy.port = server.port;
    await one.untilHealthy();
    await after(one, two);
  };

  test("ends connections whose registrations were deleted meanwhile, and keeps the others", () =>
    whileDeaf(
      async (_, two) => {
        expect(await two.engine.registrations.remove("gone")).toEqual({ wasRemote: true });
        expect(await two.engine.registrations.remove("gone")).toBeUndefined();
        expect(await two.engine.registrations.claim("gone")).toMatchObject(unknown);
      },
      async (one) => {
        for (const id of ["gone", "kept"]) await claim(one, id, "u");
      },
      async (one, two) => {
        await until("it to be told", () => one.revoked.length > 0);
        expect(one.revoked).toEqual([["gone", undefined]]);
        expect(await claim(two, "kept")).toMatchObject({ wasRemote: true, user: "u" });
      },
    ));

  test("ends connections whose registrations were claimed elsewhere, as replaced by that term", () => {
    let term = 0;
    return whileDeaf(
      async (_, two) => {
        ({ term } = await claim(two, "r"));
      },
      async (one) => {
        await claim(one, "r", "u");
      },
      async (one) => {
        await until("it to be told", () => one.revoked.length > 0);
        expect(one.revoked).toEqual([["r", term]]);
      },
    );
  });

  test("tells what has ended meanwhile: it waits again, or is gone", () =>
    whileDeaf(
      async ({ engine }) => {
        for (const [id, held] of terms)
          engine.registrations.release(id, held, id === "waits" ? "wait" : "end");
      },
      async (one) => {
        for (const id of ["waits", "gone"]) terms.set(id, (await claim(one, id, "u")).term);
      },
      async (_, two) => {
        await until(
          "it to wait",
          async () => "term" in (await two.engine.registrations.claim("waits")),
        );
        expect(await two.engine.registrations.claim("gone")).toMatchObject(unknown);
      },
    ));
  const terms = new Map<string, number>();
});

describe("a server that has lost its data", () => {
  test("is told again what is held, with its terms and counts; what waited is gone", async () => {
    await using server = await RedisServer.start();
    await using nodes = await RedisNode.pair(server.url, server.url, { userConnectionsMax: 2 });
    const { one, two } = nodes;
    const held = await claim(one, "r", "u");
    await one.engine.registrations.own("s", "u");
    await two.engine.registrations.add({ id: "waiting", user: "v" });
    await server.command("FLUSHALL");
    expect(await two.engine.registrations.claim("waiting")).toMatchObject(unknown);
    await until("the count to be back", async () => {
      const refused = await two.engine.registrations.own("x", "u");
      if (refused === undefined) two.engine.registrations.release("x", 0, "end");
      return refused !== undefined;
    });
    const again = await claim(two, "r");
    expect(again).toMatchObject({ user: "u", topics: ["a"], wasRemote: true });
    expect(again.term).toBeGreaterThan(held.term);
  });
});

describe("a claim", () => {
  test("whose answer was lost is given back: the registration waits, and nobody counts", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using proxy = await TcpProxy.start(server.url);
    const prefix = crypto.randomUUID();
    const options = { prefix, userConnectionsMax: 1 };
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url, options);
    const { one, two } = nodes;
    await one.engine.registrations.add({ id: "r", user: "u" });
    // It gets there, and the answer does not come back.
    proxy.latencyMs = 100;
    const { registrations } = one.engine;
    const claims = [registrations.claim("r"), registrations.own("s", "v")].map((call) =>
      Promise.resolve(call).catch((error: unknown) => error),
    );
    const holder = (id: string) => server.command("HGET", `${prefix}:registration:${id}`, "node");
    await until("the server to have taken them", async () =>
      (await Promise.all(["r", "s"].map(holder))).every(Boolean),
    );
    proxy.cutAll();
    for (const error of await Promise.all(claims)) expect(error).toBeInstanceOf(EngineUnavailable);
    proxy.latencyMs = 0;
    await one.untilHealthy();
    await until("them to be given back", async () => (await holder("r")) === "");
    expect(await holder("s")).toBeNull();
    expect(await two.engine.registrations.own("y", "v")).toBeUndefined();
    expect(await claim(two, "r")).toMatchObject({ user: "u", wasRemote: false });
  });

  test("counts once for its user, however often and wherever it is made", async () => {
    const { url } = await RedisServer.shared();
    await using nodes = await RedisNode.pair(url, url, { userConnectionsMax: 2 });
    const { one, two } = nodes;
    await claim(one, "r", "u");
    // Sweeps say what is held meanwhile.
    for (let i = 0; i < 200; i++) await claim(i % 3 === 0 ? two : one, "r");
    await Promise.all(Array.from({ length: 30 }, (_, i) => claim(i % 2 === 0 ? one : two, "r")));
    expect(await one.engine.registrations.own("s", "u")).toBeUndefined();
    expect(await two.engine.registrations.own("t", "u")).toMatchObject(crowded);
    one.engine.registrations.release("s", 0, "end");
    await until("the place to be free", async () => {
      return (await two.engine.registrations.own("t", "u")) === undefined;
    });
  });

  test("of what a dead node held succeeds, and what it had counts no more", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const options = { prefix, userConnectionsMax: 3 };
    await using one = await RedisNode.start(server.url, options);
    const { registrations } = one.engine;
    // What it leaves when it dies: its connections, and for ten seconds its sign of life.
    await registrations.add({ id: "r", user: "u" });
    const fields = ["user", "u", "topics", "", "node", "dead", "term", "7", "kind", "r"];
    await server.command("HSET", `${prefix}:registration:r`, ...fields);
    for (const id of ["r", "s", "t"]) await server.command("HSET", `${prefix}:user:u`, id, "dead");
    await server.command("SET", `${prefix}:node:dead`, "1");
    expect(await registrations.own("x", "u")).toMatchObject(crowded);
    expect(await registrations.add({ id: "x", user: "u" })).toMatchObject(crowded);
    await server.command("DEL", `${prefix}:node:dead`);
    expect(await claim(one, "r")).toMatchObject({ user: "u", wasRemote: true });
    expect(await registrations.own("x", "u")).toBeUndefined();
    expect(await registrations.own("y", "u")).toBeUndefined();
    expect(await registrations.own("z", "u")).toMatchObject(crowded);
  });
});

describe("what nodes tell each other", () => {
  test("goes to every other node, in order, or to one", async () => {
    const { url } = await RedisServer.shared();
    await using nodes = await RedisNode.pair(url);
    const { one, two } = nodes;
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i}\nwith two lines`);
    for (const text of texts) expect(await one.engine.sendToNodes(text)).toBe(1);
    await until("all to arrive", () => two.messages.length === texts.length);
    expect(two.messages).toEqual(texts);
    expect(one.messages).toEqual([]);
  });

  test("is refused at once while Redis is out of reach", async () => {
    await using server = await RedisServer.absent();
    await using node = await RedisNode.start(server.url);
    expect(node.engine.sendToNodes("x")).rejects.toBeInstanceOf(EngineUnavailable);
  });
});
