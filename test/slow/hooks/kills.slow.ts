// What a backend is told although everything is killed in the middle: each event at least once, in its order.
import { expect, test } from "bun:test";
import { RedisServer } from "../../support/engines/redis-server";
import { Chat, chatEnv } from "../../support/hooks/chat";
import { WebhookBackend } from "../../support/hooks/webhook-backend";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const CLIENTS = 20;
const EACH = 500;
const PATIENCE_MS = 120_000;

async function toldAll(chat: Chat & { done: Promise<unknown> }, backend: WebhookBackend) {
  await chat.done;
  await until("all to be told", () => chat.problems(backend).length === 0, PATIENCE_MS);
  expect(chat.total).toBe(CLIENTS * EACH);
  expect(backend.invalid).toEqual([]);
}

test("two workers with a file that are killed in the middle of 10,000 publications of clients tell each, in order", async () => {
  using folder = new Folder();
  await using backend = new WebhookBackend();
  const env = {
    ...chatEnv(),
    ...backend.env("types=client.published"),
    BATON_WORKERS: "2",
    BATON_ENGINE: `sqlite:${folder.path}/baton.db`,
    PORT: String(freePort()),
  };
  const first = await RelayProcess.start(env);
  const chat = Chat.begin([first.url], CLIENTS, EACH);
  await until("a third", () => chat.total > (CLIENTS * EACH) / 3, PATIENCE_MS);
  await first.killAll();
  const second = await RelayProcess.start(env);
  await until("two thirds", () => chat.total > (CLIENTS * EACH * 2) / 3, PATIENCE_MS);
  await second.killAll();
  await using third = await RelayProcess.start(env);
  await toldAll(chat, backend);
  expect(third.loggedErrors).toEqual([]);
});

test("two nodes over Redis of which each is killed once in the middle of 10,000 publications of clients tell each, in order", async () => {
  await using server = await RedisServer.start();
  await using backend = new WebhookBackend();
  const env = {
    ...chatEnv(),
    ...backend.env("types=client.published"),
    BATON_ENGINE: server.url,
  };
  const nodeEnv = () => ({ ...env, PORT: String(freePort()) });
  const [oneEnv, twoEnv] = [nodeEnv(), nodeEnv()];
  const one = await RelayProcess.start(oneEnv);
  const two = await RelayProcess.start(twoEnv);
  const chat = Chat.begin([one.url, two.url], CLIENTS, EACH);
  await until("a third", () => chat.total > (CLIENTS * EACH) / 3, PATIENCE_MS);
  await one.killAll();
  await using again = await RelayProcess.start(oneEnv);
  await until("two thirds", () => chat.total > (CLIENTS * EACH * 2) / 3, PATIENCE_MS);
  await two.killAll();
  await using alsoAgain = await RelayProcess.start(twoEnv);
  await toldAll(chat, backend);
  expect([...again.loggedErrors, ...alsoAgain.loggedErrors]).toEqual([]);
});
