// When pushes go to devices, how often, and what becomes of them. The clock is the test's own.
import { beforeEach, expect, test } from "bun:test";
import type { PushResult } from "../../../src/edge/push/services/sender";
import { Engines } from "../../support/engines/fresh-engines";
import { AFTER_MS, type Clock, PushNode } from "../../support/push/push-node";
import { deviceOf } from "../../support/push/push-relay";
import { until } from "../../support/wait";

let clock: Clock;
beforeEach(() => {
  clock = { now: 1_000_000 };
});

/** A node with an engine of its own, at which ann has these devices. */
async function nodeWith(engines: Engines, ...devices: string[]): Promise<PushNode> {
  const { engine } = await engines.started("memory");
  return withDevices(new PushNode({ engine, clock }), devices);
}

async function withDevices(node: PushNode, devices: readonly string[]): Promise<PushNode> {
  for (const device of devices) await node.devices.register("ann", deviceOf(device));
  return node;
}

const fateOf = async (node: PushNode, id: string, count = 1) => {
  await until("the fate of a push", async () => {
    const fate = await node.fateOf(id);
    if (fate === undefined) return false;
    return fate.state !== "pushed" || fate.devices.filter(isSettled).length === count;
  });
  return node.fateOf(id);
};
const failure: PushResult = { kind: "later", status: 503, waitMs: undefined };
const isSettled = ({ state }: { state: string }) => state !== "waiting";

test("a push goes out once its publication had its time to be taken, and no sooner", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  const early = await node.publish("ann", { title: "early" });
  clock.now += AFTER_MS - 1;
  const late = await node.publish("ann", { title: "late" });
  clock.now += 1;
  await fateOf(node, early);
  expect(node.sent).toEqual(["phone early"]);
  clock.now += AFTER_MS;
  await fateOf(node, late);
  expect(node.sent).toEqual(["phone early", "phone late"]);
});

test("a publication that a connection has taken goes to no device", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  node.receipts.set("chat", "taken");
  const id = await node.publish("ann", { title: "hi" });
  clock.now += AFTER_MS;
  expect(await fateOf(node, id)).toMatchObject({ state: "taken", devices: [] });
  expect(node.sent).toEqual([]);
});

test("where it is unsure whether a connection has it, the push waits until its client must have answered", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  node.receipts.set("unsure", "unsure");
  const unsure = await node.publish("ann", { title: "unsure" }, undefined, "unsure");
  const missed = await node.publish("ann", { title: "missed" });
  clock.now += AFTER_MS;
  // The one behind it does not wait for it.
  await fateOf(node, missed);
  expect(node.sent).toEqual(["phone missed"]);
  clock.now += 10_000;
  await fateOf(node, unsure);
  expect(node.sent).toEqual(["phone missed", "phone unsure"]);
});

test.each<[number, "gone" | "refused", number]>([
  [404, "gone", 0],
  [410, "gone", 0],
  [413, "refused", 1],
  [403, "refused", 1],
])(
  "after %d a push is %s and not tried again; the user then has %d devices",
  async (status, kind, left) => {
    await using engines = new Engines();
    await using node = await nodeWith(engines, "phone");
    node.answer = () => ({ kind, status });
    const id = await node.publish("ann", { title: "hi" });
    clock.now += AFTER_MS;
    expect(await fateOf(node, id)).toMatchObject({
      devices: [{ state: kind, status, attempts: 1 }],
    });
    expect(await node.devices.of("ann")).toHaveLength(left);
    clock.now += 1e7;
    const next = await node.publish("ann", { title: "next" });
    clock.now += AFTER_MS;
    await fateOf(node, next, left);
    expect(node.sent.filter((sent) => sent === "phone hi")).toHaveLength(1);
  },
);

test("after 429 and 503 a push is tried again when the service says, and otherwise after growing pauses", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  const later: PushResult[] = [
    { kind: "later", status: 429, waitMs: 60_000 },
    { kind: "later", status: 503, waitMs: undefined },
    { kind: "later", status: undefined, waitMs: undefined },
  ];
  node.answer = () => later.shift() ?? { kind: "accepted", status: 201 };
  const id = await node.publish("ann", { title: "hi", ttl: 3_600 });
  clock.now += AFTER_MS;
  // What the service says, then twice and four times the first pause.
  for (const [i, pause] of [60_000, 10_000, 20_000].entries()) {
    await until("the attempt", async () => (await node.fateOf(id))?.devices[0]?.attempts === i + 1);
    clock.now += pause - 1;
    await node.ticked();
    expect(node.sent).toHaveLength(i + 1);
    clock.now += 1;
    await until("the next attempt", () => node.sent.length === i + 2);
  }
  expect(await fateOf(node, id)).toMatchObject({ devices: [{ state: "accepted", attempts: 4 }] });
  // What is left of its time goes out with it.
  expect(node.messages.at(-1)?.ttlS).toBe(3_500);
});

test("a push is given up when the service wants more time than it has", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  node.answer = () => ({ kind: "later", status: 429, waitMs: 61_000 });
  const id = await node.publish("ann", { title: "hi", ttl: 60 });
  clock.now += AFTER_MS;
  expect(await fateOf(node, id)).toMatchObject({ devices: [{ state: "given_up", status: 429 }] });
});

test("a push that waits to be tried again is withdrawn when the user has come back", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  node.answer = () => ({ kind: "later", status: 503, waitMs: 1_000 });
  const id = await node.publish("ann", { title: "hi" });
  clock.now += AFTER_MS;
  await until("the retry", async () => (await node.fateOf(id))?.devices[0]?.state === "waiting");
  node.receipts.set("chat", "taken");
  clock.now += 5_000;
  expect(await fateOf(node, id)).toMatchObject({ devices: [{ state: "withdrawn" }] });
  expect(node.sent).toHaveLength(1);
});

test("a push that waits to be tried again gives way to a newer one with its topic", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  node.answer = () => ({ kind: "later", status: 503, waitMs: 60_000 });
  const older = await node.publish("ann", { title: "1 new", topic: "chat" });
  const other = await node.publish("ann", { title: "a call", topic: "calls" });
  clock.now += AFTER_MS;
  for (const id of [older, other]) {
    await until("a retry", async () => (await node.fateOf(id))?.devices[0]?.state === "waiting");
  }
  node.answer = () => ({ kind: "accepted", status: 201 });
  const newer = await node.publish("ann", { title: "2 new", topic: "chat" });
  clock.now += AFTER_MS;
  expect(await fateOf(node, newer)).toMatchObject({ devices: [{ state: "accepted" }] });
  expect(await fateOf(node, older)).toMatchObject({ devices: [{ state: "collapsed" }] });
  clock.now += 60_000;
  expect(await fateOf(node, other)).toMatchObject({ devices: [{ state: "accepted" }] });
  // The first two go out at once.
  expect(node.sent.slice(0, 2).toSorted()).toEqual(["phone 1 new", "phone a call"]);
  expect(node.sent.slice(2)).toEqual(["phone 2 new", "phone a call"]);
});

test("a publication that its publisher repeats with its key is pushed once", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  const id = await node.publish("ann", { title: "hi" }, "key");
  expect(await node.publish("ann", { title: "hi" }, "key")).toBe(id);
  const other = await node.publish("ann", { title: "other" }, "other");
  clock.now += AFTER_MS;
  await fateOf(node, id);
  await fateOf(node, other);
  const again = await node.publish("ann", { title: "hi" }, "key");
  const last = await node.publish("ann", { title: "last" });
  clock.now += AFTER_MS;
  await fateOf(node, last);
  expect(again).toBe(id);
  expect(node.sent.toSorted()).toEqual(["phone hi", "phone last", "phone other"]);
});

test("what a dead node was sending is not sent again, and what it had not begun is sent by another one", async () => {
  await using engines = new Engines();
  const { engine } = await engines.started("memory");
  const dead = new PushNode({ engine, clock, leadsAlways: true });
  await withDevices(dead, ["phone"]);
  // It never learns what the service has answered.
  dead.answer = () => new Promise(() => {});
  const lost = await dead.publish("ann", { title: "lost" });
  clock.now += AFTER_MS;
  await until("the request", () => dead.sent.length === 1);
  const kept = await dead.publish("ann", { title: "kept" });
  dead.kill();
  await using node = new PushNode({ engine, clock, name: "other" });
  clock.now += AFTER_MS;
  expect(await fateOf(node, lost)).toMatchObject({ devices: [{ state: "unknown" }] });
  expect(await fateOf(node, kept)).toMatchObject({ devices: [{ state: "accepted" }] });
  expect(node.sent).toEqual(["phone kept"]);
});

test("two nodes that lead at the same time send each push once to each device", async () => {
  await using engines = new Engines();
  const { engine } = await engines.started("memory");
  await using one = new PushNode({ engine, clock, leadsAlways: true });
  await using two = new PushNode({ engine, clock, leadsAlways: true });
  await withDevices(one, ["phone", "laptop"]);
  const ids: string[] = [];
  for (let i = 0; i < 50; i++) ids.push(await one.publish("ann", { title: `m${i}` }));
  clock.now += AFTER_MS;
  await until("all pushes", () => one.sent.length + two.sent.length >= 100);
  await until("an empty queue", async () => (await engine.queues.size("pushes")) === 0);
  const sent = [...one.sent, ...two.sent].toSorted();
  expect(sent).toEqual(ids.flatMap((_, i) => [`laptop m${i}`, `phone m${i}`]).toSorted());
});

test("a user without devices costs no request, and the push is over", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines);
  const id = await node.publish("bob", { title: "hi" });
  clock.now += AFTER_MS;
  expect(await fateOf(node, id, 0)).toMatchObject({ state: "pushed", devices: [] });
  expect(node.sent).toEqual([]);
});

test("a push that was due before anybody could send it is over when its time is", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  const id = await node.publish("ann", { title: "hi", ttl: 60 });
  clock.now += 61_000;
  expect(await fateOf(node, id)).toMatchObject({ state: "expired" });
  expect(node.sent).toEqual([]);
});

test("one push service that does not answer holds up no other", async () => {
  await using engines = new Engines();
  const { engine } = await engines.started("memory");
  await using node = new PushNode({ engine, clock });
  const stuck = { ...deviceOf("stuck"), endpoint: "https://stuck.example/stuck" };
  await node.devices.register("bob", stuck);
  await withDevices(node, ["phone"]);
  const late = Promise.withResolvers<PushResult>();
  node.answer = (device) => (device === "stuck" ? late.promise : { kind: "accepted", status: 201 });
  for (let i = 0; i < 90; i++) await node.publish("bob", { title: `${i}` });
  const id = await node.publish("ann", { title: "hi" });
  clock.now += AFTER_MS;
  expect(await fateOf(node, id)).toMatchObject({ devices: [{ state: "accepted" }] });
  expect(node.sent.filter((sent) => sent.startsWith("stuck")).length).toBeLessThanOrEqual(32);
  late.resolve({ kind: "accepted", status: 201 });
});

test("a backend is told once of what no device has accepted, when nothing is tried again", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone", "old");
  node.answer = (device) =>
    device === "old"
      ? { kind: "gone", status: 410 }
      : { kind: "later", status: 503, waitMs: undefined };
  const id = await node.publish("ann", { title: "lost", ttl: 60 });
  const taken = await node.publish("ann", { title: "taken" }, undefined, "taken");
  node.receipts.set("taken", "taken");
  const nobody = await node.publish("bob", { title: "bob" });
  clock.now += AFTER_MS;
  await fateOf(node, nobody, 0);
  await until("the retry", async () => (await node.fateOf(id))?.devices.length === 2);
  expect(node.told).toEqual(["bob"]);
  clock.now += 61_000;
  await fateOf(node, id, 2);
  await until("the telling", () => node.told.length === 2);
  await node.ticked();
  expect(node.told).toEqual(["bob", "lost given_up gone"]);
  expect(taken).not.toBe(id);
});

test("a backend is not told of what one of several devices has accepted", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone", "old");
  node.answer = (device) =>
    device === "old" ? { kind: "gone", status: 410 } : { kind: "accepted", status: 201 };
  const id = await node.publish("ann", { title: "hi" });
  const last = await node.publish("bob", { title: "last" });
  clock.now += AFTER_MS;
  await fateOf(node, id, 2);
  await fateOf(node, last, 0);
  await node.ticked();
  expect(node.told).toEqual(["last"]);
});

test("a node that stops waits for what it is sending, and leaves what it has not begun to another one", async () => {
  await using engines = new Engines();
  const { engine } = await engines.started("memory");
  const first = new PushNode({ engine, clock, name: "first" });
  await withDevices(first, ["phone"]);
  const answered = Promise.withResolvers<PushResult>();
  first.answer = () => answered.promise;
  const ids: string[] = [];
  for (let i = 0; i < 50; i++) ids.push(await first.publish("ann", { title: `m${i}` }));
  clock.now += AFTER_MS;
  // As many as one push service is sent at once.
  await until("the first requests", () => first.sent.length === 32);
  const stopping = first.courier.stop();
  answered.resolve({ kind: "accepted", status: 201 });
  await stopping;
  expect(first.sent).toHaveLength(32);
  await using second = new PushNode({ engine, clock, name: "second" });
  for (const id of ids) {
    await until("its end", async () => (await second.fateOf(id))?.devices.length === 1);
    expect(await second.fateOf(id)).toMatchObject({ devices: [{ state: "accepted" }] });
  }
  expect(new Set([...first.sent, ...second.sent]).size).toBe(50);
  expect(second.sent).toHaveLength(18);
});

test("a push service that fails five times in a row is left alone for a growing time, while another one is sent to", async () => {
  await using engines = new Engines();
  const { engine } = await engines.started("memory");
  await using node = new PushNode({ engine, clock });
  await withDevices(node, ["phone"]);
  await node.devices.register("bob", deviceOf("down", "https://down.example"));
  let isDown = true;
  node.answer = (device) =>
    device === "down" && isDown ? failure : { kind: "accepted", status: 201 };
  const sentTo = (device: string) => node.sent.filter((sent) => sent.startsWith(device)).length;
  const ids: string[] = [];
  for (let i = 0; i < 40; i++) ids.push(await node.publish("bob", { title: `${i}` }));
  const waits = async () => {
    const fates = await Promise.all(ids.map((id) => node.fateOf(id)));
    return fates.filter((fate) => fate?.devices[0]?.state === "waiting").length;
  };
  clock.now += AFTER_MS;
  await until("the first failures", async () => (await waits()) === ids.length);
  // As many as one service is sent at once had begun before it was known.
  const first = sentTo("down");
  expect(first).toBeLessThanOrEqual(32);

  const toAnn = await node.publish("ann", { title: "hi" });
  ids.push(await node.publish("bob", { title: "held" }));
  clock.now += AFTER_MS;
  await fateOf(node, toAnn);
  expect(sentTo("phone")).toBe(1);
  // The first pause is over: one push tries it, in vain, and the next pause is twice as long.
  await until("an attempt", () => sentTo("down") === first + 1);
  clock.now += 10_000 - 1;
  await node.ticked();
  expect(sentTo("down")).toBe(first + 1);

  isDown = false;
  await until("the end of all", async () => {
    clock.now += 1_000;
    return (await waits()) === 0;
  });
  expect(sentTo("down")).toBe(first + 1 + ids.length);
});

test("a push service that refuses, or has too much to do, does not fail", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  const busy: PushResult = { kind: "later", status: 429, waitMs: undefined };
  node.answer = () => (node.sent.length % 2 === 0 ? busy : { kind: "refused", status: 400 });
  for (let i = 0; i < 20; i++) await node.publish("ann", { title: `${i}` });
  clock.now += AFTER_MS;
  await until("all requests", () => node.sent.length === 20);
});

test("a push that was kept before the clock was set back goes out, and holds up none behind it", async () => {
  await using engines = new Engines();
  await using node = await nodeWith(engines, "phone");
  await node.publish("ann", { title: "before" });
  clock.now -= 500_000;
  await node.publish("ann", { title: "after" });
  clock.now += AFTER_MS;
  await until("both", () => node.sent.length === 2);
});
