// What pushes leave in the store, and what happens where it has no room for them. The clock is the test's own.
import { beforeEach, expect, test } from "bun:test";
import type { PushResult } from "../../../src/edge/push/services/sender";
import type { Records } from "../../../src/relay/contracts/store";
import { Engines } from "../../support/engines/fresh-engines";
import { AFTER_MS, type Clock, PushNode } from "../../support/push/push-node";
import { deviceOf } from "../../support/push/push-relay";
import { until } from "../../support/wait";

let clock: Clock;
beforeEach(() => {
  clock = { now: 1_000_000 };
});

/** A node at which ann has these devices, and its store. */
async function nodeWith(engines: Engines, ...devices: string[]) {
  const store = await storeOf(engines);
  const node = new PushNode({ engine: store.engine, clock });
  for (const device of devices) await node.devices.register("ann", deviceOf(device));
  return { node, store };
}

test("where the store has no room for a mark, nothing is sent and nothing is lost", async () => {
  await using engines = new Engines();
  const { node: made, store } = await nodeWith(engines, "phone");
  await using node = made;
  store.isFull = (set) => set.startsWith("push-sent:");
  const id = await node.publish("ann", { title: "hi" });
  clock.now += AFTER_MS;
  await until("an attempt", () => store.refused > 0);
  expect(node.sent).toEqual([]);
  store.isFull = () => false;
  await until("the push", async () => (await node.fateOf(id))?.devices[0]?.state === "accepted");
});

test("the mark of a push that is over is kept for minutes, and not for its ttl", async () => {
  await using engines = new Engines();
  const { node: made, store } = await nodeWith(engines, "phone");
  await using node = made;
  await node.publish("ann", { title: "hi", ttl: 86_400 });
  clock.now += AFTER_MS;
  await until("the end of the push", () => store.ttls("push-sent:").at(-1) === 600_000);
  expect(Math.max(...store.ttls("push-sent:"))).toBeGreaterThan(86_400_000);
});

test("the mark of a push that its service took at a later attempt is kept for minutes, too", async () => {
  await using engines = new Engines();
  const { node: made, store } = await nodeWith(engines, "phone");
  await using node = made;
  const answers: PushResult[] = [{ kind: "later", status: 503, waitMs: 1_000 }];
  node.answer = () => answers.shift() ?? { kind: "accepted", status: 201 };
  await node.publish("ann", { title: "hi", ttl: 86_400 });
  clock.now += AFTER_MS;
  await until("the first attempt", () => store.ttls("push-retries").length > 0);
  clock.now += 60_000;
  await until("the end of the push", () => store.ttls("push-sent:").at(-1) === 600_000);
  expect(node.sent).toEqual(["phone hi", "phone hi"]);
});

test("what a device has accepted is not told to a backend, also where the store has no room to remember it", async () => {
  await using engines = new Engines();
  const { node: made, store } = await nodeWith(engines, "phone");
  await using node = made;
  store.isFull = (set) => set === "push-fates";
  await node.publish("ann", { title: "accepted" });
  await node.publish("bob", { title: "lost" });
  clock.now += AFTER_MS;
  await until("the end of both", async () => (await store.engine.queues.size("pushes")) === 0);
  expect(node.told).toEqual(["lost"]);
});

test("what a device has accepted is remembered for as long as another one waits to be tried again", async () => {
  await using engines = new Engines();
  const { node: made, store } = await nodeWith(engines, "phone", "busy");
  await using node = made;
  node.answer = (device) =>
    device === "busy"
      ? { kind: "later", status: 429, waitMs: 36_000_000 }
      : { kind: "accepted", status: 201 };
  await node.publish("ann", { title: "hi" });
  clock.now += AFTER_MS;
  await until("both", () => node.sent.length === 2);
  await until("the retry", () => Math.max(...store.ttls("push-fates")) > 36_000_000);
});

/** An engine in memory, of which the test says which sets of its store are full, and which knows how long values were kept for. */
async function storeOf(engines: Engines) {
  const { engine } = await engines.started("memory");
  const { records, queues, groups } = engine;
  const get: Records["get"] = (...name) => records.get(...name);
  const list: Records["list"] = (set) => records.list(set);
  const remove: Records["remove"] = (...name) => records.remove(...name);
  const put: Records["put"] = (set, name, value, bounds) => {
    if (store.isFull(set)) {
      store.refused++;
      return "full";
    }
    puts.push({ set, ttlMs: bounds.ttlMs });
    return records.put(set, name, value, bounds);
  };
  const puts: { readonly set: string; readonly ttlMs: number }[] = [];
  const store = {
    refused: 0,
    isFull: (_: string) => false,
    ttls: (begin: string) =>
      puts.filter(({ set }) => set.startsWith(begin)).map(({ ttlMs }) => ttlMs),
    engine: { queues, groups, records: { put, get, list, remove } },
  };
  return store;
}
