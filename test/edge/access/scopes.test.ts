// What a key with scopes opens, and that everything else is refused with what is missing.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ERRORS } from "../../../src/relay/contracts/errors";
import { readSettings } from "../../../src/settings/read";
import { OpenPublish } from "../../support/relay/open-publish";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const SCOPES = ["publish", "read", "register", "manage", "metrics"];

/** A key of each kind: those with one scope are named after it. */
const KEYS = [
  "key-that-opens-all",
  ...SCOPES.map((scope) => `key-to-${scope}:${scope}`),
  "key-of-the-news:publish@news:+read@news:+manage@news:",
  "key-of-two:publish@a:+publish@b:+read",
];

const env = {
  BATON_API_KEYS: KEYS.join(","),
  BATON_TOPICS_FILE: topicsFile({ "": { presence: true } }),
};

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay(env);
});
afterAll(() => relay[Symbol.asyncDispose]());

const call = (key: string, method: string, path: string, body?: unknown, more = {}) =>
  relay.request(method, path, {
    headers: { "x-api-key": key, "content-type": "application/json", ...more },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });

/** Every operation of a backend, the scope that it needs, and its status where it is open. */
const OPERATIONS: [scope: string, method: string, path: string, body?: unknown, status?: number][] =
  [
    ["publish", "POST", "/publish", { topic: "t", message: "m" }],
    ["publish", "POST", "/publish", [{ topic: "t", message: "m" }]],
    ["read", "GET", "/topics/t/history", undefined],
    ["read", "GET", "/topics/t/presence", undefined],
    ["read", "GET", "/users/1/connections", undefined],
    ["register", "POST", "/register", { user_id: 1 }],
    ["register", "DELETE", `/register/${"0".repeat(32)}`, undefined, 404],
    ["manage", "DELETE", "/users/1/connections", undefined],
    ["manage", "DELETE", `/connections/${"0".repeat(32)}`, undefined, 404],
    ["metrics", "GET", "/metrics", undefined],
  ];

test.each(OPERATIONS)(
  "the scope %s and a key without scopes open %s %s, and no other scope does",
  async (scope, method, path, body, status = 200) => {
    for (const key of ["key-that-opens-all", `key-to-${scope}`]) {
      expect((await call(key, method, path, body)).status).toBe(status);
    }
    for (const other of SCOPES.filter((one) => one !== scope)) {
      const answer = await call(`key-to-${other}`, method, path, body);
      expect([answer.status, answer.json.error.code]).toEqual([403, "missing_scope"]);
      expect(answer.json.error.message).toContain(`lacks the scope ${scope}`);
    }
    expect((await call("key-to", method, path, body)).status).toBe(401);
    expect((await call(`key-to-${scope}:${scope}`, method, path, body)).status).toBe(401);
  },
);

describe("a key that is limited to topics", () => {
  const publish = (key: string, topic: string) =>
    call(key, "POST", "/publish", { topic, message: "m" });

  test("publishes to those that begin with its prefix, and to no other", async () => {
    for (const topic of ["news:", "news:a"]) {
      expect((await publish("key-of-the-news", topic)).status).toBe(200);
    }
    for (const topic of ["news", "newsletter", "$news:a", "t", "NEWS:a"]) {
      const { status, json } = await publish("key-of-the-news", topic);
      expect([status, json.error.code]).toEqual([403, "missing_scope"]);
      expect(json.error.message).toContain(`the scope publish for the topic "${topic}"`);
    }
    expect((await publish("key-of-two", "a:1")).status).toBe(200);
    expect((await publish("key-of-two", "b:1")).status).toBe(200);
    expect((await publish("key-of-two", "c:1")).status).toBe(403);
  });

  test("publishes those items of an array that are its own, and the others get their error", async () => {
    const items = ["news:a", "t", "news:b"].map((topic) => ({ topic, message: "m" }));
    const { json } = await call("key-of-the-news", "POST", "/publish", items);
    expect(json[0]).toHaveProperty("offset");
    expect(json[1].error.code).toBe("missing_scope");
    expect(json[2]).toHaveProperty("offset");
  });

  test("publishes line by line what is its own", async () => {
    const lines = ["news:a", "t", "news:b"].map((topic) => JSON.stringify({ topic, message: "m" }));
    const type = { "content-type": "application/x-ndjson" };
    const { text } = await call("key-of-the-news", "POST", "/publish", lines.join("\n"), type);
    const answers = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(answers[0]).toHaveProperty("offset");
    expect(answers[1]).toMatchObject({ error: { code: "missing_scope" }, line: 2 });
    expect(answers[2]).toHaveProperty("offset");
    const other = await call("key-to-read", "POST", "/publish", lines.join("\n"), type);
    expect(other.status).toBe(403);
  });

  test("reads those topics, also where the address has them encoded, and nothing that is about all topics", async () => {
    const status = async (path: string) => (await call("key-of-the-news", "GET", path)).status;
    expect(await status("/topics/news:a/history")).toBe(200);
    expect(await status("/topics/news%3Aa/presence")).toBe(200);
    expect(await status("/topics/t/history")).toBe(403);
    expect(await status("/topics/%74/history")).toBe(403);
    expect(await status("/users/1/connections")).toBe(403);
    expect((await call("key-of-the-news", "DELETE", "/users/1/connections")).status).toBe(403);
  });
});

describe("the server API", () => {
  const data = { n: 1 };
  /** Its methods by the scope that they need. */
  const METHODS: [scope: string, method: string, params: object][] = [
    ["publish", "publish", { channel: "t", data }],
    ["publish", "broadcast", { channels: ["t", "u"], data }],
    ["read", "presence", { channel: "t" }],
    ["read", "presence_stats", { channel: "t" }],
    ["read", "history", { channel: "t" }],
    ["read", "channels", {}],
    ["read", "info", {}],
    ["manage", "subscribe", { channel: "t", user: "1" }],
    ["manage", "unsubscribe", { channel: "t", user: "1" }],
    ["manage", "disconnect", { user: "1" }],
    ["manage", "refresh", { user: "1" }],
    ["manage", "history_remove", { channel: "t" }],
  ];

  test.each(METHODS)(
    "has the scope %s for the method %s, however it is called",
    async (scope, method, params) => {
      for (const key of ["key-that-opens-all", ...SCOPES.map((one) => `key-to-${one}`)]) {
        const isOpen = key === "key-that-opens-all" || key === `key-to-${scope}`;
        const single = (await call(key, "POST", `/api/${method}`, params)).json;
        const batch = (await call(key, "POST", "/api/batch", { commands: [{ [method]: params }] }))
          .json;
        const command = (await call(key, "POST", "/api", { method, params })).json;
        for (const reply of [single, batch.replies[0], command]) {
          if (isOpen) expect(reply).not.toHaveProperty("error");
          else expect(reply.error).toMatchObject({ code: 103 });
        }
        const mode = { "x-centrifugo-error-mode": "transport" };
        const { status } = await call(key, "POST", `/api/${method}`, params, mode);
        expect(status).toBe(isOpen ? 200 : 403);
      }
    },
  );

  test("checks each command of a batch, and each line, by itself", async () => {
    const own = { channel: "news:a", data };
    const other = { channel: "t", data };
    const batch = {
      commands: [{ publish: other }, { publish: own }, { disconnect: { user: "1" } }],
    };
    const { replies } = (await call("key-of-the-news", "POST", "/api/batch", batch)).json;
    expect(replies.map((reply: object) => Object.keys(reply)[0])).toEqual([
      "error",
      "publish",
      "error",
    ]);
    const lines = [other, own].map((params) => JSON.stringify({ method: "publish", params }));
    // The answer to several lines is several texts of JSON.
    const answer = await fetch(`${relay.url}/api`, {
      method: "POST",
      headers: { "x-api-key": "key-of-the-news", "content-type": "application/json" },
      body: lines.join("\n"),
    });
    const text = await answer.text();
    const answers = text.split("\n").map((line) => JSON.parse(line));
    expect(answers.map((reply) => Object.keys(reply)[0])).toEqual(["error", "result"]);
  });

  test("publishes nothing of a broadcast of which the key lacks a topic", async () => {
    const before = (await call("key-to-read", "GET", "/topics/news:x/history")).json.offset;
    const body = { channels: ["news:x", "t"], data };
    const { json } = await call("key-of-the-news", "POST", "/api/broadcast", body);
    expect(json.error.code).toBe(103);
    const after = (await call("key-to-read", "GET", "/topics/news:x/history")).json.offset;
    expect(after).toBe(before);
    const news = { channels: ["news:x"], data };
    const { result } = (await call("key-of-the-news", "POST", "/api/broadcast", news)).json;
    expect(result.responses).toHaveLength(1);
  });

  test("needs the scope for all topics where a call names none", async () => {
    for (const method of ["unsubscribe", "disconnect", "refresh"]) {
      const { json } = await call("key-of-the-news", "POST", `/api/${method}`, { user: "1" });
      expect(json.error.code).toBe(103);
    }
    for (const method of ["channels", "info", "history", "presence"]) {
      const { json } = await call("key-of-the-news", "POST", `/api/${method}`, {});
      expect(json.error.code).toBe(103);
    }
  });
});

test("a key without the scope is refused before the body is read", async () => {
  const { status } = await call("key-to-read", "POST", "/publish", "not even JSON");
  expect(status).toBe(403);
  expect(ERRORS.missing_scope.status).toBe(403);
});

test("a request that publishes line by line ends to publish when its key is removed, and its scopes may change", async () => {
  const keys = (...some: string[]) => readSettings({ ...env, BATON_API_KEYS: some.join(",") });
  await using other = await startRelay({ ...env, BATON_API_KEYS: "key-of-lines:publish" });
  const { reloads } = other.running;
  const publisher = await OpenPublish.open(other.port, ["X-API-Key: key-of-lines"]);
  publisher.publish("t", "1");
  expect(await publisher.next()).toMatchObject({ offset: 1 });
  await reloads.take(keys("key-of-lines:publish@news:", "another-key-0123456"));
  publisher.publish("t", "2");
  expect(await publisher.next()).toMatchObject({ error: { code: "missing_scope" } });
  publisher.publish("news:", "3");
  expect(await publisher.next()).toMatchObject({ offset: 1 });
  await reloads.take(keys("another-key-0123456"));
  publisher.publish("news:", "4");
  expect(await publisher.next()).toMatchObject({ error: { code: "unauthorized" } });
  publisher.end();
  await publisher.ended();
});
