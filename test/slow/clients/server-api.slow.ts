// Centrifugo's Python library for backends (cent), as it comes from PyPI: every method of it against a relay with clients.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { SECRET, token } from "../../support/centrifuge/sdk";
import { SessionClient } from "../../support/centrifuge/session-client";
import { PythonProgram } from "../../support/machine/python-program";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const KEY = "a-long-enough-api-key";

test("every method of the Python library cent gets the answer that it expects from Centrifugo", async () => {
  await using relay = await startRelay({
    BATON_API_KEYS: KEY,
    BATON_TOKEN_SECRET: SECRET,
    BATON_TOPICS_FILE: topicsFile({
      room: { presence: true, allow_subscribe: ["client"] },
      "brief:": { history_size: 0 },
    }),
  });
  const session = await SessionClient.connect(relay, {
    token: await token({ sub: "42", info: { name: "Ann" } }),
    topics: ["room"],
  });
  expect(await outcomesOfEveryMethod(relay)).toEqual(expectedOutcomes(session.id));
  expect(await session.closed).toEqual({ code: 3503, reason: "force disconnect" });
});

/** Runs test/python/backend.py, which calls every method. */
async function outcomesOfEveryMethod(relay: TestRelay): Promise<object> {
  const outcomes = new Map<string, unknown>();
  await using python = new PythonProgram(
    [join(import.meta.dir, "../../python/backend.py"), `${relay.url}/api`, KEY],
    (line) => outcomes.set(...(JSON.parse(line) as [string, unknown])),
  );
  await python.until("the outcome of the last method", () => outcomes.has("async"));
  return Object.fromEntries(outcomes);
}

function expectedOutcomes(client: string): object {
  const epoch = expect.stringMatching(/^[a-z]{8}$/);
  const first = { data: { n: 1 }, offset: 1, tags: { a: "b" } };
  const counts = { num_clients: 1, num_users: 1 };
  return {
    publish: { offset: 1, epoch },
    "publish again": { offset: 1, epoch },
    "publish to no channel": 107,
    broadcast: {
      responses: [
        { result: { offset: 2, epoch } },
        { result: { offset: 0, epoch: "" } },
        { error: { code: 107, message: "bad request: A topic name must not be empty." } },
      ],
    },
    history: { publications: [first, { data: 2, offset: 2 }], offset: 2, epoch },
    "history of another epoch": 112,
    "history that is not kept": 108,
    presence: { presence: { [client]: { client, user: "42", conn_info: { name: "Ann" } } } },
    presence_stats: counts,
    channels: { channels: { room: { num_clients: 1 } } },
    info: {
      nodes: [expect.objectContaining({ name: "baton", ...counts, num_channels: 1, num_subs: 1 })],
    },
    subscribe: {},
    unsubscribe: {},
    refresh: {},
    batch: { replies: [{ offset: 1, epoch }, counts] },
    history_remove: {},
    disconnect: {},
    "with a wrong key": "unauthorized",
    async: { offset: 3, epoch },
  };
}
