// A backend's library of Centrifugo as it comes from PyPI (cent), every method of it, against a relay with clients.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { SECRET, token } from "../../support/centrifuge/sdk";
import { SessionClient } from "../../support/centrifuge/session-client";
import { PythonProgram } from "../../support/machine/python-program";
import { startRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

test("cent finds all that it calls, as it knows it", async () => {
  const key = "a-long-enough-api-key";
  await using relay = await startRelay({
    BATON_API_KEYS: key,
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
  const told = new Map<string, unknown>();
  await using python = new PythonProgram(
    [join(import.meta.dir, "../../python/backend.py"), `${relay.url}/api`, key],
    (line) => told.set(...(JSON.parse(line) as [string, unknown])),
  );
  await python.until("the last method", () => told.has("async"), 20_000);

  const epoch = expect.stringMatching(/^[a-z]{8}$/);
  const first = { data: { n: 1 }, offset: 1, tags: { a: "b" } };
  expect(Object.fromEntries(told)).toEqual({
    publish: { offset: 1, epoch },
    "publish again": { offset: 1, epoch },
    "publish nothing": 107,
    broadcast: {
      responses: [
        { result: { offset: 2, epoch } },
        { result: { offset: 0, epoch: "" } },
        { error: { code: 107, message: "bad request" } },
      ],
    },
    history: { publications: [first, { data: 2, offset: 2 }], offset: 2, epoch },
    "history of an epoch": 112,
    "history of none": 108,
    presence: {
      presence: { [session.id]: { client: session.id, user: "42", conn_info: { name: "Ann" } } },
    },
    presence_stats: { num_clients: 1, num_users: 1 },
    channels: { channels: { room: { num_clients: 1 } } },
    info: {
      nodes: [
        expect.objectContaining({
          name: "baton",
          num_clients: 1,
          num_users: 1,
          num_channels: 1,
          num_subs: 1,
        }),
      ],
    },
    subscribe: {},
    unsubscribe: {},
    refresh: {},
    batch: {
      replies: [
        { offset: 1, epoch },
        { num_clients: 1, num_users: 1 },
      ],
    },
    history_remove: {},
    disconnect: {},
    "with a wrong key": "unauthorized",
    async: { offset: 3, epoch },
  });
  expect(await session.closed).toEqual({ code: 3503, reason: "force disconnect" });
});
