// The example of docs/pusher.md works as it stands, with the relay's own port.
import { expect, test } from "bun:test";
import { createRequire } from "node:module";
import { JsonClient } from "../support/clients/json-client";
import { example } from "../support/docs/pages";
import { startRelay } from "../support/relay/test-relay";

const APP = { BATON_PUSHER_APPS: "1:app-key:a-long-random-secret" };

test("the backend of docs/pusher.md publishes events and lists channels", async () => {
  await using relay = await startRelay(APP);
  const { url } = await relay.registration(1, ["orders", "private-orders"]);
  const client = await JsonClient.open(relay, url);
  await client.choose(["orders", "private-orders"]);
  const printed: unknown[] = [];
  const code = example("docs/pusher.md", "trigger.js").replaceAll("8000", String(relay.port));
  const run = new Function("require", "console", `return (async () => {${code}})();`);
  await run(createRequire(import.meta.url), { log: (value: unknown) => printed.push(value) });
  const frames = [];
  for (let i = 0; i < 4; i++) frames.push(await client.next());
  expect(frames.map(({ topic, event, data }) => [topic, event, data.id])).toEqual([
    ["orders", "shipped", 7],
    ["private-orders", "shipped", 7],
    ["orders", "shipped", 8],
    ["orders", "shipped", 9],
  ]);
  expect(printed).toEqual([
    {
      channels: {
        orders: { subscription_count: 1 },
        "private-orders": { subscription_count: 1 },
      },
    },
  ]);
});
