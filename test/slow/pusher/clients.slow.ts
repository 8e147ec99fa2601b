// Client libraries of the Pusher protocol as they come from their registries: over the workers of one relay, over two nodes, and over a
// rolling restart.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  CLIENT_LIBRARIES,
  canRunClient,
  pusherLibraries,
} from "../../support/pusher/client-programs";
import { PUSHER_ENV, PusherClient } from "../../support/pusher/socket-client";
import { DEPLOYMENTS, type Deployment } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";

const libraryNamed = pusherLibraries();
const LIBRARIES = CLIENT_LIBRARIES.filter(canRunClient);

async function publish(url: string, topic: string, data: unknown): Promise<void> {
  const body = JSON.stringify({ topic, event: "order", data });
  const headers = { "content-type": "application/json" };
  expect((await fetch(`${url}/publish`, { method: "POST", headers, body })).status).toBe(200);
}

describe.each(["four workers", "two nodes over Redis"])("over %s", (deployment) => {
  let relays: Deployment;
  beforeAll(async () => {
    relays = await (DEPLOYMENTS[deployment] as (typeof DEPLOYMENTS)[string])(PUSHER_ENV);
  }, 60_000);
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
      for (let n = 0; n < 100; n++) await publish(other, news, { n });
      await client.seen("event", news, "order", '{"n":99}');
      // pusher-java-client may subscribe twice when it is asked to as it connects.
      const isNews = ([kind, channel]: readonly unknown[]) => kind === "event" && channel === news;
      expect(client.events.filter(isNews)).toEqual(
        Array.from({ length: 100 }, (_, n) => ["event", news, "order", JSON.stringify({ n })]),
      );

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
    });

    test(`${name} stays away with a key of no app`, async () => {
      await using client = await start(relays.urls[0] as string, "no-such-app");
      await client.seen("error", "4001");
      expect(client.count("state", "connected")).toBe(0);
    });
  }
});

test("the clients of all libraries are at new workers after a rolling restart of four, with their channels", async () => {
  const env = { ...PUSHER_ENV, BATON_WORKERS: "4", BATON_SHUTDOWN_MS: "500" };
  await using relay = await RelayProcess.start(env);
  const clients = await Promise.all(LIBRARIES.map((name) => libraryNamed(name)(relay.url)));
  await using _ = { [Symbol.asyncDispose]: () => ended(clients) };
  const channels = ["news", "private-a", "presence-a"];
  for (const client of clients) {
    await client.seen("state", "connected");
    for (const channel of channels) await client.subscribed(channel);
  }
  const before = clients.map((client) => client.events.findLast(([kind]) => kind === "state")?.[2]);
  for (const client of clients) client.forget();
  relay.signal("SIGHUP");
  for (const [i, client] of clients.entries()) {
    const [, , after] = await client.seen("state", "connected");
    expect(after).not.toBe(before[i]);
    for (const channel of channels) await client.seen("subscribed", channel);
  }
  await publish(relay.url, "news", { n: 1 });
  for (const client of clients) await client.seen("event", "news", "order", '{"n":1}');
  expect(relay.loggedErrors).toEqual([]);
});

async function ended(clients: readonly AsyncDisposable[]): Promise<void> {
  for (const client of clients) await client[Symbol.asyncDispose]();
}
