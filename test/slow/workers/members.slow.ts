// Members of presence channels when a worker or a node is killed: whoever stays learns once who has gone, and so does the backend.
import { expect, test } from "bun:test";
import { RedisServer } from "../../support/engines/redis-server";
import { childrenOf } from "../../support/machine/processes";
import { PUSHER_ENV } from "../../support/pusher/app";
import { PusherClient } from "../../support/pusher/socket-client";
import { WebhookReceiver } from "../../support/pusher/webhook-receiver";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const CHANNEL = "presence-room";
const MEMBERS = 24;

/** Those who are left of a dead node are removed when its place has not been renewed for 10 s. */
const PATIENCE_MS = 60_000;

/** A member, and the list that its client has. */
class Viewer {
  readonly user: string;
  readonly list = new Set<string>();
  readonly faults: string[] = [];
  isOpen = true;

  private constructor(user: string, ids: readonly string[]) {
    this.user = user;
    for (const id of ids) this.list.add(id);
  }

  static async open(url: string, user: string): Promise<Viewer> {
    const client = await PusherClient.open(url);
    const { presence } = await client.subscribed(CHANNEL, { user_id: user });
    const viewer = new Viewer(user, presence.ids);
    client.closed.then(() => {
      viewer.isOpen = false;
    });
    void viewer.#watch(client);
    return viewer;
  }

  async #watch(client: PusherClient): Promise<void> {
    while (this.isOpen) {
      const frame = await client.next().catch(() => undefined);
      if (frame === undefined) continue;
      const { user_id } = JSON.parse(frame.data);
      const isAdded = frame.event === "pusher_internal:member_added";
      if (isAdded === this.list.has(user_id)) this.faults.push(`${frame.event} ${user_id}`);
      if (isAdded) this.list.add(user_id);
      else this.list.delete(user_id);
    }
  }
}

/** Opens members on these relays in turn, kills, and waits until those who are left know it. */
async function checkAfter(
  urls: readonly string[],
  backend: WebhookReceiver,
  kill: () => void,
): Promise<void> {
  const viewers: Viewer[] = [];
  for (let i = 0; i < MEMBERS; i++) {
    viewers.push(await Viewer.open(urls[i % urls.length] as string, `user${i}`));
  }
  const everybody = viewers.map(({ user }) => user).toSorted();
  const isTold = (name: string, users: readonly string[]) => {
    const told = backend.events.filter((event) => event.name === name);
    return String(told.map(({ user_id }) => user_id).toSorted()) === String(users);
  };
  await until("the backend to know all", () => isTold("member_added", everybody), PATIENCE_MS);
  kill();
  await until("some to be cut off", () => viewers.some(({ isOpen }) => !isOpen), PATIENCE_MS);
  const left = () => viewers.filter(({ isOpen }) => isOpen);
  const isKnown = () => {
    const truth = String(
      left()
        .map(({ user }) => user)
        .toSorted(),
    );
    return left().every(({ list }) => String([...list].toSorted()) === truth);
  };
  await until("all who are left to know it", isKnown, PATIENCE_MS);
  const gone = () => viewers.flatMap(({ isOpen, user }) => (isOpen ? [] : [user])).toSorted();
  await until("the backend to know it", () => isTold("member_removed", gone()), PATIENCE_MS);
  expect(viewers.flatMap(({ faults }) => faults)).toEqual([]);
  expect(backend.invalid).toEqual([]);
}

test("a worker that is killed has no members any more, and each removal is told once", async () => {
  await using backend = new WebhookReceiver();
  const env = { ...PUSHER_ENV, ...backend.env, BATON_WORKERS: "2", BATON_SHUTDOWN_MS: "50" };
  await using relay = await RelayProcess.start(env);
  const [victim = 0] = await childrenOf(relay.pid);
  await checkAfter([relay.url], backend, () => process.kill(victim, "SIGKILL"));
});

test("a node over Redis that is killed has no members any more, and each removal is told once", async () => {
  await using server = await RedisServer.start();
  await using backend = new WebhookReceiver();
  const env = { ...PUSHER_ENV, ...backend.env, BATON_ENGINE: server.url, BATON_SHUTDOWN_MS: "50" };
  await using one = await RelayProcess.start(env);
  await using two = await RelayProcess.start(env);
  await checkAfter([one.url, two.url], backend, () => one.signal("SIGKILL"));
});
