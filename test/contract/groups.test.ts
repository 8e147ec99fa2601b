// What every engine must do with groups, for all of its nodes together. This suite runs for each row of src/engines/index.ts.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ENGINES } from "../../src/engines";
import type { GroupChange, Groups } from "../../src/relay/contracts/engine";
import { GROUP_NODES, type GroupNodes } from "../support/engines/group-nodes";
import { until } from "../support/wait";

const GROUP = "listed:room";

/** A node, and what it was told. */
interface Node {
  readonly groups: Groups;
  readonly changes: GroupChange[];
}

test("this suite knows every engine", () => {
  expect(Object.keys(GROUP_NODES).toSorted()).toEqual(Object.keys(ENGINES).toSorted());
});

for (const [name, start] of Object.entries(GROUP_NODES)) {
  describe(`groups of the ${name} engine`, () => {
    let nodes: GroupNodes;
    let one: Node;
    let two: Node;

    const node = async (): Promise<Node> => {
      const changes: GroupChange[] = [];
      const groups = await nodes.join({
        groupChanged: (change) => changes.push(change),
        groupsUnsure: () => {},
      });
      return { groups, changes };
    };
    const enter = async ({ groups }: Node, member: string, info?: string, max = 100) => {
      const entered = await groups.enter(GROUP, { name: member, info }, max);
      if (entered === "full") throw new Error(entered);
      return entered;
    };
    const names = async ({ groups }: Node) =>
      (await groups.state(GROUP)).members.map((member) => member.name).toSorted();
    const untilIn = (at: Node, ...expected: string[]) =>
      until(`${expected} to be in`, async () => String(await names(at)) === String(expected));
    const told = ({ changes }: Node) => changes.map(({ change, name }) => `${change} ${name}`);
    const untilTold = (at: Node, ...expected: string[]) =>
      until(`${expected}`, () => String(told(at)) === String(expected)).catch(() => {
        throw new Error(`told ${told(at)} in place of ${expected}`);
      });

    beforeEach(async () => {
      nodes = await start();
      one = await node();
      two = await node();
    });

    afterEach(() => nodes[Symbol.asyncDispose]());

    test("a member is in the group on every node, with the info that it came with first", async () => {
      await enter(one, "ann", '{"n":"\\u0000 😀"}');
      await enter(two, "ann", '{"n":2}');
      await enter(two, "bob");
      const state = await one.groups.state(GROUP);
      expect(state.members.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
        { name: "ann", info: '{"n":"\\u0000 😀"}' },
        { name: "bob", info: undefined },
      ]);
      expect(await two.groups.state(GROUP)).toEqual(state);
      expect([await one.groups.size(GROUP), await one.groups.size("listed:other")]).toEqual([2, 0]);
    });

    test("each change has the next version, and the nodes with members get all of them in the same order", async () => {
      await enter(one, "a");
      await enter(two, "b");
      const { version } = await enter(one, "c");
      one.groups.leave(GROUP, "a");
      await enter(two, "a");
      two.groups.leave(GROUP, "b");
      await untilTold(one, "came a", "came b", "came c", "went a", "came a", "went b");
      await until("the last change", () => told(two).at(-1) === "went b");
      // It may also be told of what was just before it came.
      expect(two.changes.length).toBeGreaterThanOrEqual(5);
      expect(two.changes).toEqual(one.changes.slice(-two.changes.length));
      const first = one.changes[0]?.version ?? 0;
      expect(one.changes.map((change) => change.version - first)).toEqual([0, 1, 2, 3, 4, 5]);
      expect(version).toBe(first + 2);
      expect((await two.groups.state(GROUP)).version).toBe(first + 5);
    });

    test("a change brings the info of who comes, and none of who goes", async () => {
      await enter(one, "watcher");
      await enter(one, "a", '"i"');
      one.groups.leave(GROUP, "a");
      await untilTold(one, "came watcher", "came a", "went a");
      const infos = one.changes.map(({ info }) => info);
      expect(infos).toEqual([undefined, '"i"', undefined]);
    });

    test("only the first of a member on all nodes is a change, and only the last", async () => {
      await enter(one, "watcher");
      await enter(two, "watcher");
      await enter(one, "a");
      await enter(two, "a");
      one.groups.leave(GROUP, "a");
      await enter(one, "b");
      two.groups.leave(GROUP, "a");
      await untilTold(one, "came watcher", "came a", "came b", "went a");
    });

    test("a full group refuses those who are not in it", async () => {
      await enter(one, "a", undefined, 2);
      await enter(two, "b", undefined, 2);
      expect(enter(one, "c", undefined, 2)).rejects.toThrow("full");
      await enter(one, "b", undefined, 2);
      one.groups.leave(GROUP, "c");
      one.groups.leave(GROUP, "a");
      await enter(two, "c", undefined, 2);
      expect(await names(one)).toEqual(["b", "c"]);
    });

    test("leaving a group that one is not in changes nothing", async () => {
      await enter(one, "a");
      two.groups.leave(GROUP, "a");
      two.groups.leave("listed:other", "b");
      await enter(two, "b");
      expect(await names(one)).toEqual(["a", "b"]);
    });

    test("a node that has died has no members, and the others are told once who went with it", async () => {
      await enter(one, "watcher");
      const dying = await node();
      for (const member of ["a", "b", "watcher"]) await enter(dying, member);
      await enter(two, "b");
      await nodes.kill(dying.groups);
      await untilTold(one, "came watcher", "came a", "came b", "went a");
      // It may also be told of what was just before it came.
      const gone = () => told(two).filter((change) => change.startsWith("went"));
      await until("who went with it", () => String(gone()) === "went a");
      await untilIn(two, "b", "watcher");
      one.groups.leave(GROUP, "watcher");
      await untilIn(two, "b");
    });

    test("a group that was empty goes on with greater versions", async () => {
      const first = await enter(one, "a");
      one.groups.leave(GROUP, "a");
      await untilIn(two);
      const second = await enter(two, "a");
      expect(second.version).toBeGreaterThan(first.version);
    });

    test("groups that are not listed have members, and tell nobody of their changes", async () => {
      await one.groups.enter("occupied", { name: "t" }, 100);
      await two.groups.enter("occupied", { name: "t" }, 100);
      expect(await two.groups.size("occupied")).toBe(1);
      await enter(one, "a");
      await untilTold(one, "came a");
    });

    test("a thousand changes at once arrive in order and none is lost", async () => {
      await enter(one, "watcher");
      const all = Array.from({ length: 500 }, (_, i) => `m${i}`);
      await Promise.all(
        all.map((member, i) => enter(i % 2 === 0 ? one : two, member, undefined, 9e3)),
      );
      for (const [i, member] of all.entries())
        (i % 2 === 0 ? one : two).groups.leave(GROUP, member);
      await untilIn(one, "watcher");
      await until("all changes", () => one.changes.length === 1_001);
      const first = one.changes[0]?.version ?? 0;
      expect(one.changes.map(({ version }) => version - first)).toEqual(
        Array.from({ length: 1_001 }, (_, i) => i),
      );
    });
  });
}
