// Receivers of webhooks that are down for a while, slow, or answer with an error: nothing is lost or out of order, the backlog is
// bounded, and whoever is told again what is missing learns how much.
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { RedisServer } from "../../support/engines/redis-server";
import { Chat, chatEnv } from "../../support/hooks/chat";
import { newSecret, WebhookBackend } from "../../support/hooks/webhook-backend";
import { freePort } from "../../support/machine/free-port";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const PATIENCE_MS = 120_000;

const metric = async (relay: RelayProcess, name: string): Promise<number> => {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? Number.NaN);
};

test("a receiver that is down, then answers 500, then takes seconds, is told everything once it can, in order", async () => {
  const port = freePort();
  const secret = newSecret();
  const env = {
    ...chatEnv(),
    BATON_WEBHOOKS: `http://127.0.0.1:${port}/ types=client.published`,
    BATON_WEBHOOK_SECRETS: secret,
    BATON_WEBHOOKS_PRIVATE: "1",
    BATON_WORKERS: "2",
  };
  await using relay = await RelayProcess.start(env);
  const chat = Chat.begin([relay.url], 10, 100);
  await chat.done;
  // Nobody listens yet.
  await until(
    "all to wait",
    async () => (await metric(relay, "baton_webhook_events_waiting")) === 1_000,
  );
  await using backend = new WebhookBackend(secret, port);
  backend.answer = () => new Response("", { status: 500 });
  await until("some attempts", () => backend.requests.length > 1, PATIENCE_MS);
  expect(new Set(backend.requests.map(({ id }) => id)).size).toBe(1);
  let slow = 2;
  backend.answer = async () => {
    if (slow-- > 0) await Bun.sleep(2_000);
    return new Response();
  };
  await until("all to be told", () => chat.problems(backend).length === 0, PATIENCE_MS);
  await until(
    "nothing to wait",
    async () => (await metric(relay, "baton_webhook_events_waiting")) === 0,
  );
  expect(await metric(relay, 'baton_webhook_events_total{outcome="given_up"}')).toBe(0);
  expect(backend.invalid).toEqual([]);
});

test("a receiver that accepts connections and never answers does not stop others from being told", async () => {
  const silent = createServer(() => {});
  const port = freePort();
  silent.listen(port, "127.0.0.1");
  await using backend = new WebhookBackend();
  const env = backend.env("types=client.published");
  await using relay = await RelayProcess.start({
    ...chatEnv(),
    ...env,
    BATON_WEBHOOKS: `http://127.0.0.1:${port}/ types=client.published,${env.BATON_WEBHOOKS}`,
  });
  const chat = Chat.begin([relay.url], 5, 100);
  await chat.done;
  await until("all to be told", () => chat.problems(backend).length === 0, PATIENCE_MS);
  silent.close();
});

test("of more events than may wait the newest are dropped, and a receiver learns how many are missing", async () => {
  await using server = await RedisServer.start();
  await using backend = new WebhookBackend();
  backend.answer = () => new Response("", { status: 503 });
  await using relay = await RelayProcess.start({
    ...chatEnv(),
    ...backend.env("types=client.published"),
    BATON_ENGINE: server.url,
    BATON_WEBHOOKS_WAITING_MAX: "300",
  });
  const chat = Chat.begin([relay.url], 5, 100);
  await chat.done;
  const givenUp = () => metric(relay, 'baton_webhook_events_total{outcome="given_up"}');
  await until("some to be dropped", async () => (await givenUp()) === 200);
  await until(
    "the others to wait",
    async () => (await metric(relay, "baton_webhook_events_waiting")) === 300,
  );
  backend.answer = () => new Response();
  const [gap] = await backend.told(1, "events.lost", PATIENCE_MS);
  expect(gap?.data).toEqual({ count: 200 });
  expect(backend.events.filter(({ type }) => type === "client.published")).toHaveLength(300);
  // Clients were answered all the same.
  expect(chat.total).toBe(500);
});

test("a receiver that redirects is not followed, and one that is gone (410) is told nothing more", async () => {
  await using backend = new WebhookBackend();
  await using other = new WebhookBackend(backend.secret);
  backend.answer = () => Response.redirect(other.url, 307);
  await using relay = await RelayProcess.start({
    ...chatEnv(),
    ...backend.env("types=client.published"),
  });
  await Chat.begin([relay.url], 1, 10).done;
  await until("an attempt", () => backend.requests.length > 0, PATIENCE_MS);
  backend.answer = () => new Response("", { status: 410 });
  const givenUp = () => metric(relay, 'baton_webhook_events_total{outcome="given_up"}');
  await until("all to be given up", async () => (await givenUp()) === 10);
  const { length } = backend.requests;
  await Chat.begin([relay.url], 1, 10).done;
  await until("those too", async () => (await givenUp()) === 20);
  expect(backend.requests).toHaveLength(length);
  expect([other.requests, other.invalid]).toEqual([[], []]);
});
