// Publications with a push, from POST /publish to a push service of the tests' own.
import { expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { PUSH_ENV, registerDevice, VAPID } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const PUSH = { title: "New message", body: "hi 👋", url: "/chat" };

test("a publication with a push goes to the devices of a user who is away, encrypted for each and signed", async () => {
  await using service = new PushService();
  await using relay = await startRelay(PUSH_ENV);
  await registerDevice(relay, "ann", service.subscription("phone"));
  await registerDevice(relay, "ann", service.subscription("laptop"));
  const push = { ...PUSH, ttl: 60, urgency: "high", topic: "orders:42" };
  const body = { topic: "chat", message: "hi", user_id: "ann", push };
  const { status, json } = await relay.post("/publish", body);
  expect([status, json.delivered]).toEqual([200, 0]);
  const [phone] = await service.taken("phone");
  const [laptop] = await service.taken("laptop");
  expect(phone?.data).toEqual({ ...PUSH, topic: "chat" });
  expect(laptop?.data).toEqual({ ...PUSH, topic: "chat" });
  expect(phone?.headers.get("ttl")).toBe("60");
  expect(phone?.headers.get("urgency")).toBe("high");
  // Services learn no name, nor which devices have the same.
  const topics = [phone, laptop].map((one) => one?.headers.get("topic"));
  expect(topics.join(" ")).toMatch(/^[\w-]{32} [\w-]{32}$/);
  expect(new Set(topics).size).toBe(2);
  expect(phone?.claims.sub).toBe("mailto:push@example.com");
  expect(phone?.key).toBe(VAPID.publicKey);
  expect(service.invalid).toEqual([]);
});

test("a user who is connected gets the publication there, and no device does", async () => {
  await using service = new PushService();
  await using relay = await startRelay(PUSH_ENV);
  await registerDevice(relay, "ann", service.subscription("phone"));
  const client = await relay.connect("ann", ["chat"]);
  const body = { topic: "chat", message: "hi", user_id: "ann", push: PUSH };
  expect((await relay.post("/publish", body)).json.delivered).toBe(1);
  expect(await client.next()).toBe("hi");
  await until("the decision", () => metric(relay, "withdrawn"));
  expect(service.requests).toBe(0);
});

test("a connection whose client is gone without a word took nothing: the device gets the push", async () => {
  await using service = new PushService();
  await using relay = await startRelay({ ...PUSH_ENV, BATON_PONG_MS: "200" });
  await registerDevice(relay, "ann", service.subscription("phone"));
  // It answers no ping.
  await RawSocket.upgrade(await relay.register("ann"));
  const body = { topic: "tech", message: "hi", user_id: "ann", push: PUSH };
  expect((await relay.post("/publish", body)).json.delivered).toBe(1);
  expect((await service.taken("phone"))[0]?.data.title).toBe("New message");
});

test("a redirect of a push service is not followed", async () => {
  await using other = new PushService();
  await using service = new PushService();
  await using relay = await startRelay(PUSH_ENV);
  await registerDevice(relay, "ann", service.subscription("phone"));
  const headers = { location: other.subscription("phone").endpoint };
  service.answer = () => ({ status: 307, headers });
  await relay.post("/publish", { topic: "chat", message: "hi", user_id: "ann", push: PUSH });
  await until("the decision", () => metric(relay, "refused"));
  expect([service.requests, other.requests]).toEqual([1, 0]);
});

test("a device that its push service no longer knows is forgotten", async () => {
  await using service = new PushService();
  await using relay = await startRelay(PUSH_ENV);
  await registerDevice(relay, "ann", service.subscription("phone"));
  service.answer = () => ({ status: 410, body: "x".repeat(100_000) });
  await relay.post("/publish", { topic: "chat", message: "hi", user_id: "ann", push: PUSH });
  await until("the decision", () => metric(relay, "gone"));
  expect((await relay.request("GET", "/users/ann/devices")).json.devices).toEqual([]);
});

test("lines of publications and a rule's template push too, and so does an idempotent repetition, once", async () => {
  const rules = topicsFile({ "mail:": { push: { title: "Mail", body: "{{data.subject}}" } } });
  await using service = new PushService();
  await using relay = await startRelay({ ...PUSH_ENV, BATON_TOPICS_FILE: rules });
  await registerDevice(relay, "ann", service.subscription("phone"));
  const lines = [
    { topic: "mail:ann", data: { subject: "Hello" }, user_id: "ann", idempotency_key: "1" },
    { topic: "mail:ann", data: { subject: "Hello" }, user_id: "ann", idempotency_key: "1" },
    { topic: "chat", message: "hi", user_id: "ann", push: { title: "line" } },
    { topic: "chat", message: "to all", push: { title: "refused" } },
    { topic: "chat", message: "quiet", user_id: "ann" },
  ];
  const body = lines.map((line) => JSON.stringify(line)).join("\n");
  const headers = { "content-type": "application/x-ndjson" };
  const { text } = await relay.request("POST", "/publish", { body, headers });
  const codes = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).error?.code);
  expect(codes).toEqual([undefined, undefined, undefined, "invalid_push", undefined]);
  const pushes = await service.taken("phone", 2);
  expect(pushes.map(({ data }) => [data.title, data.body]).toSorted()).toEqual([
    ["Mail", "Hello"],
    ["line", undefined],
  ]);
  await relay.post("/publish", { topic: "chat", message: "x", user_id: "ann", push: PUSH });
  await service.taken("phone", 3);
  expect(service.requests).toBe(3);
});

test.each<[object, number, string]>([
  [{ push: { title: "t", body: "x".repeat(4_000) }, user_id: "ann" }, 413, "push_too_large"],
  [{ push: { title: "t" } }, 422, "invalid_push"],
  [{ push: { title: "" }, user_id: "ann" }, 422, "invalid_push"],
  [{ push: { title: "t", urgency: "now" }, user_id: "ann" }, 422, "invalid_push"],
  [{ push: { title: "t", icon: "/i.png" }, user_id: "ann" }, 422, "invalid_push"],
])(
  "a publication with %j is answered with %d %s, and not published",
  async (rest, status, code) => {
    await using relay = await startRelay(PUSH_ENV);
    const answer = await relay.post("/publish", { topic: "chat", message: "hi", ...rest });
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
    const { json } = await relay.request("GET", "/topics/chat/history");
    expect(json.publications).toEqual([]);
  },
);

test("where too many pushes wait, publications with one are refused with 429, and others are not", async () => {
  await using relay = await startRelay({
    ...PUSH_ENV,
    BATON_PUSH_AFTER_MS: "600000",
    BATON_PUSHES_MAX: "2",
  });
  const publish = (rest: object) =>
    relay.post("/publish", { topic: "chat", message: "hi", user_id: "ann", ...rest });
  const statuses: number[] = [];
  for (let i = 0; i < 4; i++) statuses.push((await publish({ push: PUSH })).status);
  expect(statuses).toEqual([200, 200, 429, 429]);
  expect((await publish({})).status).toBe(200);
});

/** Whether a push of the relay has ended so. */
async function metric(relay: TestRelay, outcome: string): Promise<boolean> {
  const { text } = await relay.request("GET", "/metrics");
  return new RegExp(`^baton_pushes_total\\{outcome="${outcome}"\\} [1-9]`, "m").test(text);
}
