// Subscribers of a channel who are told how many they are, where the operator wants it.
import { expect, test } from "bun:test";
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

test("the backend is told by webhooks that the library for Node verifies, 0 included", async () => {
  await using backend = new WebhookReceiver();
  await using relay = await startRelay({
    ...COUNTING,
    ...backend.env,
    BATON_PUSHER_WEBHOOK_EVENTS: "subscription_count",
  });
  const client = await PusherClient.open(relay.url);
  await client.subscribed("news");
  expect(await client.next()).toEqual(countIn(1));
  await client.close();
  await until("both events", () => backend.events.length >= 2);
  expect([backend.events as unknown, backend.invalid]).toEqual([
    [1, 0].map((subscription_count) => ({
      name: "subscription_count",
      channel: "news",
      subscription_count,
    })),
    [],
  ]);
});
