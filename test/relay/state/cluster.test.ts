// What nodes say to each other, over a fake engine that passes messages on when the test says so, and a fake clock.
import { beforeEach, describe, expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { EngineUnavailable } from "../../../src/relay/contracts/engine";
import { Cluster } from "../../../src/relay/state/cluster";
import { engineOptions } from "../../support/relay/simulation";

interface SentMessage {
  readonly text: string;
  readonly from: string;
  readonly to: string;
}

/** Nodes by name, the messages between them, and their timers. */
class FakeNetwork {
  readonly nodes = new Map<string, Cluster>();
  readonly timers = new Map<() => void, number>();
  /** Messages that have been sent and not yet passed on. */
  readonly sent: SentMessage[] = [];
  /** How many messages were passed on. */
  passedOn = 0;
  isDown = false;
  /** The engine says how many other nodes there are when this has resolved. */
  counted: Promise<void> = Promise.resolve();

  add(name: string): Cluster {
    const sendToNodes = async (text: string) => {
      if (this.isDown) throw new EngineUnavailable("the network is down");
      const others = [...this.nodes.keys()].filter((other) => other !== name);
      for (const to of others) this.sent.push({ text, from: name, to });
      await this.counted;
      return others.length;
    };
    const after = (ms: number, work: () => void) => {
      this.timers.set(work, ms);
      return () => void this.timers.delete(work);
    };
    const engine = Object.assign(new MemoryEngine(engineOptions()), { sendToNodes });
    const cluster = new Cluster({ engine, node: name, after });
    this.nodes.set(name, cluster);
    return cluster;
  }

  /** Passes on what has been sent, with the answers to it, except to or from a node that is cut off. */
  async passOn({ cutOff = "" } = {}): Promise<void> {
    await settled();
    while (this.sent.length > 0) {
      const { text, from, to } = this.sent.shift() as SentMessage;
      this.passedOn++;
      if (to !== cutOff && from !== cutOff) this.nodes.get(to)?.receive(text);
      await settled();
    }
  }

  /** Lets the time pass that answers may take. */
  timeOut(): void {
    for (const [work, ms] of this.timers) {
      expect(ms).toBe(1_000);
      work();
    }
  }
}

/** Lets everything happen that waits for nothing but promises. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

let network: FakeNetwork;
let one: Cluster;
let two: Cluster;
let three: Cluster;
beforeEach(() => {
  network = new FakeNetwork();
  one = network.add("one");
  two = network.add("two");
  three = network.add("three");
});

describe("a notification", () => {
  test("reaches every other node once, and not its sender", async () => {
    const received: string[] = [];
    for (const [name, node] of network.nodes) {
      node.handle("greet", (body) => received.push(`${name}: ${body}`));
    }
    one.notify("greet", "hi");
    await network.passOn();
    expect(received).toEqual(["two: hi", "three: hi"]);
  });

  test("is answered by nobody, whatever its handler returns", async () => {
    two.handle("greet", () => "an answer");
    one.notify("greet", "hi");
    await network.passOn();
    expect(network.passedOn).toBe(2);
  });

  test("of a kind without a handler is ignored", async () => {
    one.notify("unknown", {});
    await network.passOn();
    expect(network.passedOn).toBe(2);
  });

  test("is dropped if the engine cannot send it", async () => {
    network.isDown = true;
    one.notify("greet", "hi");
    await settled();
    expect(network.sent).toEqual([]);
  });
});

describe("a request", () => {
  test("resolves with the answers of all other nodes, given at once or later", async () => {
    two.handle("double", (body: number) => 2 * body);
    three.handle("double", async (body: number) => {
      await settled();
      return 2 * body + 1;
    });
    const answers = one.request<number>("double", 21);
    await network.passOn();
    await network.passOn();
    expect((await answers).toSorted()).toEqual([42, 43]);
    expect(network.timers.size).toBe(0);
  });

  test("may be answered before the engine has said how many nodes there are", async () => {
    const counted = Promise.withResolvers<void>();
    network.counted = counted.promise;
    for (const node of [two, three]) node.handle("name", () => "here");
    const answers = one.request("name", {});
    await network.passOn();
    counted.resolve();
    expect(await answers).toEqual(["here", "here"]);
  });

  test("of the only node resolves with no answers at once", async () => {
    const alone = new FakeNetwork().add("alone");
    expect(await alone.request("any", {})).toEqual([]);
  });

  test("resolves after a second with the answers that have come by then", async () => {
    for (const node of [two, three]) node.handle("name", () => "here");
    const answers = one.request("name", {});
    await network.passOn({ cutOff: "three" });
    network.timeOut();
    expect(await answers).toEqual(["here"]);
    expect(network.timers.size).toBe(0);
  });

  test("ignores answers that come after the second", async () => {
    for (const node of [two, three]) node.handle("name", () => "late");
    const answers = one.request("name", {});
    network.timeOut();
    expect(await answers).toEqual([]);
    await network.passOn();
    expect(await answers).toEqual([]);
  });

  test("counts a node whose handler is missing or fails as one that answers undefined", async () => {
    three.handle("fail", () => Promise.reject(new Error("a fault")));
    const answers = one.request("fail", {});
    await network.passOn();
    expect(await answers).toEqual([undefined, undefined]);
  });

  test("rejects if the engine cannot send it, and leaves no timer behind", async () => {
    network.isDown = true;
    await expect(one.request("any", {})).rejects.toBeInstanceOf(EngineUnavailable);
    expect(network.timers.size).toBe(0);
  });

  test("that runs next to others of the same and of another node gets its own answers", async () => {
    for (const [name, node] of network.nodes) {
      node.handle("repeat", (body) => `${name} repeats ${body}`);
    }
    const first = one.request("repeat", 1);
    const second = one.request("repeat", 2);
    const other = two.request("repeat", 3);
    await network.passOn();
    expect(await first).toEqual(["two repeats 1", "three repeats 1"]);
    expect(await second).toEqual(["two repeats 2", "three repeats 2"]);
    expect(await other).toEqual(["one repeats 3", "three repeats 3"]);
  });
});
