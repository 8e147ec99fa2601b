// When publications leave for the sockets, and what never overtakes them.
import { describe, expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { json } from "../../../src/protocols/json";
import type { Protocol } from "../../../src/relay/contracts/protocol";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { inLines, Simulation } from "../../support/relay/simulation";

/** More connections than it takes to make publications wait. */
const SUBSCRIBERS = 66;

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const lines = inLines(json);

/** A relay with subscribers of the topic "tech", each of whose waves takes so long to send. */
class Crowd extends Simulation {
  readonly subscribers: ReturnType<Simulation["connect"]>[];

  constructor(limits = {}, rules?: TopicRules, protocol: Protocol = json) {
    super(limits, [], (options) => new MemoryEngine(options), rules);
    this.subscribers = Array.from({ length: SUBSCRIBERS }, (_, i) =>
      this.connect(this.register(i), protocol),
    );
    for (const { connection } of this.subscribers) {
      this.relay.receive(connection, '{"topics":["tech"]}');
    }
  }

  /** The messages that the first subscriber has received. */
  get received(): string[] {
    return messages(this.subscribers[0]?.socket.frames ?? []);
  }

  publish(
    message: string,
    to: { user_id?: number; topic?: string; except?: string | undefined } = {},
  ) {
    return this.relay.publisher.publish({ topic: "tech", message, ...to });
  }

  /** The turn of the event loop ends, and what left in it takes so long to send. */
  async send(ms: number): Promise<void> {
    await nextTurn();
    this.now += ms;
    await nextTurn();
  }

  /** Time passes, and timers ring. */
  wait(ms: number): void {
    this.now += ms;
    this.ring();
  }

  /** A wave of two has left and took 5 ms to send, so that the next one waits as long. */
  async sendTwo(): Promise<void> {
    this.publish("1");
    this.publish("2");
    await this.send(5);
  }
}

function messages(frames: readonly string[]): string[] {
  return frames.map((frame) => JSON.parse(frame).data).filter((data) => data !== undefined);
}

describe("a publication leaves", () => {
  test("at once, in its own turn of the event loop, when nothing left just before", () => {
    const crowd = new Crowd();
    expect(crowd.publish("1")).toMatchObject({ delivered: SUBSCRIBERS });
    expect(crowd.received).toEqual(["1"]);
    crowd.publish("2");
    expect(crowd.received).toEqual(["1", "2"]);
  });

  test("with all that is accepted while the last wave is sent, and for as long again", async () => {
    const crowd = new Crowd();
    crowd.publish("1");
    crowd.publish("2");
    await nextTurn();
    crowd.now += 5;
    expect(crowd.publish("3")).toMatchObject({ delivered: SUBSCRIBERS, offset: 3 });
    await nextTurn();
    crowd.publish("4");
    crowd.wait(4);
    expect(crowd.received).toEqual(["1", "2"]);
    crowd.wait(1);
    expect(crowd.received).toEqual(["1", "2", "3", "4"]);
  });

  test("at once when the wait is over", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    crowd.wait(5);
    crowd.publish("3");
    expect(crowd.received).toEqual(["1", "2", "3"]);
  });

  test("at once after a wave of one: a publisher that waits for its answers loses no time", async () => {
    const crowd = new Crowd();
    for (const message of ["1", "2", "3", "4"]) {
      crowd.publish(message);
      await nextTurn();
      crowd.now += 5;
      expect(crowd.received.at(-1)).toBe(message);
    }
    await crowd.send(5);
    crowd.publish("5");
    expect(crowd.received.at(-1)).toBe("5");
  });

  test.each([0, 1, 2, 3])(
    "at once when the wait ends after %p looks at the clock, as on a machine whose core is busy",
    async (looks) => {
      const crowd = new Crowd();
      await crowd.sendTwo();
      const { now } = crowd;
      let left = looks;
      Object.defineProperty(crowd, "now", { get: () => now + (left-- > 0 ? 4.9 : 5.1) });
      crowd.publish("3");
      crowd.ring();
      expect(crowd.received).toEqual(["1", "2", "3"]);
    },
  );

  test("and counts as departed when the next one leaves, at the latest", async () => {
    const crowd = new Crowd();
    const { departures, waveSizes } = crowd.relay.tally;
    const before = { seconds: departures.sum, publications: waveSizes.sum };
    for (const message of ["1", "2", "3", "4"]) {
      crowd.publish(message);
      await nextTurn();
      crowd.now += 5;
    }
    await nextTurn();
    expect(departures.sum - before.seconds).toBeCloseTo(4 * 0.005);
    expect(waveSizes.sum - before.publications).toBe(4);
  });

  test("at once after a wave that took less than half a millisecond to send", async () => {
    const crowd = new Crowd();
    crowd.publish("1");
    crowd.publish("2");
    await crowd.send(0.4);
    crowd.publish("3");
    expect(crowd.received).toEqual(["1", "2", "3"]);
  });

  test("after BATON_WAVE_MS, however long the last wave took", async () => {
    const crowd = new Crowd({ waveMs: 10 });
    crowd.publish("1");
    crowd.publish("2");
    await crowd.send(500);
    crowd.publish("3");
    crowd.wait(10);
    expect(crowd.received).toEqual(["1", "2", "3"]);
  });

  test("at once, always, with BATON_WAVE_MS=0", async () => {
    const crowd = new Crowd({ waveMs: 0 });
    await crowd.sendTwo();
    crowd.publish("3");
    expect(crowd.received).toEqual(["1", "2", "3"]);
  });

  test("early when 64 wait in its topic, or 64 KB", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    for (let i = 0; i < 64; i++) crowd.publish("");
    expect(crowd.received).toHaveLength(66);
    await crowd.send(5);
    crowd.publish("x".repeat(40_000));
    expect(crowd.received).toHaveLength(66);
    crowd.publish("x".repeat(40_000));
    expect(crowd.received).toHaveLength(68);
  });

  test("at once when it is for few, as long as no others wait; else it keeps its place among them", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    crowd.publish("3", { user_id: 0 });
    expect(crowd.received).toEqual(["1", "2", "3"]);
    crowd.publish("4");
    expect(crowd.publish("5", { user_id: 0 })).toMatchObject({ delivered: 1 });
    crowd.publish("6");
    expect(crowd.received).toEqual(["1", "2", "3"]);
    crowd.wait(5);
    expect(crowd.received).toEqual(["1", "2", "3", "4", "5", "6"]);
  });
});

describe("a publication that waits is delivered before", () => {
  test("its receiver is disconnected by the backend, on this node or from another one", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    crowd.publish("3");
    void crowd.relay.backend.disconnect({ user: "0" }, { code: 3503, reason: "bye" });
    const first = crowd.subscribers[0]?.socket;
    expect(first?.closedWith).toMatchObject({ code: 3503 });
    expect(crowd.received).toEqual(["1", "2", "3"]);

    crowd.publish("4");
    const body = { who: { user: "1" }, close: { code: 3503, reason: "bye" }, spared: [] };
    crowd.relay.cluster.receive(JSON.stringify({ kind: "disconnect", body }));
    expect(crowd.subscribers[1]?.socket.closedWith).toMatchObject({ code: 3503 });
    expect(messages(crowd.subscribers[1]?.socket.frames ?? [])).toEqual(["1", "2", "3", "4"]);
  });

  test("its receiver leaves the topic, or is removed", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    const { connection, socket } = crowd.connect(crowd.register("late"), json);
    crowd.relay.receive(connection, '{"topics":["tech"]}');
    crowd.publish("3");
    crowd.relay.receive(connection, '{"topics":[]}');
    expect(messages(socket.frames)).toEqual(["3"]);
    expect(socket.frames.at(-1)).toBe('{"topics":{}}');
    crowd.publish("4");
    crowd.relay.admission.unregister(crowd.subscribers[0]?.connection.id ?? "");
    expect(crowd.received).toEqual(["1", "2", "3", "4"]);
  });

  test("somebody else subscribes, who does not get it without history", async () => {
    const crowd = new Crowd({}, new TopicRules({ historySize: 0, historyTtlMs: 0 }));
    await crowd.sendTwo();
    crowd.publish("3");
    const { connection, socket } = crowd.connect(crowd.register("late"), json);
    crowd.relay.receive(connection, '{"topics":["tech"]}');
    crowd.publish("4");
    crowd.wait(5);
    expect(messages(socket.frames)).toEqual(["4"]);
    expect(crowd.received).toEqual(["1", "2", "3", "4"]);
  });

  test("somebody else recovers it, and gets it once", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    crowd.publish("3");
    const { connection, socket } = crowd.connect(crowd.register("late"), json);
    const since = { tech: { offset: 1, epoch: "e1" } };
    crowd.relay.receive(connection, JSON.stringify({ topics: ["tech"], since }));
    crowd.publish("4");
    crowd.wait(5);
    expect(messages(socket.frames)).toEqual(["2", "3", "4"]);
  });

  test("the topic's history is reset, which ends its receivers", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    crowd.publish("3");
    crowd.relay.events.historyReset("tech");
    expect(crowd.received).toEqual(["1", "2", "3"]);
    await nextTurn();
    expect(crowd.subscribers[0]?.socket.closedWith).toMatchObject({ code: 4010 });
  });

  test("the relay shuts down", async () => {
    const crowd = new Crowd();
    await crowd.sendTwo();
    crowd.publish("3");
    crowd.relay.beginShutdown();
    expect(crowd.received).toEqual(["1", "2", "3"]);
  });
});

test("a publication that waits is sent to those who are in its topic when it leaves, and not to the one that is excepted", async () => {
  const crowd = new Crowd();
  const [gone, other] = crowd.subscribers;
  await crowd.sendTwo();
  expect(crowd.publish("3", { except: other?.connection.id ?? "" })).toMatchObject({
    delivered: SUBSCRIBERS - 1,
  });
  if (gone !== undefined) {
    gone.socket.natives.clear();
    crowd.relay.connections.lost(gone.connection);
  }
  crowd.wait(5);
  expect(crowd.received).toEqual(["1", "2"]);
  expect(messages(other?.socket.frames ?? [])).toEqual(["1", "2"]);
  expect(messages(crowd.subscribers[2]?.socket.frames ?? [])).toEqual(["1", "2", "3"]);
});

describe("in a topic whose rule has", () => {
  const withRule = (waveMs: number) =>
    new Crowd({}, new TopicRules({ historySize: 100, historyTtlMs: 300_000 }, { te: { waveMs } }));

  test("wave_ms: 0, no publication ever waits", async () => {
    const crowd = withRule(0);
    await crowd.sendTwo();
    crowd.publish("3");
    expect(crowd.received).toEqual(["1", "2", "3"]);
  });

  test("wave_ms: 100, the first one leaves at once, and then one wave in 100 ms while there are more", () => {
    const crowd = withRule(100);
    expect(crowd.publish("1")).toMatchObject({ delivered: SUBSCRIBERS });
    expect(crowd.publish("2")).toMatchObject({ delivered: SUBSCRIBERS });
    crowd.wait(99);
    crowd.publish("3");
    expect(crowd.received).toEqual(["1"]);
    crowd.wait(1);
    expect(crowd.received).toEqual(["1", "2", "3"]);
    crowd.publish("4");
    crowd.wait(100);
    expect(crowd.received).toEqual(["1", "2", "3", "4"]);
    crowd.wait(100);
    crowd.publish("5");
    expect(crowd.received).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("wave_ms, a wave of 64 leaves early, and a client that subscribes gets each publication once", () => {
    const crowd = withRule(1_000);
    for (let i = 0; i < 65; i++) crowd.publish(String(i));
    expect(crowd.received).toHaveLength(65);
    crowd.publish("65");
    const { connection, socket } = crowd.connect(crowd.register("late"), json);
    const since = { tech: { offset: 64, epoch: "e1" } };
    crowd.relay.receive(connection, JSON.stringify({ topics: ["tech"], since }));
    crowd.publish("66");
    expect(messages(socket.frames)).toEqual(["64", "65"]);
    crowd.relay.beginShutdown();
    expect(messages(socket.frames)).toEqual(["64", "65", "66"]);
  });
});

describe("where clients read several publications in a frame", () => {
  /** The messages of each frame that this subscriber has received. */
  const framesOf = (crowd: Crowd, at = 0): string[][] =>
    (crowd.subscribers[at]?.socket.frames ?? [])
      .map((frame) => messages(frame.split("\n")))
      .filter((all) => all.length > 0);

  test("those of a wave that follow each other in a topic leave in one", async () => {
    const crowd = new Crowd({}, undefined, lines);
    await crowd.sendTwo();
    for (const message of ["3", "4", "5"]) crowd.publish(message);
    crowd.wait(5);
    expect(framesOf(crowd)).toEqual([["1"], ["2"], ["3", "4", "5"]]);
  });

  test("other topics, and what is for one user or not for somebody, keep their place", async () => {
    const crowd = new Crowd({}, undefined, lines);
    for (const { connection } of crowd.subscribers) {
      crowd.relay.receive(connection, '{"topics":["tech","news"]}');
    }
    await crowd.sendTwo();
    crowd.publish("3");
    crowd.publish("4");
    crowd.publish("own", { user_id: 0 });
    crowd.publish("5");
    crowd.publish("other", { topic: "news" });
    crowd.publish("6");
    crowd.publish("7");
    crowd.publish("not for the first", { except: crowd.subscribers[0]?.connection.id });
    crowd.publish("8");
    crowd.wait(5);
    const waves = [["3", "4"], ["5"], ["other"], ["6", "7"]];
    expect(framesOf(crowd).slice(2)).toEqual([["3", "4"], ["own"], ...waves.slice(1), ["8"]]);
    expect(framesOf(crowd, 1).slice(2)).toEqual([...waves, ["not for the first"], ["8"]]);
  });

  test("a frame of several has at most 16,384 characters", async () => {
    const crowd = new Crowd({}, undefined, lines);
    await crowd.sendTwo();
    const long = "x".repeat(7_000);
    for (const message of [long, long, long, "x".repeat(20_000), "5"]) crowd.publish(message);
    crowd.wait(5);
    const lengths = framesOf(crowd).map((all) => all.map((message) => message.length));
    expect(lengths.slice(2)).toEqual([[7_000, 7_000], [7_000], [20_000], [1]]);
  });
});
