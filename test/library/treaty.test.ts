// Eden's treaty on Baton's HTTP API, with the types of the app that embeds the relay and of its topics.
import { expect, test } from "bun:test";
import { treaty } from "@elysiajs/eden";
import { Elysia, t } from "elysia";
import { baton, topics } from "../../src/library";
import { EmbeddingApp } from "../support/library/embedding-app";

const TOPICS = topics({
  orders: t.Object({ id: t.Integer() }),
  "chat:*": t.String(),
});

const newApp = () =>
  new Elysia().use(baton({ topics: TOPICS, insecure: true })).get("/hello", () => "hello" as const);

test("treaty registers and publishes, and calls the app's own routes", async () => {
  const app = newApp();
  await using running = new EmbeddingApp(app);
  const api = treaty<typeof app>(running.url);
  const hello: "hello" | null = (await api.hello.get()).data;
  expect(hello).toBe("hello");
  const { data: addresses } = await api.register.post({ user_id: 1, topics: ["orders", "chat:1"] });
  const client = await running.open(addresses?.url ?? "");
  await client.settled();
  const { data: published } = await api.publish.post({ topic: "orders", data: { id: 1 } });
  expect(published?.delivered).toBe(1);
  await api.publish.post({ topic: "chat:1", message: "hi" });
  expect(await client.take(2)).toEqual(['{"id":1}', "hi"]);
  const { data: listed } = await api.users({ user: "1" }).connections.get();
  expect(listed?.connections[0]?.topics).toEqual(["orders", "chat:1"]);
  const id = addresses?.url.split("/").at(-1) ?? "";
  expect((await api.register({ id }).delete()).data).toBe(`Client removed with id ${id}`);
  expect((await api.health.get()).data).toBe("ok");
});

test("what is not declared does not compile, and is refused with its code", async () => {
  const app = newApp();
  await using running = new EmbeddingApp(app);
  const api = treaty<typeof app>(running.url);
  // @ts-expect-error: the id is a number.
  const wrongData = await api.publish.post({ topic: "orders", data: { id: "1" } });
  expect(wrongData.error?.status).toBe(422);
  expect(wrongData.error?.value).toMatchObject({ error: { code: "invalid_data" } });
  // @ts-expect-error: there is no such topic.
  const wrongTopic = await api.publish.post({ topic: "order", data: { id: 1 } });
  expect(wrongTopic.error?.value).toMatchObject({ error: { code: "undeclared_topic" } });
  // @ts-expect-error: a topic of objects takes no text.
  await api.publish.post({ topic: "orders", message: "hi" });
  const topic = wrongData.error ? "orders" : "chat:1";
  // @ts-expect-error: the one topic takes no text, and the other one only that.
  await api.publish.post({ topic, data: "hi" });
  // @ts-expect-error: clients subscribe to declared topics.
  await api.register.post({ user_id: 1, topics: ["order"] });
});
