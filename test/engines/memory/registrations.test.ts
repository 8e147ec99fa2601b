// Registrations in memory beyond the contract of an engine: several nodes, what is counted, and which ends are reported.
import { expect, test } from "bun:test";
import {
  MemoryRegistrations,
  type MemoryRegistrationsOptions,
} from "../../../src/engines/memory/registrations";
import type { Claimed } from "../../../src/relay/contracts/engine";

const TTL_MS = 1_000;

function registrations(options: Partial<MemoryRegistrationsOptions> = {}) {
  const clock = { now: 0 };
  const ended: string[] = [];
  const limits = {
    registrationsMax: 100,
    userConnectionsMax: 100,
    connectionsMax: 100,
    addressConnectionsMax: 0,
  };
  const all = new MemoryRegistrations(
    { registrationTtlMs: TTL_MS, ...limits, now: () => clock.now, ...options },
    (id) => ended.push(id),
  );
  return { all, clock, ended, one: all.of("one"), two: all.of("two") };
}

type Node = ReturnType<typeof registrations>["one"];
const claim = (node: Node, id: string): Claimed => node.claim(id) as Claimed;

test("the newest claim of an id wins: the node that owned it before can no longer release it", () => {
  const { one, two } = registrations();
  one.add({ id: "r", user: "1" });
  const { term } = claim(one, "r");
  expect(claim(two, "r")).toMatchObject({ user: "1", wasRemote: true });
  one.release("r", term, "end");
  expect(claim(one, "r")).toMatchObject({ user: "1", wasRemote: true });
});

test("when a node has died, what it owned waits again, and nothing else does", () => {
  const { all, one, two } = registrations();
  for (const id of ["a", "b", "c"]) one.add({ id, user: "1" });
  claim(one, "a");
  claim(two, "b");
  one.own("session", "1");
  all.releaseAll("one");
  expect(all.waiting).toBe(2);
  expect(claim(two, "a").wasRemote).toBe(false);
  expect(one.claim("session")).toMatchObject({ code: "unknown_connection" });
  expect(claim(one, "b").wasRemote).toBe(true);
});

test("every end of a registration is reported once, and nothing but an end", () => {
  const { all, clock, ended, one } = registrations();
  for (const id of ["removed", "removed while owned", "released", "kept", "expired"]) {
    one.add({ id, user: "1" });
  }
  one.own("session", "1");
  one.release("session", 0, "end");
  one.remove("removed");
  claim(one, "removed while owned");
  one.remove("removed while owned");
  one.release("released", claim(one, "released").term, "end");
  clock.now = TTL_MS - 1;
  one.release("kept", claim(one, "kept").term, "wait");
  expect(ended).toEqual(["removed", "removed while owned", "released"]);
  clock.now = TTL_MS;
  all.expire();
  all.expire();
  expect(ended).toEqual(["removed", "removed while owned", "released", "expired"]);
  expect(all.waiting).toBe(1);
});

test("a released registration ends when too many wait already", () => {
  const { ended, one } = registrations({ registrationsMax: 1 });
  one.add({ id: "a", user: "1" });
  const { term } = claim(one, "a");
  one.add({ id: "b", user: "1" });
  one.release("a", term, "wait");
  expect(ended).toEqual(["a"]);
  expect(one.claim("a")).toMatchObject({ code: "unknown_connection" });
});

test("what has outlived the process waits even beyond the limit, and nothing new does", () => {
  const { all, one } = registrations({ registrationsMax: 1 });
  for (const id of ["a", "b", "c"]) all.restore({ id, user: "1" });
  expect(all.waiting).toBe(3);
  expect(one.add({ id: "d", user: "1" })).toMatchObject({ code: "too_many_registrations" });
  expect(claim(one, "c")).toMatchObject({ id: "c" });
});

test("a registration whose time is over makes room for another, though nobody has swept", () => {
  const { clock, ended, one } = registrations({ registrationsMax: 1 });
  one.add({ id: "a", user: "1" });
  clock.now = TTL_MS;
  expect(one.add({ id: "b", user: "1" })).toBeUndefined();
  expect(ended).toEqual(["a"]);
});

test("the connections of an address are counted over all nodes, whoever opens or replaces them", () => {
  const { one, two } = registrations({ addressConnectionsMax: 2 });
  for (const id of ["a", "b", "c"]) one.add({ id, user: "1" });
  const full = { code: "too_many_address_connections" };
  expect(claim(one, "a")).toMatchObject({ id: "a" });
  const first = one.claim("b", "192.0.2.1") as Claimed;
  expect(two.own("s", "2", "192.0.2.1")).toBeUndefined();
  expect(one.own("t", "3", "192.0.2.1")).toMatchObject(full);
  expect(two.claim("c", "192.0.2.1")).toMatchObject(full);
  expect(two.claim("a", "192.0.2.1")).toMatchObject(full);
  expect(two.claim("b", "192.0.2.1")).toMatchObject({ id: "b" });
  // The older claim of b no longer counts, so that its end frees nothing.
  one.release("b", first.term, "wait");
  expect(one.own("t", "3", "192.0.2.1")).toMatchObject(full);
  expect(claim(two, "b")).toMatchObject({ id: "b" });
  expect(two.claim("c", "192.0.2.1")).toMatchObject({ id: "c" });
  two.release("s", 0, "end");
  expect(one.own("t", "3", "192.0.2.1")).toBeUndefined();
});

test("connections are counted over all nodes, and those of the anonymous user for no user", () => {
  const { one, two } = registrations({ connectionsMax: 4, userConnectionsMax: 1 });
  expect(one.own("a", "")).toBeUndefined();
  expect(two.own("b", "")).toBeUndefined();
  expect(one.own("c", "1")).toBeUndefined();
  expect(two.own("d", "1")).toMatchObject({ code: "too_many_user_connections" });
  expect(two.own("d", "2")).toBeUndefined();
  expect(one.own("e", "3")).toMatchObject({ code: "too_many_connections" });
  // A registration that finds no place goes on waiting for its client.
  one.add({ id: "r", user: "3" });
  expect(one.claim("r")).toMatchObject({ code: "too_many_connections" });
  two.release("b", 0, "end");
  expect(claim(one, "r")).toMatchObject({ user: "3" });
});
