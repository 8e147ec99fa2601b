// Webhooks as the library for Node verifies and reads them.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import Pusher from "pusher";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const APP = { appId: "1", key: "app-key", secret: "a-secret-of-the-app", host: "127.0.0.1" };

interface Received {
  readonly headers: Record<string, string>;
  readonly rawBody: string;
}

describe("webhooks of the Pusher protocol", () => {
  let relay: TestRelay;
  let received: Received[];
  let receiver: ReturnType<typeof Bun.serve>;

  const start = (env: Record<string, string> = {}) =>
    startRelay({
      BATON_PUSHER_APPS: `${APP.appId}:${APP.key}:${APP.secret},2:other-key:another-secret-of-an-app`,
      BATON_PUSHER_WEBHOOKS: receiver.url.href,
      BATON_WEBHOOKS_PRIVATE: "1",
      BATON_DEFAULT_TOPICS: "first",
      ...env,
    });
  /** Waits for so many events, each verified. */
  const events = async (count: number) => {
    const pusher = new Pusher(APP);
    const read = () =>
      received.flatMap((request) => {
        const webhook = pusher.webhook(request);
        if (!webhook.isValid()) throw new Error(`not valid: ${JSON.stringify(request)}`);
        expect(Math.abs(webhook.getTime().getTime() - Date.now())).toBeLessThan(60_000);
        return webhook.getEvents();
      });
    await until(`${count} events`, () => read().length >= count);
    return read();
  };

  beforeEach(() => {
    received = [];
    receiver = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        const headers = Object.fromEntries(request.headers);
        received.push({ headers, rawBody: await request.text() });
        return new Response();
      },
    });
  });

  afterEach(async () => {
    await relay[Symbol.asyncDispose]();
    await receiver.stop(true);
  });

  test("a channel that gets its first subscriber is occupied, whatever that speaks", async () => {
    relay = await start();
    await relay.connect(1, ["news", "orders-ü"]);
    await relay.connect(2, ["news"]);
    const occupied = await events(3);
    expect(new Set(occupied.map(({ name }) => name))).toEqual(new Set(["channel_occupied"]));
    const channels = occupied.map(({ channel }) => channel);
    expect(channels.toSorted()).toEqual(["first", "news", "orders-ü"]);
  });

  test("only the events that are wanted are sent, and what waits is in the metrics", async () => {
    relay = await start({ BATON_PUSHER_WEBHOOK_EVENTS: "client_event" });
    await relay.connect(1, ["news"]);
    const { text } = await relay.request("GET", "/metrics");
    expect(text).toContain("baton_webhook_events_waiting 0");
    expect(text).toContain('baton_webhook_events_total{outcome="sent"} 0');
    expect(received).toEqual([]);
  });

  test("addresses of this machine are refused unless a setting allows them", async () => {
    relay = await start({ BATON_WEBHOOKS_PRIVATE: "0" });
    await relay.connect(1, ["news"]);
    await until("a warning", () =>
      relay.log.some((line) => line.includes("BATON_WEBHOOKS_PRIVATE")),
    );
    expect(received).toEqual([]);
  });
});
