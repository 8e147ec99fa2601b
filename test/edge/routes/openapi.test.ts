// The OpenAPI page: that its document is complete and true, and that it needs no other host.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ERRORS, type ErrorCode } from "../../../src/relay/contracts/errors";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

// biome-ignore lint/suspicious/noExplicitAny: a JSON document of any shape
let document: any;
let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
  document = (await relay.request("GET", "/openapi/json")).json;
});
afterAll(() => relay[Symbol.asyncDispose]());

/** Of section 16 of the protocol. */
const API_METHODS = [
  "publish",
  "broadcast",
  "subscribe",
  "unsubscribe",
  "disconnect",
  "refresh",
  "presence",
  "presence_stats",
  "history",
  "history_remove",
  "channels",
  "info",
];

test("the OpenAPI document has every route and no others", () => {
  const routes = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect(routes.toSorted()).toEqual([
    "delete /connections/{id}",
    "delete /register/{id}",
    "delete /users/{user}/connections",
    "delete /users/{user}/devices/{device}",
    "get /connection/sse",
    "get /connection/websocket",
    "get /explain",
    "get /health",
    "get /health/live",
    "get /health/ready",
    "get /health/sources",
    "get /metrics",
    "get /publications/{topic}/{offset}",
    "get /sse/{id}",
    "get /topics",
    "get /topics/{topic}/history",
    "get /topics/{topic}/presence",
    "get /users",
    "get /users/{user}/connections",
    "get /users/{user}/devices",
    "get /ws/{id}",
    "post /api",
    ...[...API_METHODS, "batch"].toSorted().map((method) => `post /api/${method}`),
    "post /connection/http_stream",
    "post /connection/sse",
    "post /emulation",
    "post /publish",
    "post /register",
    "post /users/{user}/devices",
  ]);
});

test("the OpenAPI document has the parameters of a query next to those of a path", () => {
  const names = document.paths["/topics/{topic}/history"].get.parameters.map(
    ({ name }: { name: string }) => name,
  );
  expect(names).toEqual(["topic", "since", "epoch", "limit", "reverse"]);
});

test("every operation of the OpenAPI document has a summary, a successful answer and described errors", () => {
  for (const operation of operations()) {
    expect(operation.summary).toBeString();
    const statuses = Object.keys(operation.responses).map(Number);
    expect(Math.min(...statuses)).toBeLessThan(300);
    for (const response of Object.values<{ description: string }>(operation.responses)) {
      expect(response.description).not.toBe("");
    }
  }
});

test("the OpenAPI document has every error code with its status, except those of frames and of any request", () => {
  const said = new Set<string>();
  for (const operation of operations()) {
    for (const [status, response] of Object.entries<{ description: string }>(operation.responses)) {
      for (const [, code] of response.description.matchAll(/`([a-z_]+)`: /g)) {
        said.add(code as string);
        expect(ERRORS[code as ErrorCode].status).toBe(Number(status) as 400);
      }
    }
  }
  const inFrames = [
    "invalid_frame",
    "token_expired",
    "unknown_topic",
    "already_subscribed",
    "too_many_client_publications",
    "too_many_members",
    "member_too_large",
  ];
  // Of routes that are there with BATON_PUSHER_APPS only; test/edge/pusher/document.test.ts looks at them.
  const ofPusher = ["invalid_signature"];
  const anywhere = ["internal", "not_found", "method_not_allowed"];
  const unsaid = Object.keys(ERRORS).filter((code) => !said.has(code));
  // The routes of /emulation and of the API's methods describe not_found themselves.
  expect([...unsaid, "not_found"].toSorted()).toEqual(
    [...inFrames, ...ofPusher, ...anywhere].toSorted(),
  );
});

test("answers in the OpenAPI document have the media types that the relay sends", async () => {
  const types = (method: string, path: string, status: string) =>
    Object.keys(document.paths[path][method].responses[status].content ?? {});
  const typeOf = async (method: string, path: string, body?: string) => {
    const end = new AbortController();
    const headers = { "content-type": "application/json" };
    const init = { method, headers, signal: end.signal, ...(body !== undefined && { body }) };
    const { status, headers: sent } = await fetch(relay.url + path, init);
    end.abort();
    expect(status).toBe(200);
    return [sent.get("content-type")?.split(";")[0] ?? ""];
  };
  const { json } = await relay.post("/register", { user_id: 1 });
  const stream = new URL(json.sse).pathname;
  const connect = '{"id":1,"connect":{}}';
  const query = `?cf_connect=${encodeURIComponent(connect)}`;
  expect(await typeOf("get", stream)).toEqual(types("get", "/sse/{id}", "200"));
  for (const [path, method, asked, body] of [
    ["/connection/http_stream", "post", "", connect],
    ["/connection/http_stream", "post", "", ""],
    ["/connection/sse", "post", "", connect],
    ["/connection/sse", "get", query, undefined],
    ["/health", "get", "", undefined],
    ["/api/info", "post", "", "{}"],
    ["/register", "post", "", '{"user_id":1}'],
  ] as const) {
    expect(await typeOf(method, path + asked, body)).toEqual(types(method, path, "200"));
  }
  expect(types("post", "/emulation", "204")).toEqual([]);
  expect(types("get", "/ws/{id}", "101")).toEqual([]);
});

test("names in paths of the OpenAPI document have the bounds that they have in bodies", async () => {
  const { topic, user_id } =
    document.paths["/publish"].post.requestBody.content["application/json"].schema.anyOf[0]
      .properties;
  const bounds = ({ type, minLength, maxLength, pattern }: Record<string, unknown>) => [
    type,
    minLength,
    maxLength,
    pattern,
  ];
  const inPaths = operations().flatMap(({ parameters = [] }) =>
    parameters.filter((one: { in: string }) => one.in === "path"),
  );
  const named = (name: string) => inPaths.filter((one: { name: string }) => one.name === name);
  expect(named("topic")).toHaveLength(3);
  expect(named("user")).toHaveLength(5);
  for (const { schema } of named("topic")) expect(bounds(schema)).toEqual(bounds(topic));
  for (const { schema } of named("user")) {
    expect(bounds(schema)).toEqual(bounds(user_id.anyOf[1]));
  }
});

test("bodies in the OpenAPI document are JSON or lines of it, and name what they require", () => {
  const { content, required } = document.paths["/publish"].post.requestBody;
  expect(Object.keys(content)).toEqual(["application/json", "application/x-ndjson"]);
  expect(required).toBe(true);
  const [one, many] = content["application/json"].schema.anyOf;
  expect(one.required).toEqual(["topic"]);
  expect(one.oneOf).toEqual([{ required: ["message"] }, { required: ["data"] }]);
  expect(one.additionalProperties).toBe(false);
  expect(many.items).toEqual(one);
  expect(many.maxItems).toBe(1_000);
  expect(content["application/x-ndjson"].schema).toEqual(one);
});

/** A body for each method, with every field that it accepts. */
const who = { user: "nobody", client: "c", session: "s" };
const payload = { data: { a: 1 }, b64data: "", idempotency_key: "", tags: { a: "b" } };
const since = { offset: 0, epoch: "" };
const BODIES: Record<string, object> = {
  publish: { channel: "t", ...payload },
  broadcast: { channels: ["t"], ...payload },
  subscribe: {
    ...who,
    channel: "t",
    info: 1,
    b64info: "",
    data: 1,
    b64data: "",
    expire_at: 0,
    recover_since: since,
    override: {},
  },
  unsubscribe: { ...who, channel: "t" },
  disconnect: { ...who, whitelist: [], disconnect: { code: 4000, reason: "bye" } },
  refresh: { ...who, expired: false, expire_at: 0 },
  presence: { channel: "seen:t" },
  presence_stats: { channel: "seen:t" },
  history: { channel: "t", limit: 1, since, reverse: false },
  history_remove: { channel: "t" },
  channels: { pattern: "*" },
  info: {},
};

test.each(API_METHODS)(
  "the OpenAPI document has exactly the fields that /api/%s accepts and returns",
  async (method) => {
    await using own = await startRelay({
      BATON_TOPICS_FILE: topicsFile({ "seen:": { presence: true } }),
    });
    await own.post("/api/publish", { channel: "t", data: 1, tags: { a: "b" } });
    await own.connect(1, ["t", "seen:t"]);
    const operation = document.paths[`/api/${method}`].post;
    const body = operation.requestBody.content["application/json"].schema;
    expect(Object.keys(body.properties).toSorted()).toEqual(
      Object.keys(BODIES[method] ?? {}).toSorted(),
    );
    const { json } = await own.post(`/api/${method}`, BODIES[method]);
    const [good] = operation.responses[200].content["application/json"].schema.anyOf;
    expect(json.result).toBeDefined();
    checkShape(json.result, good.properties.result);
  },
);

/** Checks that a value has exactly what the schema says. */
// biome-ignore lint/suspicious/noExplicitAny: a JSON document of any shape
function checkShape(value: any, schema: any): void {
  if (schema.anyOf !== undefined) {
    checkShape(value, schema.anyOf[0]);
    return;
  }
  if (schema.type === "array") {
    for (const item of value) checkShape(item, schema.items);
    return;
  }
  if (schema.type !== "object") {
    if (schema.type === "integer") expect(Number.isInteger(value)).toBe(true);
    else if (schema.type !== undefined) expect(typeof value).toBe(schema.type);
    return;
  }
  for (const name of schema.required ?? []) expect(value).toHaveProperty([name]);
  for (const [name, member] of Object.entries(value)) {
    const of = schema.properties?.[name] ?? schema.additionalProperties;
    expect(of, name).toBeDefined();
    checkShape(member, of);
  }
}

test("the OpenAPI document requires a key exactly where the relay does", async () => {
  for (const operation of operations()) expect(operation.security ?? []).toEqual([]);
  await using guarded = await startRelay({ BATON_API_KEYS: "a-long-random-key" });
  const { paths } = (await guarded.request("GET", "/openapi/json")).json;
  expect(paths["/publish"].post.security).toEqual([{ apiKey: [] }, { authorization: [] }]);
  expect(paths["/health"].get.security).toBeUndefined();
});

describe("the OpenAPI page", () => {
  test("loads nothing from other hosts", async () => {
    const page = await relay.request("GET", "/openapi");
    expect(page.headers.get("content-type")).toStartWith("text/html");
    const sources = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, source]) => source);
    expect(sources.length).toBeGreaterThan(1);
    for (const source of sources) {
      expect(source).toStartWith("/openapi/");
      expect((await relay.request("GET", source as string)).status).toBe(200);
    }
  });
});

// biome-ignore lint/suspicious/noExplicitAny: operations of a JSON document
function operations(): any[] {
  return Object.values<object>(document.paths).flatMap((methods) => Object.values(methods));
}
