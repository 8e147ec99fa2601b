// A fault while one publication is delivered: its topic's clients recover it, and no other publication is lost.
import { describe, expect, test } from "bun:test";
import { json } from "../../../src/protocols/json";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import type { FakeSocket } from "../../support/relay/simulation";
import { inLines, Simulation } from "../../support/relay/simulation";

/** More connections than it takes to make publications wait. */
const SUBSCRIBERS = 66;

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const RULES = new TopicRules(
  { historySize: 100, historyTtlMs: 300_000 },
  { paced: { waveMs: 50 } },
);

/** A relay whose fan-out fails for each frame with this mark. */
class FaultyRelay extends Simulation {
  readonly faults: unknown[] = [];
  faultyMark: string | undefined;

  constructor() {
    super({}, [], undefined, RULES);
    this.onDeliveryFault = (error) => this.faults.push(error);
  }

  override fanOut(native: string, frame: string): void {
    if (this.faultyMark !== undefined && frame.includes(this.faultyMark))
      throw new Error("a fault");
    super.fanOut(native, frame);
  }

  publish(topic: string, message: string) {
    return this.relay.publisher.publish({ topic, message });
  }

  subscribe(topic: string, protocol: typeof json = json): FakeSocket {
    const { connection, socket } = this.connect(this.register("one"), protocol);
    this.relay.receive(connection, JSON.stringify({ topics: [topic] }));
    return socket;
  }

  /** What a client that reconnects gets after this offset. */
  recover(topic: string, offset: number): { topics: unknown; data: string[] } {
    const { connection, socket } = this.connect(this.register("again"), json);
    const since = { [topic]: { offset, epoch: "e1" } };
    this.relay.receive(connection, JSON.stringify({ topics: [topic], since }));
    return { topics: JSON.parse(socket.frames[0] ?? "{}").topics, data: received(socket) };
  }
}

function received({ frames }: FakeSocket): string[] {
  return frames.map((frame) => JSON.parse(frame).data).filter((data) => data !== undefined);
}

describe("a publication that cannot be fanned out", () => {
  test("is answered with its offset, and ends those who lack it, who recover it", () => {
    const sim = new FaultyRelay();
    const client = sim.subscribe("t");
    const other = sim.subscribe("other");
    sim.publish("t", "1");
    sim.faultyMark = "bad";
    expect(sim.publish("t", "bad")).toMatchObject({ offset: 2, delivered: 0 });
    expect(sim.publish("t", "3")).toMatchObject({ offset: 3 });
    sim.publish("other", "o");
    expect(received(client)).toEqual(["1"]);
    expect(client.closedWith).toMatchObject({ code: 4010 });
    expect(received(other)).toEqual(["o"]);
    expect(sim.faults).toHaveLength(1);
    expect(sim.recover("t", 1)).toMatchObject({
      topics: { t: { recovered: true } },
      data: ["bad", "3"],
    });
  });

  test("does not take the rest of its wave with it", async () => {
    const sim = new FaultyRelay();
    const crowd = Array.from({ length: SUBSCRIBERS }, () => sim.subscribe("t"));
    const other = sim.subscribe("other");
    sim.publish("t", "1");
    sim.publish("t", "2");
    await nextTurn();
    sim.now += 5;
    await nextTurn();
    for (const message of ["3", "bad", "5"]) sim.publish("t", message);
    sim.publish("other", "o");
    expect(received(other)).toEqual([]);
    sim.faultyMark = "bad";
    sim.now += 5;
    sim.ring();
    expect(received(other)).toEqual(["o"]);
    for (const client of crowd) {
      expect(received(client)).toEqual(["1", "2", "3"]);
      expect(client.closedWith).toMatchObject({ code: 4010 });
    }
    expect(sim.recover("t", 3).data).toEqual(["bad", "5"]);
  });

  test("does not take the rest of its topic's wave with it, where the topic has waves of its own", () => {
    const sim = new FaultyRelay();
    const client = sim.subscribe("paced");
    for (const message of ["1", "bad", "3"]) sim.publish("paced", message);
    sim.faultyMark = "bad";
    sim.now += 50;
    sim.ring();
    expect(received(client)).toEqual(["1"]);
    expect(client.closedWith).toMatchObject({ code: 4010 });
    expect(sim.recover("paced", 1).data).toEqual(["bad", "3"]);
  });

  test("takes those with it that share its frame, which are recovered too", () => {
    const sim = new FaultyRelay();
    const [client, single] = [sim.subscribe("paced", inLines(json)), sim.subscribe("paced")];
    for (const message of ["1", "2", "bad"]) sim.publish("paced", message);
    sim.faultyMark = "bad";
    sim.now += 50;
    sim.ring();
    expect([received(client), received(single)]).toEqual([["1"], ["1", "2"]]);
    for (const { closedWith } of [client, single]) expect(closedWith).toMatchObject({ code: 4010 });
    expect(sim.recover("paced", 1).data).toEqual(["2", "bad"]);
  });
});

test("a publication that cannot be encoded for a client that recovers ends that client alone", () => {
  const sim = new FaultyRelay();
  for (const message of ["1", "bad", "3"]) sim.publish("t", message);
  const broken: typeof json = {
    ...json,
    encodePublication: (publication) => {
      if (publication.data === "bad") throw new Error("a fault");
      return json.encodePublication(publication);
    },
  };
  const { connection, socket } = sim.connect(sim.register("broken"), broken);
  const since = { t: { offset: 0, epoch: "e1" } };
  sim.relay.receive(connection, JSON.stringify({ topics: ["t"], since }));
  expect(received(socket)).toEqual(["1"]);
  expect(socket.closedWith).toMatchObject({ code: 1011 });
  expect(sim.faults).toHaveLength(1);
  expect(sim.recover("t", 0).data).toEqual(["1", "bad", "3"]);
});
