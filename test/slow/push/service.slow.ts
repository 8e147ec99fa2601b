// Pushes over TLS to a push service of the tests' own, from a relay that dies in the middle: none goes to a device twice, and what it had
// not begun to send goes out later. Each is decrypted by the library http_ece for Python.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Authority } from "../../support/machine/authority";
import { Folder } from "../../support/machine/folder";
import { pythonCommand } from "../../support/machine/python-program";
import { PUSH_ENV, registerDevice } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { RelayProcess } from "../../support/relay/relay-process";
import { startRelay } from "../../support/relay/test-relay";
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
async function count(relay: { readonly url: string }, outcome: string): Promise<number> {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(new RegExp(`outcome="${outcome}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
}

test("after kill -9 in the middle of 300 pushes, none has gone to a device twice, and the others go out", async () => {
  using folder = new Folder();
  await using service = new PushService({ tls });
  const settings = {
    ...PUSH_ENV,
    NODE_EXTRA_CA_CERTS: authority.ca,
    BATON_ENGINE: `sqlite:${folder.path}/baton.db`,
    // All of them wait when the first is due.
    BATON_PUSH_AFTER_MS: "1000",
  };
  const first = await RelayProcess.start(settings);
  const users = Array.from({ length: 10 }, (_, i) => `user${i}`);
  for (const user of users) await registerDevice(first, user, service.subscription(user));
  const lines = Array.from({ length: 300 }, (_, i) => {
    const push = { title: `m${i}` };
    return JSON.stringify({ topic: "chat", message: "hi", user_id: users[i % 10], push });
  });
  const answered = Promise.withResolvers<void>();
  service.answer = async () => {
    await answered.promise;
    return { status: 201 };
  };
  const headers = { "content-type": "application/x-ndjson" };
  const body = lines.join("\n");
  const answer = await fetch(`${first.url}/publish`, { method: "POST", headers, body });
  expect((await answer.text()).match(/"offset"/g)).toHaveLength(300);
  await until("some requests", () => service.requests >= 20);
  first.signal("SIGKILL");
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

test("a service whose certificate nobody trusts gets nothing, and the push is tried again", async () => {
  await using service = new PushService({ tls });
  await using relay = await startRelay(PUSH_ENV);
  await registerDevice(relay, "ann", service.subscription("phone"));
  const push = { title: "secret" };
  await relay.post("/publish", { topic: "chat", message: "hi", user_id: "ann", push });
  await until("the attempt", async () => (await count(relay, "retried")) === 1);
  expect(service.requests).toBe(0);
});
