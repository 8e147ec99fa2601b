// Declared topics, by every way in which something can be published: what is not as declared is refused with 422 and changes nothing.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { Elysia, t } from "elysia";
import { baton, topics } from "../../src/library";
import { SessionClient } from "../support/centrifuge/session-client";
import { EmbeddingApp } from "../support/library/embedding-app";
import { APP } from "../support/pusher/app";
import { signedPath } from "../support/pusher/backend";

const TOPICS = topics({
  orders: t.Object({ id: t.Integer(), note: t.Optional(t.String({ description: "For people." })) }),
  "chat:*": Type.Object({ text: Type.String({ minLength: 1 }) }),
  "chat:lobby": t.String(),
  steps: t.Object({
    name: t.UnionEnum(["begun", "ended"]),
    of: t.Union([t.Literal(1), t.Literal(2)]),
  }),
});

const UNDECLARED =
  'The topic is not declared. Declared are "orders", "chat:*", "chat:lobby", "steps"; a * at the end stands for anything.';
const WRONG_ID = 'The topic "orders" takes other data: id: Expected integer.';

let running: EmbeddingApp;

beforeAll(() => {
  const pusherApps = [`${APP.id}:${APP.key}:${APP.secret}`];
  const relay = baton({ topics: TOPICS, insecure: true, pusherApps });
  running = new EmbeddingApp(new Elysia().use(relay));
});
afterAll(() => running[Symbol.asyncDispose]());

const publish = (body: unknown) => running.post("/publish", body);

/** The refusal of one publication in JSON. */
async function refusalOf(
  body: unknown,
): Promise<{ status: number; code: string; message: string }> {
  const { status, json } = await publish(body);
  return { status, ...json.error };
}

describe("POST /publish", () => {
  test("takes what is declared, by the narrowest name", async () => {
    for (const body of [
      { topic: "orders", data: { id: 1 } },
      { topic: "orders", data: { id: 1, note: "n", more: true } },
      { topic: "chat:1", data: { text: "x" } },
      { topic: "chat:lobby", data: "x" },
      { topic: "chat:lobby", message: "x" },
    ]) {
      expect([body, (await publish(body)).status]).toEqual([body, 200]);
    }
  });

  test.each([
    [{ topic: "order", data: { id: 1 } }, "undeclared_topic", UNDECLARED],
    [{ topic: "chat", data: { text: "x" } }, "undeclared_topic", UNDECLARED],
    [{ topic: "orders", data: { id: "1" } }, "invalid_data", WRONG_ID],
    [{ topic: "orders", data: { id: 1.5 } }, "invalid_data", WRONG_ID],
    [{ topic: "orders", data: {} }, "invalid_data", "id: Expected required property."],
    [{ topic: "orders", data: [1] }, "invalid_data", "data: Expected object."],
    [
      { topic: "steps", data: { name: "over", of: 1 } },
      "invalid_data",
      'name: Must be "begun" or "ended".',
    ],
    [{ topic: "steps", data: { name: "ended", of: 3 } }, "invalid_data", "of: Must be 1 or 2."],
    [{ topic: "orders", message: '{"id":1}' }, "invalid_data", "data: Expected object."],
    [
      { topic: "orders", data: { id: 1, note: 2 } },
      "invalid_data",
      "note: Expected string. For people.",
    ],
    [{ topic: "chat:1", data: { text: "" } }, "invalid_data", "text: Must not be empty."],
    [{ topic: "chat:lobby", data: { text: "x" } }, "invalid_data", "data: Expected string."],
  ])("refuses %j", async (body, code, sentence) => {
    const refusal = await refusalOf(body);
    expect(refusal).toMatchObject({ status: 422, code });
    expect(refusal.message).toEndWith(sentence);
  });

  test("refuses each publication of a batch for itself", async () => {
    const { status, json } = await publish([
      { topic: "orders", data: { id: 1 } },
      { topic: "orders", data: { id: "1" } },
      { topic: "order", data: { id: 1 } },
    ]);
    expect(status).toBe(200);
    expect(json).toMatchObject([
      { epoch: expect.any(String) },
      { error: { code: "invalid_data", message: WRONG_ID } },
      { error: { code: "undeclared_topic", message: UNDECLARED } },
    ]);
  });

  test("refuses each line for itself", async () => {
    const answer = await fetch(`${running.url}/publish`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: '{"topic":"orders","data":{"id":"1"}}\n{"topic":"orders","data":{"id":1}}\n',
    });
    const lines = (await answer.text()).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { error: { code: "invalid_data", message: WRONG_ID } },
      { epoch: expect.any(String) },
    ]);
  });
});

describe("Centrifugo's API", () => {
  const error = { code: 107, message: `bad request: ${WRONG_ID}` };
  const wrong = { channel: "orders", data: { id: "1" } };

  test.each([
    ["publish", wrong, { error }],
    ["publish", { channel: "order", data: {} }, { error: { code: 102 } }],
    [
      "broadcast",
      { channels: ["orders", "order"], data: { id: 1 } },
      { result: { responses: [{ result: {} }, { error: { code: 102 } }] } },
    ],
    ["batch", { commands: [{ publish: wrong }] }, { replies: [{ error }] }],
  ])("refuses it by %s %j", async (method, body, answer) => {
    expect((await running.post(`/api/${method}`, body)).json).toMatchObject(answer);
  });
});

describe("the API of Pusher", () => {
  const eventOf = (channel: string, data: object) => ({
    name: "changed",
    channel,
    data: JSON.stringify(data),
  });
  const post = async (path: string, value: object) => {
    const body = JSON.stringify(value);
    return running.post(signedPath({ path: `/apps/${APP.id}/${path}`, body }), value);
  };

  test("takes what is declared, and refuses the rest", async () => {
    expect((await post("events", eventOf("orders", { id: 1 }))).status).toBe(200);
    expect(await post("events", eventOf("orders", { id: "1" }))).toMatchObject({
      status: 400,
      json: { error: { code: "invalid_data", message: WRONG_ID } },
    });
  });

  test("refuses a batch as a whole", async () => {
    const before = (await publish({ topic: "orders", data: { id: 1 } })).json.offset;
    const batch = [eventOf("orders", { id: 1 }), eventOf("order", { id: 1 })];
    expect((await post("batch_events", { batch })).json.error.code).toBe("undeclared_topic");
    const after = (await publish({ topic: "orders", data: { id: 1 } })).json.offset;
    expect(after).toBe(before + 1);
  });
});

test.each(["json", "protobuf"] as const)(
  "a client of Centrifuge that publishes is told what is wrong (%s)",
  async (form) => {
    const client = await SessionClient.connect(running, { form, topics: ["orders"] });
    const ask = (channel: string, data: unknown) => client.ask("publish", { channel, data });
    expect(await ask("orders", { id: "1" })).toMatchObject({
      error: { code: 107, message: `bad request: ${WRONG_ID}` },
    });
    expect(await ask("order", { id: 1 })).toMatchObject({ error: { code: 102 } });
    expect((await ask("orders", { id: 1 })).error).toBeUndefined();
    expect((await client.next()).pub.data).toEqual({ id: 1 });
  },
);
