// Webhooks as the library for Node verifies and reads them.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import Pusher from "pusher";
import { outcomes } from "../../support/centrifuge/signed-tokens";
import { example } from "../../support/docs/pages";
import { WebhookBackend } from "../../support/hooks/webhook-backend";
import { freePort } from "../../support/machine/free-port";
import { PUSHER_ENV } from "../../support/pusher/app";
import { PusherClient } from "../../support/pusher/socket-client";
import { WebhookReceiver } from "../../support/pusher/webhook-receiver";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

describe("webhooks of the Pusher protocol", () => {
  let relay: TestRelay;
  let backend: WebhookReceiver;

  const start = async (env: Record<string, string> = {}) => {
    relay = await startRelay({
      ...PUSHER_ENV,
      ...backend.env,
      BATON_DEFAULT_TOPICS: "first",
      ...env,
    });
  };
  /** Waits for so many events with one of these names. */
  const events = async (count: number, ...names: string[]) => {
    const found = () => backend.events.filter(({ name = "" }) => names.includes(name));
    await until(`${count} events`, () => found().length >= count);
    expect(backend.invalid).toEqual([]);
    return found();
  };

  beforeEach(() => {
    backend = new WebhookReceiver();
  });

  afterEach(async () => {
    await relay[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
  });

  test("a channel that gets its first subscriber is occupied, whatever that speaks", async () => {
    await start();
    await relay.connect(1, ["#1", "news", "orders-ü"]);
    await relay.connect(2, ["news"]);
    await (await PusherClient.open(relay.url)).subscribed("cache-a");
    const occupied = await events(4, "channel_occupied");
    const channels = occupied.map(({ channel }) => channel);
    expect(channels.toSorted()).toEqual(["cache-a", "first", "news", "orders-ü"]);
    expect(await events(1, "cache_miss")).toEqual([
      { name: "cache_miss", channel: "cache-a", event: "pusher:cache_miss" },
    ]);
  });

  test("a user who becomes a member is told once, however many connections it has", async () => {
    await start();
    const channel = "presence-a";
    for (const user_id of ["u", "u", "v"]) {
      await (await PusherClient.open(relay.url)).subscribed(channel, { user_id });
    }
    expect(await events(2, "member_added")).toEqual([
      { name: "member_added", channel, user_id: "u" },
      { name: "member_added", channel, user_id: "v" },
    ]);
  });

  test("an event of a client has its data as text, its connection and, in presence channels, its user", async () => {
    await start();
    const client = await PusherClient.open(relay.url);
    await client.subscribed("private-a");
    await client.subscribed("presence-a", { user_id: "u" });
    // What clients of other protocols publish is none.
    expect(await outcomes(relay, "", [{ publish: { channel: "news", data: 1 } }])).toEqual([
      "done",
    ]);
    client.send("client-typing", { n: 1 }, "private-a");
    client.send("client-typing", "text", "presence-a");
    const sent = { name: "client_event", event: "client-typing", socket_id: client.socketId };
    expect(await events(2, "client_event")).toEqual([
      { ...sent, channel: "private-a", data: '{"n":1}' },
      { ...sent, channel: "presence-a", data: "text", user_id: "u" },
    ]);
  });

  test("only the events that are wanted are sent, also where another receiver wants others, and what waits is in the metrics", async () => {
    await using other = new WebhookBackend();
    await start({ BATON_PUSHER_WEBHOOK_EVENTS: "member_added", ...other.env() });
    const client = await PusherClient.open(relay.url);
    await client.subscribed("news");
    await other.told(1, "topic.occupied");
    await client.subscribed("presence-a", { user_id: "u" });
    expect(await events(1, "member_added")).toEqual(backend.events);
    const idle = /^baton_webhook_events_waiting 0$/m;
    await until("none to wait", async () =>
      idle.test((await relay.request("GET", "/metrics")).text),
    );
  });

  test("I10: addresses of this machine are refused unless a setting allows them", async () => {
    await start({ BATON_WEBHOOKS_PRIVATE: "0" });
    await relay.connect(1, ["news"]);
    const isRefused = () => relay.log.some((line) => line.includes("BATON_WEBHOOKS_PRIVATE"));
    await until("a warning", isRefused);
    expect(backend.events).toEqual([]);
  });

  test("the program of docs/pusher.md prints what happens", async () => {
    const port = String(freePort());
    const program = example("docs/pusher.md", "webhooks.js").replace(/^import .*$/gm, "");
    const lines: string[] = [];
    const servers: Server[] = [];
    const create = (...given: Parameters<typeof createServer>) => {
      const server = createServer(...given);
      servers.push(server);
      return server;
    };
    const run = new Function("createServer", "Pusher", "console", program.replace("9000", port));
    run(create, Pusher, { log: (...words: string[]) => lines.push(words.join(" ")) });
    await start({
      BATON_PUSHER_APPS: "1:app-key:a-long-random-secret",
      BATON_PUSHER_WEBHOOKS: `http://127.0.0.1:${port}/`,
    });
    await relay.connect(1, ["news"]);
    await until("the lines", () => lines.length === 2);
    expect(lines.toSorted()).toEqual(["channel_occupied first", "channel_occupied news"]);
    for (const server of servers) server.close();
  });
});
