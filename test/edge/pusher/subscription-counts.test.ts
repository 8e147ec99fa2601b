// Subscribers of a channel who are told how many they are, where the operator wants it.
import { expect, test } from "bun:test";
import { RedisServer } from "../../support/engines/redis-server";
import { PUSHER_ENV } from "../../support/pusher/app";
import { PusherClient } from "../../support/pusher/socket-client";
import { WebhookReceiver } from "../../support/pusher/webhook-receiver";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const COUNTING = { ...PUSHER_ENV, BATON_PUSHER_SUBSCRIPTION_COUNTS_MS: "20" };

const countIn = (count: number, channel = "news") => ({
  event: "pusher_internal:subscription_count",
  channel,
  data: JSON.stringify({ subscription_count: count }),
});

test("all subscribers of a channel are told when their number has changed, whatever the others speak, and newcomers in any case", async () => {
  await using relay = await startRelay(COUNTING);
  const first = await PusherClient.open(relay.url);
  await first.subscribed("news");
  expect(await first.next()).toEqual(countIn(1));
  const other = await relay.connect(1, ["news"]);
  expect(await first.next()).toEqual(countIn(2));
  const second = await PusherClient.open(relay.url);
  second.subscribe("news");
  await other.close();
  expect((await second.next()).event).toBe("pusher_internal:subscription_succeeded");
  expect((await second.next()).event).toBe("pusher_internal:subscription_count");
  await until("both to be told of both", async () => {
    const [last] = (await first.rest()).slice(-1);
    return JSON.stringify(last) === JSON.stringify(countIn(2));
  });
  // Whoever is told of another channel could have been told of this one.
  await first.subscribed("other");
  expect(await first.next()).toEqual(countIn(1, "other"));
  await relay.connect(1, ["other"]);
  expect(await first.next()).toEqual(countIn(2, "other"));
});

test("a channel that has grown over 100 subscribers is not told of each change, while smaller ones are", async () => {
  await using relay = await startRelay(COUNTING);
  const client = await PusherClient.open(relay.url);
  await client.subscribed("large");
  expect(await client.next()).toEqual(countIn(1, "large"));
  const connect = (user: number) => relay.connect(user, ["large"]);
  await Promise.all(Array.from({ length: 101 }, (_, user) => connect(user)));
  await client.rest();
  client.subscribe("small");
  let frame = await client.next();
  while (frame.channel !== "small" || !frame.event.endsWith("count")) {
    if (frame.channel === "large")
      expect(JSON.parse(frame.data).subscription_count).toBeLessThan(101);
    frame = await client.next();
  }
});

test("nobody is told of a user's own channel or in an encrypted one, nor where the setting is not set", async () => {
  await using relay = await startRelay(COUNTING);
  const client = await PusherClient.open(relay.url);
  client.signIn({ id: "u1" });
  await client.next();
  await client.subscribed("#server-to-user-u1");
  await client.subscribed("private-encrypted-a");
  await client.subscribed("news");
  expect(await client.next()).toEqual(countIn(1));
  expect(await client.rest()).toEqual([]);

  await using silent = await startRelay(PUSHER_ENV);
  const unasked = await PusherClient.open(silent.url);
  await unasked.subscribed("news");
  expect(await unasked.rest()).toEqual([]);
});

test("the backend is told of each change once by one of all nodes, 0 included, in webhooks that the library for Node verifies", async () => {
  await using backend = new WebhookReceiver();
  const env = {
    ...COUNTING,
    ...backend.env,
    BATON_PUSHER_WEBHOOK_EVENTS: "subscription_count",
    BATON_ENGINE: (await RedisServer.shared()).url,
    BATON_REDIS_PREFIX: crypto.randomUUID(),
  };
  await using one = await startRelay(env);
  await using other = await startRelay(env);
  const events: object[] = [];
  const told = async (subscription_count: number, channel = "news") => {
    events.push({ name: "subscription_count", channel, subscription_count });
    await until(
      `${channel} with ${subscription_count}`,
      () => backend.events.length >= events.length,
    );
    expect(backend.events as object[]).toEqual(events);
    expect(backend.invalid).toEqual([]);
  };
  const clients = [await PusherClient.open(one.url), await PusherClient.open(other.url)] as const;
  for (const [i, client] of clients.entries()) {
    await client.subscribed("news");
    await told(i + 1);
  }
  await clients[0].close();
  await told(1);
  await clients[1].close();
  await told(0);
  for (const [i, { url }] of [one, other].entries()) {
    await (await PusherClient.open(url)).subscribed("other");
    await told(i + 1, "other");
  }
});
