// The examples of docs/pusher.md work as they stand.
import { expect, test } from "bun:test";
import Pusher from "pusher-js";
import { example } from "../../support/docs/pages";
import { Shell } from "../../support/docs/shell";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const PAGE = "docs/pusher.md";

test("the program of docs/pusher.md gets what its curl command publishes", async () => {
  await using relay = await startRelay({ BATON_PUSHER_APPS: "1:app-key:a-long-random-secret" });
  await using shell = new Shell();
  const lines: unknown[] = [];
  const clients: Pusher[] = [];
  const Client = class extends Pusher {
    constructor(...given: ConstructorParameters<typeof Pusher>) {
      super(...given);
      clients.push(this);
    }
  };
  const program = example(PAGE, "subscribe.js").replace(/^import .*$/m, "");
  const run = new Function("Pusher", "console", program.replace("8000", String(relay.port)));
  run(Client, { log: (line: unknown) => lines.push(line) });
  await until("the subscription", () => relay.counts.topics === 1);
  const publish = example(PAGE, "publish.sh").replace("http://127.0.0.1:8000", relay.url);
  expect(JSON.parse(await shell.run(publish))).toMatchObject({ delivered: 1 });
  await until("the event", () => lines.length > 0);
  expect(lines).toEqual([{ n: 1 }]);
  for (const client of clients) client.disconnect();
});
