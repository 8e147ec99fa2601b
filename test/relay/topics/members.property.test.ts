// Random comes, goes and deaths of nodes, with pipes that are slow in random ways, against what is true in the end.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { MemberNode, memberServer, Observer } from "../../support/relay/member-nodes";

const TOPIC = "room";

type Step =
  | { readonly do: "enter"; readonly node: number; readonly user: string }
  | { readonly do: "subscribe" | "end"; readonly which: number }
  | {
      readonly do: "work";
      readonly node: number;
      readonly messages: number;
      readonly changes: number;
    }
  | { readonly do: "lose" | "kill" | "ring"; readonly node: number };

const node = fc.nat(2);
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("enter" as const),
        node,
        user: fc.constantFrom("a", "b", "c"),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom("subscribe" as const, "end" as const),
        which: fc.nat(20),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("work" as const),
        node,
        messages: fc.nat(4),
        changes: fc.nat(4),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom("lose" as const, "ring" as const), node }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("kill" as const), node }),
    },
  ),
  { maxLength: 60 },
);

class World {
  readonly #server = memberServer();
  readonly nodes: MemberNode[] = [];
  readonly observers: Observer[] = [];
  readonly #membersMax: number;
  #names = 0;

  constructor(membersMax: number) {
    this.#membersMax = membersMax;
    for (let i = 0; i < 3; i++) this.nodes.push(this.#node());
  }

  #node(): MemberNode {
    return new MemberNode(this.#server, `node${++this.#names}`, TOPIC, this.#membersMax);
  }

  async step(step: Step): Promise<void> {
    if ("which" in step) {
      this.#withObserver(step.do, step.which);
      return;
    }
    const node = this.nodes[step.node] as MemberNode;
    switch (step.do) {
      case "enter": {
        const observer = new Observer(`c${this.observers.length}`, { user: step.user });
        this.observers.push(observer);
        node.enter(observer);
        return;
      }
      case "work":
        await node.work(step.messages, step.changes);
        return;
      case "lose":
        // As a node over Redis whose subscription breaks for a moment.
        node.changes.length = 0;
        node.members.groupsUnsure();
        return;
      case "ring":
        node.ring();
        return;
      case "kill":
        this.#server.disconnect(node.link);
        for (const observer of node.observers) observer.state = "gone";
        this.nodes[step.node] = this.#node();
    }
  }

  #withObserver(what: "subscribe" | "end", which: number): void {
    const open = this.nodes.flatMap((node) =>
      [...node.observers].map((observer) => ({ node, observer })),
    );
    const chosen = open[which % Math.max(1, open.length)];
    if (chosen === undefined) return;
    if (what === "end") chosen.node.end(chosen.observer);
    else if (chosen.observer.state === "listed") chosen.node.subscribe(chosen.observer);
  }

  /** Everything arrives, and everybody who can be subscribed is. */
  async settle(): Promise<void> {
    do {
      for (const node of this.nodes) {
        await node.work(1_000, 1_000);
        for (const observer of node.observers) {
          if (observer.state === "listed") node.subscribe(observer);
        }
      }
    } while (this.nodes.some((node) => !node.isIdle));
  }
}

async function check(all: readonly Step[], membersMax: number): Promise<void> {
  const world = new World(membersMax);
  for (const step of all) await world.step(step);
  await world.settle();
  const observers = world.observers.filter(({ state }) => state !== "gone" && state !== "refused");
  const truth = [...new Set(observers.map(({ member }) => member.user))].toSorted();
  expect(truth.length).toBeLessThanOrEqual(membersMax);
  for (const { state, list } of observers) {
    expect(state).toBe("subscribed");
    expect([...list.keys()].toSorted()).toEqual(truth);
  }
  for (const { faults } of world.observers) expect(faults).toEqual([]);
  const refused = world.observers.some(({ state }) => state === "refused");
  if (membersMax >= 3) expect(refused).toBe(false);
}

test("each member's list, made of its first one and of pushes, is true in the end, and nobody comes or goes twice in a row", async () => {
  await fc.assert(
    fc.asyncProperty(steps, (all) => check(all, 100)),
    { numRuns: 1_000 },
  );
});

test("the same holds where the topic is full now and then", async () => {
  await fc.assert(
    fc.asyncProperty(steps, (all) => check(all, 2)),
    { numRuns: 300 },
  );
});

test("who comes just after the only member here has left and another was refused has a list without waiting a second", async () => {
  const enter = (node: number, user: string) => ({ do: "enter", node, user }) as const;
  const all = [enter(1, "b"), enter(0, "c"), enter(1, "a"), { do: "end", which: 1 } as const];
  await check([...all, enter(1, "c")], 2);
});
