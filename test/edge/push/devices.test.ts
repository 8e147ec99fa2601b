// The devices of users: what is kept of them, and for how long.
import { expect, test } from "bun:test";
import { DeviceCipher } from "../../../src/edge/push/devices/device-cipher";
import { Devices } from "../../../src/edge/push/devices/devices";
import { createLog } from "../../../src/log";
import { Refusal } from "../../../src/relay/contracts/errors";
import { Engines } from "../../support/engines/fresh-engines";
import { deviceOf, PUSH_ENV } from "../../support/push/push-relay";
import { startRelay } from "../../support/relay/test-relay";

const OLD = "o".repeat(32);
const NEW = "n".repeat(32);

async function devicesIn(engines: Engines, ...secrets: string[]) {
  const { engine } = await engines.started("memory");
  const { records } = engine;
  const make = (...others: string[]) =>
    new Devices({
      records,
      cipher: new DeviceCipher(others),
      userDevicesMax: 2,
      deviceTtlMs: 60_000,
      addresses: "any",
      now: () => 1_000_000,
      log: createLog("silent"),
    });
  return { records, make, devices: make(...secrets) };
}

test("a backend registers, lists and removes a user's devices, and sees neither endpoint nor keys", async () => {
  await using relay = await startRelay(PUSH_ENV);
  const first = await relay.post("/users/ann/devices", deviceOf("phone", "https://a.example"));
  await relay.post("/users/ann/devices", deviceOf("laptop", "https://b.example:8443"));
  const again = await relay.post("/users/ann/devices", deviceOf("phone", "https://a.example"));
  expect([first.status, again.json.id, again.json.since]).toEqual([
    200,
    first.json.id,
    first.json.since,
  ]);
  const { json, text } = await relay.request("GET", "/users/ann/devices");
  expect(json.devices).toMatchObject([{ service: "a.example" }, { service: "b.example:8443" }]);
  expect(text).not.toMatch(/phone|laptop|tBHI|BNcR/);
  const path = `/users/ann/devices/${first.json.id}`;
  expect((await relay.request("DELETE", path)).json).toEqual({ removed: 1 });
  expect((await relay.request("DELETE", path)).json.error.code).toBe("unknown_device");
  expect((await relay.request("GET", "/users/bob/devices")).json).toEqual({ devices: [] });
});

test("a key without the scope register or read opens no route of devices", async () => {
  await using relay = await startRelay({ ...PUSH_ENV, BATON_API_KEYS: "aaaaaaaaaaaaaaaa:publish" });
  const headers = { "x-api-key": "aaaaaaaaaaaaaaaa" };
  const posted = await relay.post("/users/ann/devices", deviceOf("phone"), headers);
  const listed = await relay.request("GET", "/users/ann/devices", { headers });
  const removed = await relay.request("DELETE", "/users/ann/devices/x", { headers });
  expect([posted, listed, removed].map(({ status }) => status)).toEqual([403, 403, 403]);
  expect((await relay.post("/users/ann/devices", deviceOf("phone"))).status).toBe(401);
});

const GOOD = deviceOf("phone");
test.each<[string, object]>([
  ["an endpoint that is no address", { ...GOOD, endpoint: "phone" }],
  ["http", { ...GOOD, endpoint: "http://push.example/phone" }],
  ["a user in the endpoint", { ...GOOD, endpoint: "https://a:b@push.example/phone" }],
  [
    "an endpoint of 3,000 characters",
    { ...GOOD, endpoint: `https://a.example/${"x".repeat(3e3)}` },
  ],
  ["an auth of 15 bytes", { ...GOOD, keys: { ...GOOD.keys, auth: "tBHItJI5svbpez7KI4CC" } }],
  ["a p256dh that is no point", { ...GOOD, keys: { ...GOOD.keys, p256dh: `B${"A".repeat(86)}` } }],
  ["standard base64", { ...GOOD, keys: { ...GOOD.keys, p256dh: `BN+/${"A".repeat(83)}` } }],
  ["a time that has passed", { ...GOOD, expirationTime: 1 }],
  ["a time that is a text", { ...GOOD, expirationTime: "tomorrow" }],
])("a device with %s is refused with invalid_device", async (_, body) => {
  await using relay = await startRelay(PUSH_ENV);
  const { status, json } = await relay.post("/users/ann/devices", body);
  expect([status, json.error.code]).toEqual([422, "invalid_device"]);
  expect((await relay.request("GET", "/users/ann/devices")).json.devices).toEqual([]);
});

test.each(["endpoint", "keys"])("a body without %s is no device", async (member) => {
  await using relay = await startRelay(PUSH_ENV);
  const { status, json } = await relay.post("/users/ann/devices", { ...GOOD, [member]: undefined });
  expect([status, json.error.code]).toEqual([422, "invalid_body"]);
});

test.each(["https://127.0.0.1/a", "https://10.0.0.1/a", "https://[::1]/a", "https://localhost/a"])(
  "unless private addresses are allowed, a device at %s is refused",
  async (endpoint) => {
    await using relay = await startRelay({ ...PUSH_ENV, BATON_WEBHOOKS_PRIVATE: "0" });
    const { json } = await relay.post("/users/ann/devices", { ...GOOD, endpoint });
    expect(json.error.code).toBe("invalid_device");
  },
);

test("without VAPID keys the routes of devices and a push answer not_available", async () => {
  await using relay = await startRelay();
  const device = await relay.post("/users/ann/devices", GOOD);
  const body = { topic: "chat", message: "hi", user_id: "ann", push: { title: "hi" } };
  const publish = await relay.post("/publish", body);
  for (const { status, json } of [device, publish]) {
    expect([status, json.error.code]).toEqual([404, "not_available"]);
    expect(json.error.message).toContain("BATON_VAPID_PUBLIC_KEY");
  }
});

test("a user has at most so many devices", async () => {
  await using engines = new Engines();
  const { devices } = await devicesIn(engines, OLD);
  for (const name of ["a", "b", "a"]) {
    expect(await devices.register("ann", deviceOf(name))).not.toBeInstanceOf(Refusal);
  }
  expect(await devices.register("ann", deviceOf("c"))).toMatchObject({ code: "too_many_devices" });
});

test("a device that another user registers is that user's, and no longer the first one's", async () => {
  await using engines = new Engines();
  const { devices } = await devicesIn(engines, OLD);
  await devices.register("ann", deviceOf("shared"));
  await devices.register("bob", deviceOf("shared"));
  expect(await devices.of("ann")).toEqual([]);
  const [device] = await devices.of("bob");
  expect(device?.endpoint).toBe("https://push.example/shared");
  // What ann's page says later does not take it away.
  expect(await devices.remove("ann", device?.id ?? "")).toBe(false);
  expect(await devices.of("bob")).toHaveLength(1);
});

test("the store has nothing of a device that can be read", async () => {
  await using engines = new Engines();
  const { devices, records } = await devicesIn(engines, OLD);
  await devices.register("ann", deviceOf("phone"));
  const kept = JSON.stringify(await records.list("devices:ann"));
  expect(kept).not.toMatch(/push\.example|phone|tBHI|BNcR/);
  // The same device is never kept with the same bytes.
  await devices.register("ann", deviceOf("phone"));
  expect(JSON.stringify(await records.list("devices:ann"))).not.toBe(kept);
});

test("after a new secret has come, devices are encrypted with it once they were read, and the old one can go", async () => {
  await using engines = new Engines();
  const { devices, make } = await devicesIn(engines, OLD);
  await devices.register("ann", deviceOf("phone"));
  expect(await make(NEW).of("ann")).toEqual([]);
  expect(await make(NEW, OLD).of("ann")).toHaveLength(1);
  expect(await make(NEW).of("ann")).toHaveLength(1);
});

test("what was encrypted for one user does not open for another one", async () => {
  await using engines = new Engines();
  const { devices, records } = await devicesIn(engines, OLD);
  await devices.register("ann", deviceOf("phone"));
  const [kept] = await records.list("devices:ann");
  await records.put("devices:bob", kept?.name ?? "", kept?.value ?? "", { ttlMs: 1e6, max: 9 });
  expect(await devices.of("bob")).toEqual([]);
});
