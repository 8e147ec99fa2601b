// Client libraries of the Pusher protocol as they come from their registries: over the workers of one relay, over two nodes, and while
// both are replaced.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RedisServer } from "../../support/engines/redis-server";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { backendOf } from "../../support/pusher/backend";
import {
  CLIENT_LIBRARIES,
  canRunClient,
  pusherLibraries,
} from "../../support/pusher/client-programs";
import { PusherClient } from "../../support/pusher/socket-client";
import { DEPLOYMENTS, type Deployment } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const libraryNamed = pusherLibraries();
const LIBRARIES = CLIENT_LIBRARIES.filter(canRunClient);

const EVENTS = 1_000;
const BATCH = 100;

/** Between two events that are to reach clients which may still be on their way. */
const PAUSE_MS = 50;

/** The events come from the library for Node. */
async function triggerAll(url: string, channel: string, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, n) => ({ channel, name: "order", data: { n } }));
  for (let from = 0; from < count; from += BATCH) {
    await backendOf(url).triggerBatch(events.slice(from, from + BATCH));
  }
}

async function publish(url: string, topic: string, data: unknown): Promise<void> {
  const body = JSON.stringify({ topic, event: "order", data });
  const headers = { "content-type": "application/json" };
  expect((await fetch(`${url}/publish`, { method: "POST", headers, body })).status).toBe(200);
}

describe.each(["four workers", "two nodes over Redis"])("over %s", (deployment) => {
  let relays: Deployment;
  beforeAll(async () => {
    relays = await (DEPLOYMENTS[deployment] as (typeof DEPLOYMENTS)[string])(PUSHER_ENV);
  });
  afterAll(() => relays[Symbol.asyncDispose]());

  for (const [i, name] of LIBRARIES.entries()) {
    const start = libraryNamed(name);

    test(`${name} has channels of all kinds, members and events of clients`, async () => {
      const [url, other] = [relays.urls[0] as string, relays.urls.at(-1) as string];
      const [news, secret, room] = [`news-${i}`, `private-${i}`, `presence-${i}`];
      await publish(other, `cache-${i}`, { n: 7 });
      await using client = await start(url);
      const [, , socketId] = await client.seen("state", "connected");
      expect(socketId).toMatch(/^\d+\.\d+$/);
      for (const channel of [news, secret, room, `cache-${i}`, `cache-none-${i}`]) {
        await client.subscribed(channel);
      }
      await client.seen("event", `cache-${i}`, "order", '{"n":7}');
      await client.seen("event", `cache-none-${i}`, "pusher:cache_miss");
      expect(await client.seen("members")).toEqual(["members", room, ["a"]]);
      await triggerAll(other, news, EVENTS);
      await client.seen("event", news, "order", `{"n":${EVENTS - 1}}`);
      // pusher-java-client may subscribe twice when it is asked to as it connects.
      const isNews = ([kind, channel]: readonly unknown[]) => kind === "event" && channel === news;
      expect(client.events.filter(isNews)).toEqual(
        Array.from({ length: EVENTS }, (_, n) => ["event", news, "order", JSON.stringify({ n })]),
      );

      const numbered = await PusherClient.open(other);
      await numbered.subscribed(room, { user_id: 7, user_info: { id: "7" } });
      await client.seen("added", room, "7");
      const member = await PusherClient.open(other);
      await member.subscribed(room, { user_id: "b", user_info: { id: "b" } });
      await client.seen("added", room, "b");
      await member.subscribed(secret);
      client.call(`trigger ${secret}`);
      expect(await member.next()).toMatchObject({ event: "client-typing", channel: secret });
      member.send("client-typing", { n: 2 }, room);
      await client.seen("event", room, "client-typing");
      await member.close();
      await client.seen("removed", room, "b");
      await numbered.close();
    });

    test(`${name} stays away with a key of no app`, async () => {
      await using client = await start(relays.urls[0] as string, "no-such-app");
      await client.seen("error", "4001");
      expect(client.count("state", "connected")).toBe(0);
    });
  }
});

test("the clients of all libraries are at new workers after a rolling restart, and at the next node when theirs ends, with their channels", async () => {
  const { url } = await RedisServer.shared();
  const engine = { BATON_ENGINE: url, BATON_REDIS_PREFIX: crypto.randomUUID() };
  const env = { ...PUSHER_ENV, ...engine, BATON_SHUTDOWN_MS: "500" };
  await using workers = await RelayProcess.start({ ...env, BATON_WORKERS: "4" });
  await using next = await RelayProcess.start(env);
  await using balancer = await TcpProxy.start(workers.url);
  const entry = balancer.through(workers.url);
  const clients = await Promise.all(LIBRARIES.map((name) => libraryNamed(name)(entry)));
  await using _ = { [Symbol.asyncDispose]: () => ended(clients) };
  const channels = ["news", "private-a", "presence-a"];
  for (const client of clients) {
    await client.seen("state", "connected");
    for (const channel of channels) await client.subscribed(channel);
  }
  const replaced = async (replace: () => void) => {
    const ids = clients.map(({ events }) => events.findLast(([kind]) => kind === "state")?.[2]);
    for (const client of clients) client.forget();
    replace();
    for (const [i, client] of clients.entries()) {
      const [, , id] = await client.seen("state", "connected");
      expect(id).not.toBe(ids[i]);
      for (const channel of channels) await client.seen("subscribed", channel);
    }
  };
  let n = 0;
  /** A client may have come to an old worker first, from which it comes back once more: what it misses meanwhile is gone for it. */
  const allReceive = async () => {
    for (const client of clients) client.forget();
    await until("an event at each", async () => {
      await publish(next.url, "news", { n: ++n });
      await Bun.sleep(PAUSE_MS);
      return clients.every((client) => client.count("event", "news", "order") > 0);
    });
  };
  await replaced(() => workers.signal("SIGHUP"));
  await allReceive();
  await replaced(() => {
    balancer.port = next.port;
    workers.signal("SIGTERM");
  });
  expect(await workers.exited).toBe(0);
  await allReceive();
  expect([...workers.loggedErrors, ...next.loggedErrors]).toEqual([]);
});

test("clients of all libraries that say nothing, and those that only receive, stay connected through the relay's pings", async () => {
  const env = { ...PUSHER_ENV, BATON_PING_MS: "200", BATON_PONG_MS: "5000" };
  await using relay = await RelayProcess.start(env);
  const clients = await Promise.all(LIBRARIES.map((name) => libraryNamed(name)(relay.url)));
  await using _ = { [Symbol.asyncDispose]: () => ended(clients) };
  for (const [i, client] of clients.entries()) {
    await client.seen("state", "connected");
    await client.subscribed(i % 2 === 0 ? "quiet" : "busy");
  }
  let pings = 0;
  const witness = new WebSocket(`${relay.url.replace("http", "ws")}/app/${APP.key}`);
  witness.addEventListener("ping", () => pings++);
  await until("many pings", async () => {
    await publish(relay.url, "busy", { n: 1 });
    return pings >= 20;
  });
  witness.close();
  await publish(relay.url, "quiet", { n: 2 });
  for (const [i, client] of clients.entries()) {
    const [channel, data] = i % 2 === 0 ? ["quiet", '{"n":2}'] : ["busy", '{"n":1}'];
    await client.seen("event", channel, "order", data);
    expect(client.count("state", "connected")).toBe(1);
  }
});

test("clients of all libraries that were refused because there was no room connect by themselves when there is", async () => {
  const room = LIBRARIES.length;
  const env = { ...PUSHER_ENV, BATON_CONNECTIONS_MAX: String(room) };
  await using relay = await RelayProcess.start(env);
  const others = await Promise.all(LIBRARIES.map(() => PusherClient.open(relay.url)));
  const clients = await Promise.all(LIBRARIES.map((name) => libraryNamed(name)(relay.url)));
  await using _ = { [Symbol.asyncDispose]: () => ended(clients) };
  await until("all to be refused", async () => (await refusals(relay)) >= room);
  for (const other of others) await other.close();
  for (const client of clients) await client.seen("state", "connected");
});

/** How many handshakes were refused because there was no room. */
async function refusals(relay: RelayProcess): Promise<number> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(/code="too_many_connections"[^}]*\} (\d+)/.exec(text)?.[1] ?? 0);
}

async function ended(clients: readonly AsyncDisposable[]): Promise<void> {
  for (const client of clients) await client[Symbol.asyncDispose]();
}
