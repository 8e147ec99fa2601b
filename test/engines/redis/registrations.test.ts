// Registrations over Redis: which node owns what after nodes were cut off, claims were lost, and servers have lost their data.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Claimed } from "../../../src/relay/contracts/engine";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { RedisNode } from "../../support/engines/redis-node";
import { RedisServer } from "../../support/engines/redis-server";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { until } from "../../support/wait";

setDefaultTimeout(120_000);

/** A claimed registration of this user. */
async function claim({ engine }: RedisNode, id: string, user?: string): Promise<Claimed> {
  if (user !== undefined) await engine.registrations.add({ id, user, topics: ["a"] });
  const claimed = await engine.registrations.claim(id);
  if (!("term" in claimed)) throw new Error(claimed.code);
  return claimed;
}

const tooMany = { code: "too_many_user_connections" };
const unknown = { code: "unknown_connection" };

describe("registrations of a node that was cut off from Redis", () => {
  /** Cuts node one off from Redis, and connects it again. */
  const cutOff = async ({
    before,
    meanwhile,
    after,
  }: {
    before: (one: RedisNode) => Promise<void>;
    meanwhile: (one: RedisNode, two: RedisNode) => Promise<void>;
    after: (one: RedisNode, two: RedisNode) => Promise<void>;
  }) => {
    await using server = await RedisServer.start();
    await using proxy = await TcpProxy.start(server.url);
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url);
    const { one, two } = nodes;
    await before(one);
    await using nowhere = await RedisServer.absent();
    proxy.port = nowhere.port;
    proxy.cutAll();
    await one.untilUnhealthy();
    await meanwhile(one, two);
    proxy.port = server.port;
    await one.untilHealthy();
    await after(one, two);
  };

  test("a node that was cut off ends connections whose registrations were removed meanwhile, and keeps the others", () =>
    cutOff({
      before: async (one) => {
        for (const id of ["gone", "kept"]) await claim(one, id, "u");
      },
      meanwhile: async (_, two) => {
        expect(await two.engine.registrations.remove("gone")).toEqual({ wasRemote: true });
        expect(await two.engine.registrations.remove("gone")).toBeUndefined();
        expect(await two.engine.registrations.claim("gone")).toMatchObject(unknown);
      },
      after: async (one, two) => {
        await until("the revocation", () => one.revoked.length > 0);
        expect(one.revoked).toEqual([["gone", undefined]]);
        expect(await claim(two, "kept")).toMatchObject({ wasRemote: true, user: "u" });
      },
    }));

  test("a node that was cut off ends connections whose registrations were claimed elsewhere, with the term of the claim", () => {
    let term = 0;
    return cutOff({
      before: async (one) => {
        await claim(one, "r", "u");
      },
      meanwhile: async (_, two) => {
        ({ term } = await claim(two, "r"));
      },
      after: async (one) => {
        await until("the revocation", () => one.revoked.length > 0);
        expect(one.revoked).toEqual([["r", term]]);
      },
    });
  });

  test("a node that was cut off releases what has ended meanwhile: the registration waits again, or is gone", () => {
    const terms = new Map<string, number>();
    return cutOff({
      before: async (one) => {
        for (const id of ["waits", "gone"]) terms.set(id, (await claim(one, id, "u")).term);
      },
      meanwhile: async ({ engine }) => {
        for (const [id, term] of terms) {
          engine.registrations.release(id, term, id === "waits" ? "wait" : "end");
        }
      },
      after: async (_, two) => {
        const { registrations } = two.engine;
        await until(
          "the registration to wait",
          async () => "term" in (await registrations.claim("waits")),
        );
        expect(await registrations.claim("gone")).toMatchObject(unknown);
      },
    });
  });
});

describe("registrations after Redis has lost its data", () => {
  test("owned registrations are stored again with their terms and counts; those that waited are gone", async () => {
    await using server = await RedisServer.start();
    await using nodes = await RedisNode.pair(server.url, server.url, { userConnectionsMax: 2 });
    const { one, two } = nodes;
    const before = await claim(one, "r", "u");
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
    expect(again.term).toBeGreaterThan(before.term);
  });
});

describe("a claim over Redis", () => {
  test("a claim whose answer was lost is released: the registration waits, and no connection counts", async () => {
    await using server = await RedisServer.start({ durable: true });
    await using proxy = await TcpProxy.start(server.url);
    const prefix = crypto.randomUUID();
    const options = { prefix, userConnectionsMax: 1 };
    await using nodes = await RedisNode.pair(proxy.through(server.url), server.url, options);
    const { one, two } = nodes;
    await one.engine.registrations.add({ id: "r", user: "u" });
    // The claims reach the server, and the answers do not come back.
    proxy.latencyMs = 100;
    const { registrations } = one.engine;
    const claims = [registrations.claim("r"), registrations.own("s", "v")].map((call) =>
      Promise.resolve(call).catch((error: unknown) => error),
    );
    const owner = (id: string) => server.command("HGET", `${prefix}:registration:${id}`, "node");
    await until("the server to have made the claims", async () =>
      (await Promise.all(["r", "s"].map(owner))).every(Boolean),
    );
    proxy.cutAll();
    for (const error of await Promise.all(claims)) expect(error).toBeInstanceOf(EngineUnavailable);
    proxy.latencyMs = 0;
    await one.untilHealthy();
    await until("the claims to be released", async () => (await owner("r")) === "");
    expect(await owner("s")).toBeNull();
    expect(await two.engine.registrations.own("y", "v")).toBeUndefined();
    expect(await claim(two, "r")).toMatchObject({ user: "u", wasRemote: false });
  });

  test("a registration counts once for its user, however often and wherever it is claimed", async () => {
    const { url } = await RedisServer.shared();
    await using nodes = await RedisNode.pair(url, url, { userConnectionsMax: 2 });
    const { one, two } = nodes;
    await claim(one, "r", "u");
    // Sweeps renew what is owned meanwhile.
    for (let i = 0; i < 200; i++) await claim(i % 3 === 0 ? two : one, "r");
    await Promise.all(Array.from({ length: 30 }, (_, i) => claim(i % 2 === 0 ? one : two, "r")));
    expect(await one.engine.registrations.own("s", "u")).toBeUndefined();
    expect(await two.engine.registrations.own("t", "u")).toMatchObject(tooMany);
    one.engine.registrations.release("s", 0, "end");
    await until("the user to have room", async () => {
      return (await two.engine.registrations.own("t", "u")) === undefined;
    });
  });

  test("a connection that ended when Redis had evicted its registration counts no longer", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix, userConnectionsMax: 2 });
    const { registrations } = node.engine;
    const { term } = await claim(node, "evicted", "u");
    await claim(node, "kept", "u");
    await server.command("DEL", `${prefix}:registration:evicted`);
    registrations.release("evicted", term, "end");
    await claim(node, "new", "u");
    expect(await registrations.add({ id: "more", user: "u" })).toMatchObject(tooMany);
  });

  test("registrations of a dead node can be claimed, and its connections no longer count", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const options = { prefix, userConnectionsMax: 3 };
    await using one = await RedisNode.start(server.url, options);
    const { registrations } = one.engine;
    // What a node leaves when it dies: its connections, and for ten seconds its heartbeat.
    await registrations.add({ id: "r", user: "u" });
    const fields = ["user", "u", "topics", "", "node", "dead", "term", "7", "kind", "r"];
    for (const id of ["r", "s", "t"]) {
      await server.command("HSET", `${prefix}:registration:${id}`, ...fields);
      await server.command("HSET", `${prefix}:user:u`, id, "dead");
    }
    await server.command("SET", `${prefix}:node:dead`, "1");
    expect(await registrations.own("x", "u")).toMatchObject(tooMany);
    expect(await registrations.add({ id: "x", user: "u" })).toMatchObject(tooMany);
    await server.command("DEL", `${prefix}:node:dead`);
    expect(await claim(one, "r")).toMatchObject({ user: "u", wasRemote: true });
    expect(await registrations.own("x", "u")).toBeUndefined();
    expect(await registrations.own("y", "u")).toBeUndefined();
    expect(await registrations.own("z", "u")).toMatchObject(tooMany);
  });
});

describe("what a node renews in Redis", () => {
  test("its claims hold though a server has lost them, and do not expire; what a dead node had is removed", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    await using node = await RedisNode.start(server.url, { prefix, machine: "m" });
    const { registrations } = node.engine;
    await claim(node, "r", "u");
    const [registration, user, machine] = ["registration:r", "user:u", "machine:m"].map(
      (key) => `${prefix}:${key}`,
    ) as [string, string, string];
    const later = String(2 * Date.now() * 1_000);
    // As after a failover to a server that the claim had not reached.
    await server.command("DEL", machine);
    await server.command("HSET", user, "x", "dead");
    await server.command("ZADD", `${prefix}:waiting`, later, "r");
    await server.command("HSET", registration, "node", "", "until", later);
    await until("it to be the owner", async () => {
      return (await server.command("HGET", registration, "node")) === node.name;
    });
    await until("the user's connections to be its own", async () => {
      return (await server.command("HEXISTS", user, "x")) === 0;
    });
    await until("the machine's to be known", async () => {
      return (await server.command("HGET", machine, node.name)) === "1";
    });
    expect(await server.command("ZCARD", `${prefix}:waiting`)).toBe(0);
    await server.command("PEXPIRE", registration, "100000");
    await until("it to be kept", async () => {
      return Number(await server.command("PTTL", registration)) > 100_000;
    });
    await server.command("HSET", machine, "dead", "5");
    await registrations.own("s", "u");
    expect(await server.command("HEXISTS", machine, "dead")).toBe(0);
  });

  test("registrations whose time is over are not counted as waiting, though nothing else happens", async () => {
    const { url } = await RedisServer.shared();
    await using node = await RedisNode.start(url, { registrationTtlMs: 100 });
    const { registrations } = node.engine;
    await registrations.add({ id: "r", user: "u" });
    expect(registrations.waiting).toBe(1);
    await until("it to be over", () => registrations.waiting === 0);
  });

  test("a connection that was removed or has ended makes room at once, also on another node", async () => {
    const server = await RedisServer.shared();
    const prefix = crypto.randomUUID();
    const limits = { prefix, userConnectionsMax: 1, connectionsMax: 2, machine: "m" };
    await using nodes = await RedisNode.pair(server.url, server.url, limits);
    const { one, two } = nodes;
    await claim(one, "r", "u");
    await one.engine.registrations.own("s", "v");
    one.stall();
    expect(await two.engine.registrations.own("x", "w")).toMatchObject({
      code: "too_many_connections",
    });
    expect(await two.engine.registrations.add({ id: "t", user: "u" })).toMatchObject(tooMany);
    expect(await two.engine.registrations.remove("r")).toEqual({ wasRemote: true });
    expect(await two.engine.registrations.add({ id: "t", user: "u" })).toBeUndefined();
    one.engine.registrations.release("s", 0, "end");
    await until("the count of its node to be less", async () => {
      return (await server.command("HGET", `${prefix}:machine:m`, one.name)) === "1";
    });
    await until("room", async () => (await two.engine.registrations.own("x", "w")) === undefined);
  });
});

describe("messages between nodes", () => {
  test("a message goes to every other node, in order, or to one", async () => {
    const { url } = await RedisServer.shared();
    await using nodes = await RedisNode.pair(url);
    const { one, two } = nodes;
    const texts = Array.from({ length: 100 }, (_, i) => `message ${i}\nwith two lines`);
    for (const text of texts) expect(await one.engine.sendToNodes(text)).toBe(1);
    await until("all to arrive", () => two.messages.length === texts.length);
    expect(two.messages).toEqual(texts);
    expect(one.messages).toEqual([]);
  });

  test("a message is refused at once while Redis is out of reach", async () => {
    await using server = await RedisServer.absent();
    await using node = await RedisNode.start(server.url);
    expect(node.engine.sendToNodes("x")).rejects.toBeInstanceOf(EngineUnavailable);
  });
});
