// The examples of docs/hooks.md work as they stand, with ports and secrets of the test.
import { expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { Webhook } from "standardwebhooks";
import { readSettings } from "../../../src/settings/read";
import { example, readPage } from "../../support/docs/pages";
import { newSecret } from "../../support/hooks/webhook-backend";
import { freePort } from "../../support/machine/free-port";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

test("the receiver of docs/hooks.md prints what happens, and refuses what is not signed", async () => {
  const port = String(freePort());
  const url = `http://127.0.0.1:${port}/`;
  const secret = newSecret();
  const program = example("docs/hooks.md", "receiver.js").replace(/^import .*$/gm, "");
  const lines: string[] = [];
  const servers: Server[] = [];
  const create = (...given: Parameters<typeof createServer>) => {
    const server = createServer(...given);
    servers.push(server);
    return server;
  };
  const run = new Function(
    "createServer",
    "Webhook",
    "process",
    "console",
    program.replace("9000", port),
  );
  const env = { BATON_WEBHOOK_SECRETS: secret };
  run(
    create,
    Webhook,
    { env },
    { log: (...words: string[]) => lines.push(words.slice(1).join(" ")) },
  );
  await using relay = await startRelay({
    ...env,
    BATON_WEBHOOKS: url,
    BATON_WEBHOOKS_PRIVATE: "1",
    BATON_DEFAULT_TOPICS: "-",
  });
  await relay.connect(1, ["orders:7"]);
  // Before it, and perhaps in a request of its own, comes that the user is online.
  const line = 'topic.occupied {"topic":"orders:7"}';
  await until(`${line} among ${lines}`, () => lines.includes(line));
  expect((await fetch(url, { method: "POST", body: '{"events":[]}' })).status).toBe(401);
  for (const server of servers) server.close();
});

test("docs/hooks.md names every type of event", () => {
  const { webhooks } = readSettings({
    BATON_WEBHOOKS: "https://app.example.com",
    BATON_WEBHOOK_SECRETS: newSecret(),
  });
  const page = readPage("docs/hooks.md");
  for (const type of webhooks[0]?.types ?? []) expect(page).toContain(`| \`${type}\` |`);
});
