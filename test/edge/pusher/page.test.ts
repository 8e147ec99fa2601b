// The examples of docs/pusher.md work as they stand, with the relay's own port.
import { afterAll, beforeAll, expect, test } from "bun:test";
import Backend from "pusher";
import Pusher from "pusher-js";
import { JsonClient } from "../../support/clients/json-client";
import { example } from "../../support/docs/pages";
import { Shell } from "../../support/docs/shell";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_PUSHER_APPS: "1:app-key:a-long-random-secret" });
});
afterAll(() => relay[Symbol.asyncDispose]());

/** Runs a program of the page with this library, and resolves with what it prints, which may go on. */
async function run(name: string, library: unknown): Promise<readonly unknown[]> {
  const printed: unknown[] = [];
  const program = example("docs/pusher.md", name).replace(/^import .*$/m, "");
  const code = `return (async () => {${program.replace("8000", String(relay.port))}})();`;
  const log = (value: unknown) => printed.push(value);
  await new Function("Pusher", "console", code)(library, { log });
  return printed;
}

test("the client of docs/pusher.md gets what its curl command publishes", async () => {
  await using shell = new Shell();
  const clients: Pusher[] = [];
  const Client = class extends Pusher {
    constructor(...given: ConstructorParameters<typeof Pusher>) {
      super(...given);
      clients.push(this);
    }
  };
  const printed = await run("subscribe.js", Client);
  await until("the subscription", () => clients[0]?.channel("news")?.subscribed === true);
  const publish = example("docs/pusher.md", "publish.sh");
  const answer = await shell.run(publish.replace("http://127.0.0.1:8000", relay.url));
  expect(JSON.parse(answer)).toMatchObject({ delivered: 1 });
  await until("the event", () => printed.length > 0);
  expect(printed).toEqual([{ n: 1 }]);
  for (const client of clients) client.disconnect();
});

test("the backend of docs/pusher.md publishes events and lists channels", async () => {
  const topics = ["orders", "private-orders"];
  const { url } = await relay.registration(1, topics);
  const client = await JsonClient.open(relay, url);
  await client.choose(topics);
  const [answer] = (await run("trigger.js", Backend)) as { channels: object }[];
  const frames = [];
  for (let i = 0; i < 4; i++) frames.push(await client.next());
  expect(frames.map(({ topic, event, data }) => [topic, event, data.id])).toEqual([
    ["orders", "shipped", 7],
    ["private-orders", "shipped", 7],
    ["orders", "shipped", 8],
    ["orders", "shipped", 9],
  ]);
  const one = { subscription_count: 1 };
  expect(answer?.channels).toMatchObject({ orders: one, "private-orders": one });
  await client.close();
});
