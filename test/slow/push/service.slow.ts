// Pushes over TLS to a push service of the tests' own, from relays in processes of their own that die in the middle: none goes to a device
// twice, and what no process had begun to send goes out later. Each is decrypted by the library http_ece for Python.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RedisServer } from "../../support/engines/redis-server";
import { Authority } from "../../support/machine/authority";
import { Folder } from "../../support/machine/folder";
import { childrenOf } from "../../support/machine/processes";
import { pythonCommand } from "../../support/machine/python-program";
import { PUSH_ENV, registerDevice } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const DECRYPT = join(import.meta.dir, "../../python/http_ece_decrypt.py");

let authority: Authority;
let tls: { cert: string; key: string };
beforeAll(() => {
  authority = new Authority();
  const { cert, key } = authority.issue("push");
  tls = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
});
afterAll(() => authority.folder[Symbol.dispose]());

/** The settings of a relay that trusts the service's certificate. */
const env = () => ({ ...PUSH_ENV, NODE_EXTRA_CA_CERTS: authority.ca, BATON_SHUTDOWN_MS: "100" });

/** The texts of all pushes that a service has taken, as Python decrypts them. */
async function decrypted({ pushes }: PushService): Promise<unknown[]> {
  const python = Bun.spawn([...pythonCommand([DECRYPT])], {
    stdin: new Blob(pushes.map(({ sealed }) => `${JSON.stringify(sealed)}\n`)),
    stderr: "inherit",
  });
  const lines = (await python.stdout.text()).trim().split("\n");
  return lines.map((line) => JSON.parse(JSON.parse(line)));
}

/** How many pushes of a relay have ended so. */
async function count(relay: RelayProcess, outcome: string): Promise<number> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(new RegExp(`outcome="${outcome}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
}

async function publish(relay: RelayProcess, user: string, title: string): Promise<void> {
  const body = { topic: "chat", message: title, user_id: user, push: { title } };
  const { status } = await relay.post("/publish", body);
  if (status !== 200) throw new Error(`the publish was answered with ${status}`);
}

test("after kill -9 of all processes in the middle of 300 pushes, none has gone to a device twice, and the others go out", async () => {
  using folder = new Folder();
  await using service = new PushService({ tls });
  const settings = {
    ...env(),
    BATON_ENGINE: `sqlite:${folder.path}/baton.db`,
    BATON_WORKERS: "2",
    // All of them wait when the first is due.
    BATON_PUSH_AFTER_MS: "3000",
  };
  const first = await RelayProcess.start(settings);
  const users = Array.from({ length: 10 }, (_, i) => `user${i}`);
  for (const user of users) await registerDevice(first, user, service.subscription(user));
  const titles = Array.from({ length: 300 }, (_, i) => `m${i}`);
  await Promise.all(titles.map((title, i) => publish(first, users[i % 10] ?? "", title)));
  const answered = Promise.withResolvers<void>();
  service.answer = async () => {
    await answered.promise;
    return { status: 201 };
  };
  await until("some requests", () => service.requests >= 20);
  const workers = await childrenOf(first.pid);
  first.signal("SIGKILL");
  for (const pid of workers) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended with its supervisor.
    }
  }
  await first.exited;
  // What was under way then arrives: the relay will never know.
  answered.resolve();
  await using second = await RelayProcess.start(settings);
  const ends = async () => (await count(second, "accepted")) + (await count(second, "unknown"));
  await until("the end of all pushes", async () => (await ends()) === 300);
  const taken = service.pushes.map(({ data }) => data.title);
  expect(new Set(taken).size).toBe(taken.length);
  expect(await count(second, "unknown")).toBeLessThanOrEqual(128);
  expect(taken.length).toBeGreaterThanOrEqual(await count(second, "accepted"));
  expect(service.invalid).toEqual([]);
  const texts = await decrypted(service);
  expect(texts).toEqual(service.pushes.map(({ data }) => data));
});

test("over Redis, the node that lives sends what another one took, and a connection to either node is enough to send nothing", async () => {
  await using service = new PushService({ tls });
  const redis = await RedisServer.shared();
  const settings = { ...env(), BATON_ENGINE: redis.url, BATON_REDIS_PREFIX: `push${process.pid}` };
  const [one, two] = [await RelayProcess.start(settings), await RelayProcess.start(settings)];
  try {
    await registerDevice(one, "ann", service.subscription("phone"));
    const socket = new WebSocket(await two.register("ann"));
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    socket.send('{"topics":["chat"]}');
    await until("the subscription", async () => (await two.publish("chat", "x")) === 1);
    await publish(one, "ann", "taken");
    const withdrawn = async () => (await count(one, "withdrawn")) + (await count(two, "withdrawn"));
    await until("the decision", async () => (await withdrawn()) === 1);
    expect(service.requests).toBe(0);
    socket.close();

    const leader = (await count(one, "withdrawn")) === 1 ? one : two;
    const other = leader === one ? two : one;
    leader.signal("SIGKILL");
    await leader.exited;
    await publish(other, "ann", "after its death");
    const [push] = await service.taken("phone");
    expect(push?.data.title).toBe("after its death");
  } finally {
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  }
});

test("a service whose certificate nobody trusts gets nothing, and the push is tried again", async () => {
  await using service = new PushService({ tls });
  const { NODE_EXTRA_CA_CERTS: _, ...settings } = env();
  await using relay = await RelayProcess.start(settings);
  await registerDevice(relay, "ann", service.subscription("phone"));
  await publish(relay, "ann", "secret");
  await until("the attempt", async () => (await count(relay, "retried")) === 1);
  expect(service.requests).toBe(0);
});
