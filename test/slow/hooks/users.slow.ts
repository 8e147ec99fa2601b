// Who comes and goes, as a backend is told of it by every kind of deployment, and when everything is killed.
import { describe, expect, test } from "bun:test";
import { Client } from "../../support/clients/client";
import { RedisServer } from "../../support/engines/redis-server";
import { WebhookBackend } from "../../support/hooks/webhook-backend";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { childrenOf } from "../../support/machine/processes";
import { Caller, DEPLOYMENTS } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const OFFLINE_MS = "1500";

/** Those who are left of a dead node over Redis are removed when its place has not been renewed for 10 s. */
const PATIENCE_MS = 60_000;

const env = (backend: WebhookBackend) => ({
  ...backend.env(
    "types=user.online+user.offline+user.joined+user.left+topic.occupied+topic.vacated",
  ),
  BATON_OFFLINE_MS: OFFLINE_MS,
  BATON_TOPICS_FILE: topicsFile({ "room:": { presence: true } }),
  BATON_DEFAULT_TOPICS: "-",
});

/** Connects a user to a relay at this address. */
async function connect(url: string, user: string, topics: readonly string[]): Promise<Client> {
  const response = await fetch(`${url}/register`, {
    method: "POST",
    body: JSON.stringify({ user_id: user, topics }),
    headers: { "content-type": "application/json", connection: "close" },
  });
  const { url: address } = (await response.json()) as { url: string };
  const client = await Client.open(address);
  await client.settled();
  return client;
}

/** An event that was told just before a kill is told again, with the same id: a backend counts it once. */
const told = ({ events }: WebhookBackend) =>
  [...new Map(events.toReversed().map((event) => [event.id, event])).values()]
    .toReversed()
    .map(({ type, data }) => [type, data.topic, data.user].filter(Boolean).join(" "));

describe.each(Object.entries(DEPLOYMENTS))("%s", (_, start) => {
  test("tells the first and last connection of each user, topic and user in a topic, once over all processes", async () => {
    await using backend = new WebhookBackend();
    await using deployment = await start(env(backend));
    await using caller = new Caller(deployment);
    const clients: Client[] = [];
    for (let i = 0; i < 6; i++) {
      for (const user of ["a", "b"])
        clients.push(await connect(caller.url, user, ["room:1", `of:${user}`]));
    }
    const came = ["user.online a", "user.online b", "user.joined room:1 a", "user.joined room:1 b"];
    came.push("topic.occupied room:1", "topic.occupied of:a", "topic.occupied of:b");
    await until("all to be told", () => told(backend).length >= came.length, PATIENCE_MS);
    expect(told(backend).toSorted()).toEqual(came.toSorted());
    // All of b's and all but one of a's.
    for (const client of clients.slice(1)) client.drop();
    await backend.told(1, "user.offline", PATIENCE_MS);
    for (const type of ["user.left", "topic.vacated"]) await backend.told(1, type, PATIENCE_MS);
    clients[0]?.drop();
    await backend.told(2, "user.offline", PATIENCE_MS);
    await backend.told(3, "topic.vacated", PATIENCE_MS);
    await backend.told(2, "user.left", PATIENCE_MS);
    const went = ["user.offline b", "user.offline a", "user.left room:1 b", "user.left room:1 a"];
    went.push("topic.vacated room:1", "topic.vacated of:a", "topic.vacated of:b");
    expect(told(backend).toSorted()).toEqual([...came, ...went].toSorted());
    expect(told(backend).indexOf("user.offline b")).toBeLessThan(
      told(backend).indexOf("user.offline a"),
    );
    expect(backend.invalid).toEqual([]);
  });
});

describe.each([
  [
    "two workers with a file",
    (folder: string) => ({ BATON_WORKERS: "2", BATON_ENGINE: `sqlite:${folder}/baton.db` }),
  ],
  [
    "a node over Redis",
    async () => ({
      BATON_ENGINE: (await RedisServer.shared()).url,
      BATON_REDIS_PREFIX: crypto.randomUUID(),
    }),
  ],
])("%s", (_, engine) => {
  test("that is killed tells afterwards who did not come back, and nothing of those who did", async () => {
    using folder = new Folder();
    await using backend = new WebhookBackend();
    const settings = {
      ...env(backend),
      ...(await engine(folder.path)),
      BATON_OFFLINE_MS: "3000",
      PORT: String(freePort()),
    };
    const first = await RelayProcess.start(settings);
    for (const user of ["stays", "goes", "also goes"]) await connect(first.url, user, ["room:1"]);
    await backend.told(3, "user.online", PATIENCE_MS);
    await backend.told(3, "user.joined", PATIENCE_MS);
    await first.killAll();
    await using second = await RelayProcess.start(settings);
    const client = await connect(second.url, "stays", ["room:1"]);
    await backend.told(2, "user.offline", PATIENCE_MS);
    await backend.told(2, "user.left", PATIENCE_MS);
    client.drop();
    await backend.told(3, "user.offline", PATIENCE_MS);
    const ofUsers = told(backend).filter((line) => line.startsWith("user.o"));
    expect(ofUsers.toSorted()).toEqual(
      ["also goes", "goes", "stays"]
        .flatMap((user) => [`user.offline ${user}`, `user.online ${user}`])
        .toSorted(),
    );
    expect(ofUsers.at(-1)).toBe("user.offline stays");
    expect(second.loggedErrors).toEqual([]);
  });
});

test("a worker that leads and is killed leaves nothing untold, and nothing is told twice", async () => {
  await using backend = new WebhookBackend();
  await using relay = await RelayProcess.start({ ...env(backend), BATON_WORKERS: "2" });
  const users = Array.from({ length: 12 }, (_, i) => `u${i}`);
  for (const user of users) await connect(relay.url, user, ["room:1"]);
  await backend.told(users.length, "user.online", PATIENCE_MS);
  for (const victim of await childrenOf(relay.pid)) process.kill(victim, "SIGKILL");
  await backend.told(users.length, "user.offline", PATIENCE_MS);
  const ofUsers = told(backend).filter((line) => line.startsWith("user.o"));
  expect(ofUsers.toSorted()).toEqual(
    users.flatMap((user) => [`user.offline ${user}`, `user.online ${user}`]).toSorted(),
  );
});
