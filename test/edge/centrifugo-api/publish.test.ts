// Publishing with the server API: publish and broadcast (docs/centrifuge-protocol.md, "Server API").
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { callApi, startOpenRelay } from "../../support/centrifuge/server-api";
import { SessionClient } from "../../support/centrifuge/session-client";
import type { TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startOpenRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

const post = (method: string, body: string, headers: Record<string, string> = {}) =>
  relay.request("POST", `/api/${method}`, { body, headers });

const call = (method: string, body: object, at: TestRelay = relay) => callApi(at, method, body);

const code = async (method: string, body: object) => (await call(method, body)).error?.code;

describe("/api/publish", () => {
  test.each([
    '{"price": 1.0, "big": 12345678901234567890, "t": "\\u0041\\/é"}',
    "12345678901234567890",
    "1.0",
    "null",
    '"text"',
    "[ ]",
  ])("delivers data with its bytes unchanged: %s", async (data) => {
    const session = await SessionClient.connect(relay, { topics: ["exact"] });
    const answer = await post("publish", `{"data": ${data} ,"channel":"exact"}`);
    const { offset, epoch } = answer.json.result;
    expect([typeof offset, typeof epoch]).toEqual(["number", "string"]);
    expect(await session.nextText()).toBe(
      `{"push":{"channel":"exact","pub":{"data":${data},"offset":${offset}}}}`,
    );
    session.drop();
  });

  test("accepts the base64 of JSON, and refuses any other base64", async () => {
    const client = await relay.connect(1, ["base64"]);
    const encode = (bytes: string | Uint8Array) => Buffer.from(bytes).toString("base64");
    const b64data = encode('{"x": 1.0}');
    expect((await call("publish", { channel: "base64", b64data })).result.offset).toBe(1);
    expect(await client.next()).toBe('{"x": 1.0}');
    for (const bad of [encode("{"), encode(new Uint8Array([0x22, 0xff, 0x22])), "!"]) {
      expect(await code("publish", { channel: "base64", b64data: bad })).toBe(107);
    }
    expect(await client.rest()).toEqual([]);
  });

  test("delivers tags, both live and from history", async () => {
    const session = await SessionClient.connect(relay, { topics: ["tagged"] });
    const tags = { a: "1", "\u2028": "é" };
    await call("publish", { channel: "tagged", data: 1, tags });
    expect((await session.next()).pub).toEqual({ data: 1, offset: 1, tags });
    const { publications } = (await call("history", { channel: "tagged", limit: 1 })).result;
    expect(publications).toEqual([{ data: 1, offset: 1, tags }]);
    for (const bad of [{ a: 1 }, { "\u2028": 1 }, [], "a"]) {
      expect(await code("publish", { channel: "tagged", data: 1, tags: bad })).toBe(107);
    }
    session.drop();
  });

  test("publishes once with an idempotency key", async () => {
    const client = await relay.connect(1, ["once"]);
    const body = { channel: "once", data: 1, idempotency_key: "key" };
    const first = await call("publish", body);
    expect(await call("publish", body)).toEqual(first);
    expect(await client.rest()).toEqual(["1"]);
    expect(await code("publish", { ...body, data: 2 })).toBe(107);
    expect(await code("publish", { ...body, idempotency_key: "a\nb" })).toBe(107);
    expect(await code("publish", { ...body, idempotency_key: "x".repeat(1_025) })).toBe(107);
    expect((await call("publish", { ...body, idempotency_key: "" })).result.offset).toBe(2);
  });

  test.each([["order 1"], ["Größe"], ["x".repeat(256)]])(
    "takes any text as an idempotency key, as the reference server does: %j",
    async (idempotency_key) => {
      const body = { channel: "texts", data: idempotency_key, idempotency_key };
      const first = await call("publish", body);
      expect(first.result.offset).toBeGreaterThan(0);
      expect(await call("publish", body)).toEqual(first);
      const broadcast = await call("broadcast", { ...body, channels: ["texts"] });
      expect(broadcast.result.responses).toEqual([first]);
    },
  );

  test("returns no position for a topic without history", async () => {
    expect(await call("publish", { channel: "brief:a", data: 1 })).toEqual({ result: {} });
  });

  test.each<[string, object, number]>([
    ["a body without fields", {}, 107],
    ["a body without data", { channel: "t" }, 107],
    ["an empty channel", { channel: "", data: 1 }, 107],
    ["a body without a channel", { data: 1 }, 107],
    ["a channel that is a number", { channel: 1, data: 1 }, 107],
    ["a channel with a control character", { channel: "a\nb", data: 1 }, 107],
    ["a channel of 256 characters", { channel: "x".repeat(256), data: 1 }, 107],
    ["data of 70,000 characters", { channel: "t", data: "x".repeat(70_000) }, 106],
  ])("refuses %s", async (_, body, expected) => {
    expect(await code("publish", body)).toBe(expected);
  });

  test("ignores unknown fields", async () => {
    const body = { channel: "unknown", data: 1, version: 3, delta: true, skip: null };
    expect((await call("publish", body)).result.offset).toBe(1);
  });
});

describe("/api/broadcast", () => {
  test("publishes to each topic, and answers in the order of the topics", async () => {
    const client = await relay.connect(1, ["wide1", "wide2"]);
    const body = '{"channels":["wide1","","wide2","brief:b"],"data":{"x": 1.0}}';
    const { responses } = (await post("broadcast", body)).json.result;
    expect(responses).toEqual([
      { result: { offset: 1, epoch: expect.any(String) } },
      { error: { code: 107, message: "bad request: A topic name must not be empty." } },
      { result: { offset: 1, epoch: expect.any(String) } },
      { result: {} },
    ]);
    expect(await client.take(2)).toEqual(['{"x": 1.0}', '{"x": 1.0}']);
  });

  test("publishes once to each topic with an idempotency key", async () => {
    const body = { channels: ["wide3", "wide4"], data: 1, idempotency_key: "wide" };
    const first = await call("broadcast", body);
    expect(await call("broadcast", body)).toEqual(first);
    expect(first.result.responses[1].result.offset).toBe(1);
  });

  test("requires data and 1 to 1,000 topics", async () => {
    expect(await code("broadcast", { data: 1 })).toBe(107);
    expect(await code("broadcast", { channels: [], data: 1 })).toBe(107);
    expect(await code("broadcast", { channels: Array(1_001).fill("t"), data: 1 })).toBe(107);
    expect(await code("broadcast", { channels: ["t"] })).toBe(107);
  });
});
