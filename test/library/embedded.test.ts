// A relay that an Elysia app embeds: the app's own routes and sockets, Baton's beside them, and what the app calls.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Elysia, t } from "elysia";
import { baton, RelayError, topics } from "../../src/library";
import { EventStream } from "../support/clients/event-stream";
import { EmbeddingApp } from "../support/library/embedding-app";
import { Folder } from "../support/machine/folder";
import { APP } from "../support/pusher/app";
import { signedPath } from "../support/pusher/backend";
import { until } from "../support/wait";

const TOPICS = topics({
  orders: t.Object({ id: t.Integer() }),
  "chat:*": t.Object({ text: t.String() }),
});

test("an app publishes to a client that it has registered, and serves its own routes", async () => {
  const relay = baton({ topics: TOPICS });
  const app = new Elysia().use(relay).get("/", () => "mine");
  await using running = new EmbeddingApp(app);
  const { url } = await relay.register({ user: 1, topics: ["orders"] });
  const client = await running.open(url);
  await client.settled();
  expect(await relay.publish("orders", { id: 7 })).toMatchObject({ delivered: 1, offset: 1 });
  expect(await client.next()).toBe('{"id":7}');
  expect(await running.get("/")).toBe("mine");
});

test("what is published for one user is delivered to that user alone", async () => {
  const relay = baton();
  await using running = new EmbeddingApp(new Elysia().use(relay));
  const [one, other] = await Promise.all(
    [1, 2].map(async (user) => running.open((await relay.register({ user, topics: ["a"] })).url)),
  );
  await Promise.all([one?.settled(), other?.settled()]);
  expect((await relay.publish("a", "for 1", { user: 1 })).delivered).toBe(1);
  await relay.publish("a", "for all");
  expect(await one?.take(2)).toEqual(["for 1", "for all"]);
  expect(await other?.next()).toBe("for all");
});

test("the same idempotency key publishes once", async () => {
  const relay = baton();
  await using _ = new EmbeddingApp(new Elysia().use(relay));
  const first = await relay.publish("a", "x", { idempotencyKey: "k" });
  expect(await relay.publish("a", "x", { idempotencyKey: "k" })).toEqual(first);
});

test("sockets of the app and of Baton are on one port, each with its own handlers", async () => {
  const relay = baton();
  const app = new Elysia().ws("/own", { message: (_, text) => `own ${text}` }).use(relay);
  await using running = new EmbeddingApp(app);
  const client = await running.open((await relay.register({ user: 1, topics: ["a"] })).url);
  const socket = await running.open("/own");
  socket.send("hi");
  expect(await socket.next()).toBe("own hi");
  client.send("hi");
  expect(JSON.parse(await client.next()).error.code).toBe("malformed_json");
  await client.settled();
  await relay.publish("a", "to Baton's");
  expect(await client.next()).toBe("to Baton's");
  expect(await socket.rest()).toEqual([]);
});

test("a stream gets what is published, under the address that the app answers with", async () => {
  const relay = baton();
  const app = new Elysia()
    .use(relay)
    .get("/me", ({ request }) => relay.register({ user: "me", topics: ["a"], request }));
  await using running = new EmbeddingApp(app);
  const { sse } = JSON.parse(await running.get("/me"));
  expect(sse).toStartWith(`${running.url}/sse/`);
  const stream = await EventStream.open(sse);
  await relay.publish("a", { price: 1.5 });
  expect((await stream.next()).data).toBe('{"price":1.5}');
  stream.close();
});

test("the app ends a user's connections, and a registration by its address", async () => {
  const relay = baton();
  await using running = new EmbeddingApp(new Elysia().use(relay));
  const client = await running.open((await relay.register({ user: 1 })).url);
  await until("the connection to count", () => relay.counts().users === 1);
  expect(await relay.connections(1)).toMatchObject([{ protocol: "plain", topics: ["tech"] }]);
  expect(await relay.disconnect(1, { code: 3001, reason: "signed out" })).toBe(1);
  expect(await client.closed).toMatchObject({ code: 3001, reason: "signed out" });
  const { sse } = await relay.register({ user: 2 });
  expect(relay.counts()).toMatchObject({ connections: 0, registrations: 1 });
  expect([await relay.unregister(sse), await relay.unregister(sse)]).toEqual([true, false]);
});

test("a Pusher backend ends the connections of a user whose id has a slash, which not every library escapes", async () => {
  const relay = baton({ pusherApps: [`${APP.id}:${APP.key}:${APP.secret}`] });
  await using running = new EmbeddingApp(new Elysia().use(relay));
  const { url } = await relay.register({ user: "team/7" });
  const client = await running.open(url);
  const path = signedPath({
    path: `/apps/${APP.id}/users/team/7/terminate_connections`,
    body: "{}",
  });
  expect((await running.post(path, {})).status).toBe(200);
  expect((await client.closed).code).toBe(3503);
});

test("a refused call rejects with the code of the error table", async () => {
  const relay = baton({ topics: TOPICS, messageBytes: 100 });
  await using _ = new EmbeddingApp(new Elysia().use(relay));
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => "none",
      (error) => (error instanceof RelayError ? `${error.status} ${error.code}` : String(error)),
    );
  const untyped = relay as unknown as { publish(topic: string, data: unknown): Promise<unknown> };
  expect(await codeOf(untyped.publish("order", { id: 1 }))).toBe("422 undeclared_topic");
  expect(await codeOf(untyped.publish("orders", { id: "1" }))).toBe("422 invalid_data");
  const either = "orders" as "orders" | "chat:1";
  // @ts-expect-error: it is what only one of the two topics takes.
  expect(await codeOf(relay.publish(either, { text: "x" }))).toBe("422 invalid_data");
  expect(await codeOf(untyped.publish("orders", undefined))).toBe("422 invalid_message");
  expect(await codeOf(relay.publish("chat:1", { text: "x".repeat(100) }))).toBe(
    "413 message_too_large",
  );
  expect(await codeOf(relay.register({ user: "" }))).toBe("422 invalid_user");
  const unchecked = { user: undefined } as unknown as { user: number };
  expect(await codeOf(relay.register(unchecked))).toBe("422 invalid_user");
  expect(await codeOf(relay.publish("orders", { id: 1 }, unchecked))).toBe("422 invalid_user");
  // What was meant for one user reaches nobody.
  const misnamed = { userId: 1 } as unknown as { user: number };
  expect(await codeOf(relay.publish("orders", { id: 1 }, misnamed))).toBe("422 invalid_body");
  const misnamedToo = { user: 1, topic: "orders" } as unknown as { user: number };
  expect(await codeOf(relay.register(misnamedToo))).toBe("422 invalid_body");
  expect(await codeOf(untyped.publish("orders", { id: 1n }))).toBe("422 invalid_message");
  expect(await codeOf(relay.presence("orders"))).toBe("404 not_available");
});

test("nobody without a key reaches Baton's own API, and with keys the app may give them out", async () => {
  const closed = baton();
  await using running = new EmbeddingApp(new Elysia().use(closed));
  expect((await running.post("/publish", { topic: "a", message: "x" })).status).toBe(401);
  expect((await running.post("/register", { user_id: 1 })).status).toBe(401);
  const open = baton({ apiKeys: ["a-key-of-sixteen"] });
  await using other = new EmbeddingApp(new Elysia().use(open));
  const key = { "x-api-key": "a-key-of-sixteen" };
  expect((await other.post("/publish", { topic: "a", message: "x" }, key)).status).toBe(200);
});

test("two relays in one process have nothing in common", async () => {
  const relays = [baton(), baton()];
  await using one = new EmbeddingApp(new Elysia().use(relays[0] as (typeof relays)[0]));
  await using other = new EmbeddingApp(new Elysia().use(relays[1] as (typeof relays)[0]));
  const client = await one.open((await relays[0]?.register({ user: 1, topics: ["a"] }))?.url ?? "");
  await client.settled();
  expect(await relays[1]?.publish("a", "other")).toMatchObject({ delivered: 0, offset: 1 });
  expect(await relays[0]?.publish("a", "own")).toMatchObject({ delivered: 1, offset: 1 });
  expect(await client.next()).toBe("own");
  expect(relays[1]?.counts().connections).toBe(0);
  expect(other.url).not.toBe(one.url);
});

test("where the app listens on a Unix socket, an address needs publicUrl or the request that asks for it", async () => {
  using folder = new Folder();
  const env = { BATON_SHUTDOWN_MS: "50" };
  const relays = [undefined, "https://relay.example"].map((publicUrl) =>
    baton({ env, insecure: true, ...(publicUrl !== undefined && { publicUrl }) }),
  );
  const [without, withUrl] = relays as [(typeof relays)[0], (typeof relays)[0]];
  const unix = join(folder.path, "app.sock");
  const app = new Elysia()
    .use(without)
    .get("/me", ({ request }) => without.register({ user: "me", request }))
    .listen({ unix });
  const other = new Elysia().use(withUrl).listen({ unix: join(folder.path, "other.sock") });
  await Promise.all(relays.map(({ ready }) => ready));
  await expect(without.register({ user: "me" })).rejects.toThrow("set publicUrl");
  expect(without.counts().registrations).toBe(0);
  const answer = await fetch("http://localhost/me", { unix });
  expect(await answer.text()).toStartWith('{"url":"ws://localhost/ws/');
  expect((await withUrl.register({ user: "me" })).url).toStartWith("wss://relay.example/ws/");
  await app.stop(true);
  await other.stop(true);
});
