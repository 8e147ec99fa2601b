// API keys: which requests need one, and that every wrong one gets the same answer. Row I9 of the fault catalogue.
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
  ["only the beginning of a key", { "x-api-key": OLD.slice(0, -1) }],
  ["both keys at once", { "x-api-key": `${OLD}, ${NEW}` }],
  ["an empty key", { "x-api-key": "" }],
  ["a very long key", { "x-api-key": "x".repeat(10_000) }],
  ["a key that is not ASCII", { "x-api-key": "\u00e9" }],
  ["another authorization scheme", { authorization: `Bearer ${OLD}` }],
])("I9: a request with %s is refused like one without a key", async (_, headers) => {
  const none = await publish({});
  const answer = await publish(headers as Record<string, string>);
  expect([answer.status, answer.text]).toEqual([401, none.text]);
  expect(answer.headers.get("www-authenticate")).toStartWith("apikey");
});

test.each([
  ["X-API-Key", { "x-api-key": OLD }],
  ["X-API-Key, the second of two,", { "x-api-key": NEW }],
  ["Authorization", { authorization: `apikey ${NEW}` }],
  ["Authorization, in capitals,", { authorization: `ApiKey ${NEW}` }],
])("a key in %s is accepted", async (_, headers) => {
  expect((await publish(headers as Record<string, string>)).status).toBe(200);
});

test("registering and unregistering require a key; health, handshakes and the OpenAPI page do not", async () => {
  expect((await relay.post("/register", { user_id: 1 })).status).toBe(401);
  const { json } = await relay.post("/register", { user_id: 1 }, { "x-api-key": OLD });
  const path = `/register/${idOf(json.url)}`;
  expect((await relay.request("DELETE", path)).status).toBe(401);
  await relay.open(json.url); // A client needs only the id, which has 128 random bits.
  expect((await relay.request("GET", "/health")).status).toBe(200);
  expect((await relay.request("GET", "/openapi")).status).toBe(200);
  const removed = await relay.request("DELETE", path, { headers: { "x-api-key": NEW } });
  expect(removed.status).toBe(200);
});

test("a missing key is refused before the body is read", async () => {
  const answer = await relay.request("POST", "/publish", { body: "not even JSON" });
  expect(answer.status).toBe(401);
});

test("I3: no API key is ever logged", async () => {
  await publish({ "x-api-key": OLD });
  await publish({ "x-api-key": "wrong-secret" });
  expect(relay.log.join("")).not.toMatch(/key-0123|wrong-secret/);
});
