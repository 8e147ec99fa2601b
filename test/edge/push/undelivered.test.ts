// What nobody got is told to a backend, as a webhook: with devices and without.
import { expect, test } from "bun:test";
import { WebhookBackend } from "../../support/hooks/webhook-backend";
import { PUSH_ENV, registerDevice } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const PUSH = { title: "Bob", body: "See you?", url: "/chat", ttl: 60, urgency: "high" };

const TYPES = "types=publication.undelivered";

test("without VAPID keys, what no connection takes is told with its push and its data, and devices are not kept", async () => {
  await using backend = new WebhookBackend();
  await using relay = await startRelay({ ...backend.env(TYPES), BATON_PUSH_AFTER_MS: "50" });
  const body = { topic: "chat", data: { n: 1.5 }, event: "said", user_id: "ann", push: PUSH };
  const { json } = await relay.post("/publish", body);
  const { epoch, offset } = json;
  await until("the event", () => backend.events.length === 1);
  const [event] = backend.events;
  expect(event?.type).toBe("publication.undelivered");
  expect(event?.data).toEqual({
    topic: "chat",
    user_id: "ann",
    event: "said",
    offset,
    epoch,
    push: PUSH,
    devices: [],
    data: { n: 1.5 },
  });
  expect((await relay.request("GET", "/users/ann/devices")).json.error.code).toBe("not_available");
});

test("what a connection has taken, or a device has accepted, is not told; what no device accepts is, with what became of it", async () => {
  await using service = new PushService();
  await using backend = new WebhookBackend();
  await using relay = await startRelay({ ...PUSH_ENV, ...backend.env(TYPES) });
  await registerDevice(relay, "ann", service.subscription("phone"));
  await registerDevice(relay, "bob", service.subscription("old"));
  service.answer = (device) => ({ status: device === "old" ? 410 : 201 });
  const client = await relay.connect("cleo", ["chat"]);
  for (const user of ["ann", "cleo", "bob"]) {
    const body = { topic: "chat", message: `to ${user}`, user_id: user, push: PUSH };
    await relay.post("/publish", body);
  }
  expect(await client.next()).toBe("to cleo");
  await service.taken("phone");
  await until("the event", () => backend.events.length > 0);
  expect(backend.events.map(({ data }) => [data.message, data.devices[0].state])).toEqual([
    ["to bob", "gone"],
  ]);
  const { text } = await relay.request("GET", "/metrics");
  expect(text).toContain('baton_pushes_total{outcome="undelivered"} 1');
});
