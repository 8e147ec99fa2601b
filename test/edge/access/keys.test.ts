// Row I9 of the fault catalogue: keys.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";

const OLD = "old-key-0123456789";
const NEW = "new-key-0123456789";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_API_KEYS: `${OLD}, ${NEW}` });
});
afterAll(() => relay[Symbol.asyncDispose]());

const publish = (headers: Record<string, string>) =>
  relay.post("/publish", { topic: "tech", message: "hi" }, headers);

test.each([
  ["no key", {}],
  ["a wrong key", { "x-api-key": "wrong" }],
  ["a key that only begins right", { "x-api-key": OLD.slice(0, -1) }],
  ["both keys at once", { "x-api-key": `${OLD}, ${NEW}` }],
  ["an empty key", { "x-api-key": "" }],
  ["a very long key", { "x-api-key": "x".repeat(10_000) }],
  ["a key of other bytes than ASCII", { "x-api-key": "\u00e9" }],
  ["another scheme", { authorization: `Bearer ${OLD}` }],
])("I9: %s opens nothing, and all get the same answer", async (_, headers) => {
  const none = await publish({});
  const answer = await publish(headers as Record<string, string>);
  expect([answer.status, answer.text]).toEqual([401, none.text]);
  expect(answer.headers.get("www-authenticate")).toStartWith("apikey");
});

test.each([
  ["X-API-Key", { "x-api-key": OLD }],
  ["the other key", { "x-api-key": NEW }],
  ["Authorization", { authorization: `apikey ${NEW}` }],
  ["Authorization in capitals", { authorization: `ApiKey ${NEW}` }],
])("%s opens", async (_, headers) => {
  expect((await publish(headers as Record<string, string>)).status).toBe(200);
});

test("register and unregister are guarded, health, sockets and the page are not", async () => {
  expect((await relay.post("/register", { user_id: 1 })).status).toBe(401);
  const { json } = await relay.post("/register", { user_id: 1 }, { "x-api-key": OLD });
  const path = `/register/${idOf(json.url)}`;
  expect((await relay.request("DELETE", path)).status).toBe(401);
  await relay.open(json.url); // the id, 128 random bits, is what a client needs to know
  expect((await relay.request("GET", "/health")).status).toBe(200);
  expect((await relay.request("GET", "/openapi")).status).toBe(200);
  const removed = await relay.request("DELETE", path, { headers: { "x-api-key": NEW } });
  expect(removed.status).toBe(200);
});

test("a wrong key is told before the body is looked at", async () => {
  const answer = await relay.request("POST", "/publish", { body: "not even JSON" });
  expect(answer.status).toBe(401);
});

test("I3: no key is ever logged", async () => {
  await publish({ "x-api-key": OLD });
  await publish({ "x-api-key": "wrong-secret" });
  expect(relay.log.join("")).not.toMatch(/key-0123|wrong-secret/);
});
