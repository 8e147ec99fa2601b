// What Pusher backends publish: POST /apps/:id/events and /batch_events, by the library for Node and by hand.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { createLog } from "../../../src/log";
import { start } from "../../../src/node";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { readSettings } from "../../../src/settings/read";
import { JsonClient } from "../../support/clients/json-client";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { backendOf, call } from "../../support/pusher/backend";
import { PusherClient } from "../../support/pusher/socket-client";
import { engineOptions } from "../../support/relay/simulation";
import { startRelay, TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

let relay: TestRelay;
let names = 0;
const nextName = (prefix = "news") => `${prefix}-${++names}`;

beforeAll(async () => {
  relay = await startRelay({
    ...PUSHER_ENV,
    BATON_TOPICS_FILE: topicsFile({ "kept-": { history_size: 100, history_ttl_ms: 60_000 } }),
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

/** A client with these topics, which a registration names. */
async function subscriber(...topics: string[]): Promise<JsonClient> {
  const { url } = await relay.registration("someone", topics);
  const client = await JsonClient.open(relay, url);
  await client.choose(topics);
  return client;
}

const post = (body: unknown, kind = "events") =>
  call(relay.url, { path: `/apps/${APP.id}/${kind}`, body: JSON.stringify(body) });

describe("an event", () => {
  test("reaches all of its channels, each once and with its name", async () => {
    const channels = [nextName(), nextName("private-x"), nextName("presence-x")];
    const client = await subscriber(...channels);
    const answer = await backendOf(relay.url).trigger(channels, "order", { n: 1 });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({});
    const frames = [await client.next(), await client.next(), await client.next()];
    expect(frames.map(({ topic, event, data }) => [topic, event, data])).toEqual(
      channels.map((channel) => [channel, "order", { n: 1 }]),
    );
    await client.expectNothingElse();
  });

  test("that names a channel twice is published there once", async () => {
    const channel = nextName();
    const client = await subscriber(channel);
    const body = { name: "e", data: "m", channel, channels: [channel, channel] };
    expect((await post(body)).status).toBe(200);
    expect((await client.next()).data).toBe("m");
    await client.expectNothingElse();
  });

  const JSON_TEXTS = [
    "{}",
    "null",
    "123",
    "1.0",
    "true",
    '"hi"',
    '{"a":"\\/\\u00e9\\u003c"}',
    '{"big":12345678901234567890}',
    " [1, 2]\n",
    `{"long":"${"é💥".repeat(8_000)}"}`,
  ];
  test.each(JSON_TEXTS.map((text) => [text.slice(0, 30), text]))(
    "whose data is the JSON %p is kept with the same characters, as JSON",
    async (_, data) => {
      const topic = nextName("kept");
      expect((await post({ name: "e", data, channels: [topic] })).status).toBe(200);
      const { text } = await relay.request("GET", `/topics/${topic}/history`);
      expect(text).toContain(`"data":${data}`);
    },
  );

  test.each([
    ["hi"],
    [""],
    ["{"],
    ["nul"],
    ["01"],
    ["'a'"],
    ["\ufeff{}"],
    ["{}{}"],
    ['"\\ud800"'],
    ["[".repeat(129) + "]".repeat(129)],
    ["[".repeat(20_000) + "]".repeat(20_000)],
    ["é💥\u2028"],
  ])(
    "whose data is not JSON that all can read (%p) is kept as the text that it is",
    async (data) => {
      const topic = nextName("kept");
      expect((await post({ name: "e", data, channels: [topic] })).status).toBe(200);
      const { json } = await relay.request("GET", `/topics/${topic}/history`);
      expect(json.publications).toEqual(
        [{ offset: 1, data, event: "e" }].map(expect.objectContaining),
      );
    },
  );

  test("leaves out the client that it names, and nobody when it names nobody's socket", async () => {
    const channel = nextName();
    const client = await subscriber(channel);
    await backendOf(relay.url).trigger(channel, "e", "m", { socket_id: "123.456" });
    expect((await client.next()).data).toBe("m");
  });

  test("for a user goes to the user's personal topic", async () => {
    const client = await JsonClient.connect(relay, "42");
    await client.choose(["#42"]);
    await backendOf(relay.url).sendToUser("42", "hello", "m");
    expect(await client.next()).toMatchObject({ topic: "#42", event: "hello", data: "m" });
  });

  test("with an idempotency key is published once in each channel", async () => {
    const channels = [nextName(), nextName()];
    const client = await subscriber(...channels);
    const params = { idempotency_key: "k" } as object;
    const backend = backendOf(relay.url);
    await backend.trigger(channels, "e", "m", params);
    await backend.trigger(channels, "e", "m", params);
    expect([(await client.next()).topic, (await client.next()).topic]).toEqual(channels);
    await client.expectNothingElse();
    const other = { name: "e", data: "other", channels, ...params };
    expect(await post(other)).toMatchObject({
      status: 400,
      json: { error: { code: "idempotency_conflict" } },
    });
  });

  test.each<[string, string, Record<string, unknown>]>([
    ["without a name", "invalid_body", { name: undefined }],
    ["with an empty name", "invalid_event", { name: "" }],
    ["with a name of 201 characters", "invalid_event", { name: "x".repeat(201) }],
    ["with a name of the relay's own events", "invalid_event", { name: "pusher:error" }],
    ["with an inner name", "invalid_event", { name: "pusher_internal:member_removed" }],
    ["without data", "invalid_body", { data: undefined }],
    ["with an object as data", "invalid_body", { data: {} }],
    ["without channels", "invalid_body", { channels: undefined }],
    ["with no channel", "invalid_body", { channels: [] }],
    ["with 1,001 channels", "invalid_body", { channels: Array(1_001).fill("a") }],
    ["with an empty channel", "invalid_topic", { channels: ["a", ""] }],
    ["with a channel of 256 bytes", "invalid_topic", { channels: ["x".repeat(256)] }],
    ["with a control character in a channel", "invalid_topic", { channels: ["a\nb"] }],
    ["with a channel #42", "invalid_topic", { channels: ["#42"] }],
    ["for nobody", "invalid_topic", { channels: ["#server-to-user-"] }],
    ["for two users", "invalid_topic", { channels: ["#server-to-user-a,b"] }],
    ["for a user with # in its name", "invalid_topic", { channels: ["#server-to-user-a#b"] }],
    ["with a bad socket", "invalid_body", { socket_id: "1.2.3" }],
    ["with a number as socket", "invalid_body", { socket_id: 1.2 }],
    ["that asks what nobody knows", "invalid_query", { info: "user_count,size" }],
    ["that asks for users of a public channel", "invalid_query", { info: "user_count" }],
    [
      "that asks for users of a presence channel and of another",
      "invalid_query",
      { channels: ["presence-a", "a"], info: "user_count" },
    ],
    ["with an empty key", "invalid_idempotency_key", { idempotency_key: "" }],
    ["with a lone surrogate", "invalid_message", { data: "\ud800" }],
  ])("%s is refused with 400, and nothing is published", async (_, code, change) => {
    const channel = nextName();
    const client = await subscriber(channel, "a");
    const body = { name: "e", data: "m", channels: [channel], ...change };
    const { status, json } = await post(body);
    expect([status, json.error.code]).toEqual([400, code]);
    expect(json.error.message).toBeString();
    await client.expectNothingElse();
  });

  test("that is too large is refused with 413: over the message's limit, and over the body's", async () => {
    const large = { name: "e", data: "x".repeat(65_537), channels: [nextName()] };
    expect(await post(large)).toMatchObject({
      status: 413,
      json: { error: { code: "message_too_large" } },
    });
    const huge = { ...large, data: "x".repeat(1_048_577) };
    expect(await post(huge)).toMatchObject({
      status: 413,
      json: { error: { code: "body_too_large" } },
    });
  });

  test.each([["", "{", "nul", "\ufeff{}", "[1]", "null"]].flat())(
    "is refused with 400 when its body is %p",
    async (body) => {
      const { status } = await call(relay.url, { body });
      expect(status).toBe(400);
    },
  );

  test("may have members that mean nothing here, and null for those that are not set", async () => {
    const body = { name: "e", data: "m", channel: null, socket_id: null, info: null, tags: {} };
    expect((await post({ ...body, channels: [nextName()] })).status).toBe(200);
  });
});

test("a name of the relay's own events is refused on every way to a channel, where the relay speaks the protocol", async () => {
  const client = await subscriber("own");
  const own = { topic: "own", event: "pusher:error", message: "m" };
  expect(await relay.post("/publish", own)).toMatchObject({
    status: 422,
    json: { error: { code: "invalid_event" } },
  });
  const batch = [{ name: "pusher:error", channel: "own", data: "m" }];
  expect((await post({ batch }, "batch_events")).status).toBe(400);
  expect((await relay.post("/publish", { ...own, event: "pusher" })).status).toBe(200);
  expect((await client.next()).event).toBe("pusher");
  await client.expectNothingElse();
  await using other = await startRelay();
  expect((await other.post("/publish", own)).status).toBe(200);
});

describe("a batch", () => {
  test("of 1,000 is published in its order", async () => {
    const channel = nextName();
    const client = await subscriber(channel);
    const batch = Array.from({ length: 1_000 }, (_, i) => ({
      channel,
      name: `e${i}`,
      data: String(i),
    }));
    const answer = await backendOf(relay.url).triggerBatch(batch);
    expect(await answer.json()).toEqual({});
    for (let i = 0; i < 1_000; i++) {
      expect(await client.next()).toMatchObject({ event: `e${i}`, data: i });
    }
  });

  test("of more than 1,000 is refused with 413, and an empty one publishes nothing", async () => {
    const batch = Array(1_001).fill({ channel: nextName(), name: "e", data: "m" });
    const answer = await post({ batch }, "batch_events");
    expect([answer.status, answer.json.error.code]).toEqual([413, "batch_too_large"]);
    expect(await post({ batch: [] }, "batch_events")).toEqual({ status: 200, json: {} });
  });

  test.each<[string, Record<string, unknown>]>([
    ["a channel", { channel: undefined }],
    ["a good name", { name: "" }],
    ["a good channel", { channel: "" }],
    ["data that fits", { data: "x".repeat(65_537) }],
    ["a good socket", { socket_id: "x" }],
    ["info that is known", { info: "user_count" }],
  ])("publishes nothing when one of its events lacks %s", async (_, change) => {
    const channel = nextName();
    const client = await subscriber(channel);
    const good = { channel, name: "e", data: "m" };
    const { status } = await post({ batch: [good, { ...good, ...change }] }, "batch_events");
    expect([400, 413]).toContain(status);
    await client.expectNothingElse();
  });

  test("says what each event asked about its channel", async () => {
    const [a, b] = [nextName(), nextName()];
    await subscriber(a, b);
    const event = { name: "e", data: "m" };
    const batch = [
      { ...event, channel: a, info: "subscription_count" },
      { ...event, channel: b },
    ];
    const { json } = await post({ batch }, "batch_events");
    expect(json).toEqual({ batch: [{ subscription_count: 1 }, {}] });
  });
});

test.each([
  ["publications", "events", { name: "e", data: "m", channels: ["a", "b", "c", "d", "e"] }],
  [
    "publications",
    "batch_events",
    { batch: Array(5).fill({ channel: "a", name: "e", data: "m" }) },
  ],
  ["requests", "events", { name: "e", data: "m", channel: "a" }],
])("too many %s of an app by %s are refused like those of an API key", async (what, kind, body) => {
  await using limited = await startRelay({
    ...PUSHER_ENV,
    [`BATON_KEY_${what.toUpperCase()}_MAX`]: "5",
  });
  const request = { path: `/apps/${APP.id}/${kind}`, body: JSON.stringify(body) };
  const answers = await Promise.all(Array.from({ length: 50 }, () => call(limited.url, request)));
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.length).toBeLessThan(50);
  expect(refused[0]).toMatchObject({
    status: 429,
    json: { error: { code: `too_many_key_${what}` } },
  });
});

test("channels whose prefix no rule names are refused to backends as to clients, where only known ones are, and nothing is published", async () => {
  await using strict = await startRelay({
    ...PUSHER_ENV,
    BATON_KNOWN_PREFIXES_ONLY: "1",
    BATON_TOPICS_FILE: topicsFile({ "news:": { history_size: 1 } }),
  });
  const client = await PusherClient.open(strict.url);
  await client.subscribed("news:a");
  client.subscribe("gnus:a");
  expect((await client.next()).event).toBe("pusher:subscription_error");
  const event = { name: "e", data: "m" };
  const ask = (kind: string, body: unknown) =>
    call(strict.url, { path: `/apps/${APP.id}/${kind}`, body: JSON.stringify(body) });
  for (const answer of [
    await ask("events", { ...event, channel: "gnus:a" }),
    await ask("events", { ...event, channels: ["news:a", "gnus:a"] }),
    await ask("batch_events", {
      batch: ["news:a", "gnus:a"].map((channel) => ({ ...event, channel })),
    }),
  ]) {
    expect(answer).toMatchObject({ status: 404, json: { error: { code: "unknown_topic" } } });
  }
  expect((await ask("events", { ...event, channel: "news:a" })).status).toBe(200);
  expect((await client.rest()).map(({ channel }) => channel)).toEqual(["news:a"]);
});

test.each([
  [
    "throws",
    () => {
      throw new EngineUnavailable("secret detail");
    },
  ],
  ["rejects", () => Promise.reject(new EngineUnavailable("secret detail"))],
])("an engine that %s is answered with 503, without the reason", async (_, publish) => {
  const engine = Object.assign(new MemoryEngine(engineOptions()), { publish });
  const settings = readSettings({ ...PUSHER_ENV, PORT: "0", BATON_SHUTDOWN_MS: "50" });
  await using down = new TestRelay(await start(settings, createLog("silent"), { engine }), []);
  for (const [kind, body] of [
    ["events", { name: "e", data: "m", channel: "a" }],
    ["batch_events", { batch: [{ name: "e", data: "m", channel: "a" }] }],
  ] as const) {
    const answer = await call(down.url, {
      path: `/apps/${APP.id}/${kind}`,
      body: JSON.stringify(body),
    });
    expect(answer).toMatchObject({ status: 503, json: { error: { code: "engine_unavailable" } } });
    expect(JSON.stringify(answer.json)).not.toContain("secret");
  }
});

test("a relay without apps has none of these routes", async () => {
  await using without = await startRelay();
  for (const path of [
    "/apps/42/events",
    "/apps/42/batch_events",
    "/users/1/terminate_connections",
  ]) {
    expect((await call(without.url, { path, body: "{}" })).status, path).toBe(404);
  }
  const channels = { method: "GET", path: "/apps/42/channels" };
  expect((await call(without.url, channels)).status).toBe(404);
});
