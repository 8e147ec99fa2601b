// The last event of a topic, which some sessions begin with.
import { expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { pusherProtocol } from "../../../src/protocols/pusher/protocol";
import type { HistoryRange } from "../../../src/relay/contracts/engine";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { FakeSocket, Simulation, unwrap } from "../../support/relay/simulation";

const SIZE = 3;

/** An engine that is published to right after each read, as one is whose answers are under way for a while. */
class BusyEngine extends MemoryEngine {
  afterRead: () => void = () => {};

  override history(topic: string, range: HistoryRange) {
    const page = super.history(topic, range);
    const { afterRead } = this;
    this.afterRead = () => {};
    afterRead();
    return page;
  }
}

test.each([
  ["no event", 0],
  ["an event", 1],
])(
  "where all of a history is replaced while it is read, a session that came to %s begins with the newer ones, and nobody is told that there was none",
  (_, before) => {
    const rules = new TopicRules({ historySize: SIZE, historyTtlMs: 60_000 });
    const sim = new Simulation({}, [], (options) => new BusyEngine(options), rules);
    const publish = (message: string) => sim.relay.publisher.publish({ topic: "cache-a", message });
    for (let i = 0; i < before; i++) publish("before");
    const authority = {
      publicationsMax: 0,
      topic: () => undefined,
      user: () => ({ user: "", info: undefined }),
    };
    const protocol = pusherProtocol(120);
    const connection = unwrap(sim.relay.admission.admitTo(authority, "1.2", protocol));
    const socket = new FakeSocket();
    sim.sockets.add(socket);
    sim.relay.open(connection, socket);
    socket.frames.length = 0;
    const later = Array.from({ length: SIZE + 1 }, (__, i) => `later ${i}`);
    (sim.engine as BusyEngine).afterRead = () => later.forEach(publish);
    sim.relay.receive(connection, '{"event":"pusher:subscribe","data":{"channel":"cache-a"}}');
    const [success, ...frames] = socket.frames.map((frame) => JSON.parse(frame));
    expect(success.event).toBe("pusher_internal:subscription_succeeded");
    expect(frames.map(({ event, data }) => [event, data])).toEqual(
      later.map((data) => ["message", data]),
    );
    expect(sim.happened.filter(({ kind }) => kind === "missed")).toEqual([]);
  },
);
