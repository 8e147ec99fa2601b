// GET /topics and GET /users: what they refuse, and what a row has. test/contract/deployment-operator.test.ts has the pages.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const KEY = { "x-api-key": "k" };

let relay: TestRelay;
beforeAll(async () => {
  const file = topicsFile({ "news:": { history_size: 7 } });
  relay = await startRelay({ BATON_API_KEYS: "k", BATON_TOPICS_FILE: file });
});
afterAll(() => relay[Symbol.asyncDispose]());

const get = (path: string, headers: Record<string, string> = KEY) =>
  relay.request("GET", path, { headers });

describe.each(["/topics", "/users"])("GET %s", (path) => {
  test("needs an API key", async () => {
    expect((await get(path, {})).status).toBe(401);
  });

  test.each(["limit=0", "limit=101", "limit=x", "page=2", `search=${"x".repeat(256)}`])(
    "refuses ?%s",
    async (query) => {
      const { status, json } = await get(`${path}?${query}`);
      expect([status, json.error.code]).toEqual([422, "invalid_query"]);
    },
  );
});

test("a topic's row says where it is, and which rule applies", async () => {
  const { json } = await relay.post("/register", { user_id: 1, topics: ["news:a", "b"] }, KEY);
  const client = await relay.open(json.url);
  await client.settled();
  const published = await relay.post("/publish", { topic: "news:a", message: "m" }, KEY);
  const { epoch } = published.json;
  const answer = await get("/topics");
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(answer.json).toEqual({
    topics: [
      { topic: "b", subscribers: 1, history_size: 100, history_ttl_ms: 300_000 },
      {
        topic: "news:a",
        subscribers: 1,
        position: `${epoch}:1`,
        rule: "news:",
        history_size: 7,
        history_ttl_ms: 300_000,
      },
    ],
  });
});

test("the pages of any size have every name that is searched for, once and in order", async () => {
  const names = Array.from({ length: 23 }, (_, i) => `page ${String.fromCodePoint(0xa1 + i * 7)}`);
  for (const name of names) {
    const { json } = await relay.post("/register", { user_id: name, topics: [] }, KEY);
    await relay.open(json.url);
  }
  const sorted = names.toSorted((a, b) => (a < b ? -1 : 1));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 30 }), async (limit) => {
      const found: string[] = [];
      let after: string | undefined = "";
      while (after !== undefined) {
        const query = new URLSearchParams({ search: "page ", after, limit: String(limit) });
        const { json } = await get(`/users?${query}`);
        expect(json.users.length).toBeLessThanOrEqual(limit);
        found.push(...json.users.map(({ user }: { user: string }) => user));
        after = json.next;
      }
      expect(found).toEqual(sorted);
    }),
    { numRuns: 15 },
  );
});
