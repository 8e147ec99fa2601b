// Members of a topic on two nodes that share an engine: lists and limits.
import { beforeEach, describe, expect, test } from "bun:test";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Membership } from "../../../src/relay/topics/members";
import { MemberNode, memberServer, Observer } from "../../support/relay/member-nodes";

const TOPIC = "room";

describe("members of a topic", () => {
  let now: number;
  let server: ReturnType<typeof memberServer>;
  let one: MemberNode;
  let two: MemberNode;

  beforeEach(() => {
    now = 0;
    server = memberServer(() => now);
    one = new MemberNode(server, "one", TOPIC, 3);
    two = new MemberNode(server, "two", TOPIC, 3);
  });

  const settle = async () => {
    do for (const node of [one, two]) await node.work(1_000, 1_000);
    while (!one.isIdle || !two.isIdle);
  };
  const enter = async (node: MemberNode, user: string, info?: string) => {
    const observer = new Observer(crypto.randomUUID(), { user, info });
    node.enter(observer);
    await settle();
    if (observer.state === "listed") node.subscribe(observer);
    return observer;
  };
  const tryToEnter = (member: Observer["member"]) => {
    const { connection } = new Observer("c", member);
    return one.members.enter(connection, TOPIC, member);
  };

  test("all who come in one turn of the event loop share one list and one encoding of it", async () => {
    const observers = ["a", "b", "c"].map((user) => new Observer(user, { user }));
    for (const observer of observers) one.enter(observer);
    await settle();
    let encodings = 0;
    const encode = (members: ReadonlyMap<string, unknown>) => {
      encodings++;
      return [...members.keys()].join();
    };
    for (const { connection, membership } of observers) {
      if (membership === undefined) throw new Error("no member");
      expect(one.members.listFor(connection, membership)?.encoded(encode)).toBe("a,b,c");
    }
    expect(encodings).toBe(1);
  });

  test("the encoding of a list is made again once it has changed", async () => {
    const { connection, membership } = await enter(one, "a");
    if (membership === undefined) throw new Error("no member");
    const encode = (members: ReadonlyMap<string, unknown>) => [...members.keys()].join();
    expect(one.members.listFor(connection, membership)?.encoded(encode)).toBe("a");
    await enter(two, "b");
    expect(one.members.listFor(connection, membership)?.encoded(encode)).toBe("a,b");
  });

  test("who comes is told to the others with their info, and who goes without", async () => {
    const a = await enter(one, "a");
    const b = await enter(two, "b", '{"n":1}');
    expect([...a.list]).toEqual([
      ["a", undefined],
      ["b", '{"n":1}'],
    ]);
    two.end(b);
    await settle();
    expect([...a.list.keys()]).toEqual(["a"]);
    expect([...a.faults, ...b.faults]).toEqual([]);
  });

  test("a topic takes as many users as it may have, however many connections each has", async () => {
    for (const user of ["a", "b", "c", "a"]) {
      expect((await enter(one, user)).state).toBe("subscribed");
    }
    const refused = tryToEnter({ user: "d" });
    await settle();
    expect((await refused) as Refusal).toMatchObject({ code: "too_many_members" });
    expect((await enter(two, "b")).state).toBe("subscribed");
  });

  test("a member needs a user, and may say only so much of itself, in JSON that all clients can read", async () => {
    const codeOf = async (member: Observer["member"]) =>
      ((await tryToEnter(member)) as Refusal).code;
    expect(await codeOf({ user: "" })).toBe("invalid_user");
    expect(await codeOf({ user: "x".repeat(129) })).toBe("invalid_user");
    expect(await codeOf({ user: "a", info: `"${"ä".repeat(512)}"` })).toBe("member_too_large");
    expect(await codeOf({ user: "a", info: "[".repeat(200) + "]".repeat(200) })).toBe(
      "invalid_message",
    );
  });

  test("a connection that is taken out of the topic while it enters is answered all the same", async () => {
    const { connection } = new Observer("c", { user: "a" });
    const entering = one.members.enter(connection, TOPIC, { user: "a" });
    one.members.leave(connection, TOPIC);
    await settle();
    one.ring();
    await settle();
    const entered = (await Promise.race([entering, Promise.resolve("nothing yet")])) as Membership;
    expect(one.members.holds(connection, entered)).toBeFalse();
    expect(entered).toMatchObject({ user: "a" });
  });

  test("a connection that enters again as the same user was never away", async () => {
    const a = await enter(one, "a");
    const b = await enter(two, "b");
    const again = one.members.enter(a.connection, TOPIC, a.member);
    await settle();
    expect(await again).not.toBeInstanceOf(Refusal);
    expect(b.faults).toEqual([]);
    expect(b.list.has("a")).toBe(true);
  });

  test("a connection that enters again goes for good when it ends, and takes its user along", async () => {
    const a = await enter(one, "a");
    const b = await enter(two, "b");
    const again = one.members.enter(a.connection, TOPIC, a.member);
    await settle();
    await again;
    one.end(a);
    await settle();
    expect([...b.list.keys()]).toEqual(["b"]);
  });

  test("a change that is lost on its way is made good as soon as the next one comes", async () => {
    const a = await enter(one, "a");
    const b = await enter(two, "b");
    two.end(b);
    for (const message of two.toServer.splice(0)) server.receive(two.link, message);
    one.changes.length = 0;
    await enter(two, "c");
    expect([...a.list.keys()]).toEqual(["a", "c"]);
    expect(a.faults).toEqual([]);
  });

  test("who was refused because the topic was full gets in once there is room", async () => {
    const [a] = [await enter(one, "a"), await enter(one, "b"), await enter(one, "c")];
    const { connection, member } = new Observer("d", { user: "d" });
    const refused = one.members.enter(connection, TOPIC, member);
    await settle();
    expect(await refused).toBeInstanceOf(Refusal);
    one.end(a);
    await settle();
    expect((await enter(one, "d")).state).toBe("subscribed");
  });

  test("who comes where others of this node are costs one question, and what is read is not read again", async () => {
    await enter(one, "a");
    const b = new Observer("b", { user: "b" });
    one.enter(b);
    expect(one.toServer.length).toBe(1);
    await one.work(1, 0);
    expect(one.toServer.length).toBe(0);
    await settle();
    one.ring();
    expect(one.isIdle).toBe(true);
    expect(b.state).toBe("listed");
  });

  test("changes are kept for a connection until it is subscribed, and no longer", async () => {
    const a = await enter(one, "a");
    await enter(two, "b");
    expect(a.membership?.missed).toEqual([]);
    const late = new Observer("late", { user: "a" });
    one.enter(late);
    await settle();
    const c = await enter(two, "c");
    const { connection, membership } = late;
    if (membership === undefined) throw new Error("no member");
    expect(membership.missed.length).toBe(1);
    one.end(late);
    expect(one.members.listFor(connection, membership)).toBeUndefined();
    two.end(c);
    await settle();
    expect(membership.missed.length).toBe(1);
  });
});
