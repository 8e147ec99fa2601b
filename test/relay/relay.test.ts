// The core of the relay without a network: which clients are admitted, which receive a publication, and how connections end.
import { describe, expect, test } from "bun:test";
import { json } from "../../src/protocols/json";
import { plain } from "../../src/protocols/plain";
import { sse } from "../../src/protocols/sse";
import { Refusal } from "../../src/relay/contracts/errors";
import { AsyncEngine } from "../support/engines/async-engine";
import { FakeSocket, LIMITS, Simulation, unwrap } from "../support/relay/simulation";
import { until } from "../support/wait";

const code = (value: unknown): unknown => (value instanceof Refusal ? value.code : value);

describe("a registration", () => {
  test("expires after the TTL if its client has not connected, and not a moment earlier", () => {
    const sim = new Simulation();
    const early = sim.register();
    const late = sim.register();
    sim.now = LIMITS.registrationTtlMs - 1;
    sim.connect(early);
    sim.now = LIMITS.registrationTtlMs;
    expect(code(sim.relay.admission.admit(late, plain))).toBe("unknown_connection");
    expect(sim.relay.admission.unregister(late)).toBe(false);
    sim.relay.sweep();
    expect(sim.relay.counts).toMatchObject({ registrations: 0, connections: 1 });
  });

  test("ends with its socket and leaves nothing behind", () => {
    const sim = new Simulation();
    const id = sim.register();
    const { connection } = sim.connect(id);
    sim.relay.connections.closed(connection);
    expect(sim.relay.counts).toEqual({ registrations: 0, connections: 0, topics: 0 });
    expect(code(sim.relay.admission.admit(id, plain))).toBe("unknown_connection");
  });

  test("is refused when too many wait for their clients, and possible again when these have expired", () => {
    const sim = new Simulation({ registrationsMax: 2 });
    sim.register(1);
    sim.register(2);
    expect(code(sim.relay.admission.register(3))).toBe("too_many_registrations");
    sim.now = LIMITS.registrationTtlMs;
    expect(code(sim.relay.admission.register(3))).toMatchObject({ user: "3" });
  });
});

describe("unregister()", () => {
  test("ends a waiting registration once", () => {
    const sim = new Simulation();
    const id = sim.register();
    expect(sim.relay.admission.unregister(id)).toBe(true);
    expect(sim.relay.admission.unregister(id)).toBe(false);
  });

  test("closes the open socket and leaves nothing behind", () => {
    const sim = new Simulation();
    const id = sim.register();
    const { socket } = sim.connect(id);
    expect(sim.relay.admission.unregister(id)).toBe(true);
    expect(socket.closedWith?.code).toBe(4503);
    expect(sim.relay.counts).toEqual({ registrations: 0, connections: 0, topics: 0 });
  });

  test("between the handshake and the opening of the socket leaves no connection behind", () => {
    const sim = new Simulation();
    const id = sim.register();
    const { socket: bystander } = sim.connect(sim.register());
    const admitted = unwrap(sim.relay.admission.admit(id, plain));
    expect(sim.relay.admission.unregister(id)).toBe(true);
    sim.relay.open(admitted, bystander);
    expect(bystander.closedWith?.code).toBe(4503);
    expect(sim.relay.counts.connections).toBe(1);
  });
});

describe("the same id connecting again", () => {
  test("opens nothing when the newer connection is open first: the older one is told that it was replaced", () => {
    const sim = new Simulation();
    const id = sim.register();
    const older = unwrap(sim.relay.admission.admit(id, plain));
    const newer = sim.connect(id);
    const late = new FakeSocket();
    sim.relay.open(older, late);
    expect(late.closedWith?.code).toBe(4001);
    expect(newer.socket.closedWith).toBeUndefined();
    expect(sim.relay.counts.connections).toBe(1);
  });

  test("and then not opening leaves the registration to the older connection, with which it ends", () => {
    const sim = new Simulation();
    const id = sim.register();
    const { connection, socket } = sim.connect(id);
    sim.relay.admission.abandon(unwrap(sim.relay.admission.admit(id, plain)));
    expect(socket.closedWith).toBeUndefined();
    sim.relay.connections.closed(connection);
    expect(code(sim.relay.admission.admit(id, plain))).toBe("unknown_connection");
    expect(sim.relay.counts).toEqual({ registrations: 0, connections: 0, topics: 0 });
  });

  test("replaces the older connection, which is closed with 4001", () => {
    const sim = new Simulation();
    const id = sim.register();
    const older = sim.connect(id);
    const newer = sim.connect(id);
    expect(older.socket.closedWith?.code).toBe(4001);
    expect(sim.relay.publisher.publish({ topic: "tech", message: "a" })).toMatchObject({
      delivered: 1,
    });
    sim.relay.connections.closed(older.connection); // Bun reports the close of the old socket late.
    expect(sim.relay.publisher.publish({ topic: "tech", message: "b" })).toMatchObject({
      delivered: 1,
    });
    expect(newer.socket.frames).toEqual(["a", "b"]);
    expect(older.socket.frames).toEqual([]);
  });

  test("counts once towards the connections of its user and of the relay", () => {
    const sim = new Simulation({ userConnectionsMax: 1, connectionsMax: 1 });
    const id = sim.register();
    for (let i = 0; i < 5; i++) sim.connect(id);
    expect(sim.relay.counts.connections).toBe(1);
  });

  test("begins with the default topics again", () => {
    const sim = new Simulation();
    const id = sim.register();
    sim.relay.receive(sim.connect(id).connection, '{"topics":["other"]}');
    sim.connect(id);
    expect(sim.relay.publisher.publish({ topic: "tech", message: "a" })).toMatchObject({
      delivered: 1,
    });
    expect(sim.relay.publisher.publish({ topic: "other", message: "a" })).toMatchObject({
      delivered: 0,
    });
  });
});

describe("publish()", () => {
  test("to one user reaches that user's subscribed connections only", () => {
    const sim = new Simulation();
    const phone = sim.connect(sim.register(1));
    const laptop = sim.connect(sim.register("1"));
    const elsewhere = sim.connect(sim.register(1));
    const other = sim.connect(sim.register(2));
    sim.relay.receive(elsewhere.connection, '{"topics":["news"]}');
    expect(
      sim.relay.publisher.publish({ topic: "tech", message: "a", user_id: "1" }),
    ).toMatchObject({
      delivered: 2,
    });
    expect(sim.relay.publisher.publish({ topic: "news", message: "b", user_id: 1 })).toMatchObject({
      delivered: 1,
    });
    expect(phone.socket.frames).toEqual(["a"]);
    expect(laptop.socket.frames).toEqual(["a"]);
    expect(elsewhere.socket.frames).toEqual(["b"]);
    expect(other.socket.frames).toEqual([]);
  });

  test("to a user or a topic named __proto__ reaches nobody else", () => {
    const sim = new Simulation();
    const { socket } = sim.connect(sim.register("constructor"));
    expect(
      sim.relay.publisher.publish({ topic: "tech", message: "a", user_id: "__proto__" }),
    ).toMatchObject({
      delivered: 0,
    });
    expect(sim.relay.publisher.publish({ topic: "__proto__", message: "a" })).toMatchObject({
      delivered: 0,
    });
    expect(socket.frames).toEqual([]);
  });

  test("to one user closes a connection whose buffer is full as a slow consumer, and reaches the others", () => {
    const sim = new Simulation();
    const slow = sim.connect(sim.register());
    const quick = sim.connect(sim.register());
    slow.socket.full = true;
    const answer = sim.relay.publisher.publish({ topic: "tech", message: "a", user_id: 1 });
    expect(answer).toMatchObject({ delivered: 1 });
    expect(slow.socket.closedWith?.code).toBe(4008);
    expect(quick.socket.frames).toEqual(["a"]);
  });

  test("is refused from the beginning of the shutdown", () => {
    const sim = new Simulation();
    const id = sim.register();
    expect(sim.relay.unavailable()).toBeUndefined();
    sim.relay.beginShutdown();
    expect(code(sim.relay.unavailable())).toBe("shutting_down");
    expect(code(sim.relay.publisher.publish({ topic: "tech", message: "a" }))).toBe(
      "shutting_down",
    );
    expect(code(sim.relay.admission.register(1))).toBe("shutting_down");
    expect(code(sim.relay.admission.admit(id, plain))).toBe("shutting_down");
  });
});

describe("the topics of a connection", () => {
  test("are replaced as a whole, or not at all if one of the new ones is invalid", () => {
    const sim = new Simulation();
    const { connection, socket } = sim.connect(sim.register());
    sim.relay.receive(connection, '{"topics":["a","b","a"]}');
    expect([...socket.natives]).toEqual(["plain:a", "plain:b"]);
    sim.relay.receive(connection, '{"topics":["c",""]}');
    expect(JSON.parse(socket.frames.pop() ?? "")).toMatchObject({
      error: { code: "invalid_topic" },
    });
    expect([...socket.natives]).toEqual(["plain:a", "plain:b"]);
    sim.relay.receive(connection, '{"topics":[]}');
    expect(sim.relay.counts.topics).toBe(0);
  });

  test("E5: are at most as many as BATON_CONNECTION_TOPICS_MAX allows, repetitions not counted", () => {
    const sim = new Simulation({ connectionTopicsMax: 2 });
    const { connection, socket } = sim.connect(sim.register());
    sim.relay.receive(connection, '{"topics":["a","b","a","b"]}');
    expect(socket.natives.size).toBe(2);
    sim.relay.receive(connection, '{"topics":["a","b","c"]}');
    expect(JSON.parse(socket.frames.pop() ?? "")).toMatchObject({
      error: { code: "too_many_topics" },
    });
    expect(socket.natives.size).toBe(2);
  });
});

describe("the limit", () => {
  test("on the connections of a user applies when it registers and when it connects", () => {
    const sim = new Simulation({ userConnectionsMax: 2 });
    const [a, b, c] = [sim.register(), sim.register(), sim.register()];
    sim.connect(a);
    const { connection } = sim.connect(b);
    expect(code(sim.relay.admission.admit(c, plain))).toBe("too_many_user_connections");
    expect(code(sim.relay.admission.register(1))).toBe("too_many_user_connections");
    sim.relay.connections.closed(connection);
    sim.connect(c);
  });

  test("on all connections applies when a client connects", () => {
    const sim = new Simulation({ connectionsMax: 1 });
    const second = sim.register(2);
    sim.connect(sim.register(1));
    expect(code(sim.relay.admission.admit(second, plain))).toBe("too_many_connections");
  });

  test("on inbound frames ends a flood, and each second begins a new count", () => {
    const sim = new Simulation({ connectionFramesMax: 3 });
    const { connection, socket } = sim.connect(sim.register());
    sim.pass(1);
    for (let i = 0; i < 3; i++) expect(sim.relay.countFrame(connection, 1)).toBe(true);
    sim.pass(1_000);
    for (let i = 0; i < 3; i++) expect(sim.relay.countFrame(connection, 1)).toBe(true);
    expect(sim.relay.countFrame(connection, 1)).toBe(false);
    expect(socket.closedWith?.code).toBe(4013);
  });
});

describe("the heartbeat", () => {
  test("closes a connection that does not answer pings, also while messages are sent to it", () => {
    const sim = new Simulation();
    const mute = sim.connect(sim.register());
    const alive = sim.connect(sim.register());
    for (let second = 0; second < 36; second++) {
      sim.relay.publisher.publish({ topic: "tech", message: "still sending" });
      sim.pass(1_000);
      if (alive.connection.awaitingPong) sim.relay.pong(alive.connection);
    }
    expect(mute.socket.closedWith?.code).toBe(4012);
    expect(alive.socket.closedWith).toBeUndefined();
    expect(sim.relay.counts.connections).toBe(1);
  });

  test("waits longer for the pong of a client that reads what waits for it, but not for ever", () => {
    const sim = new Simulation();
    const { connection, socket } = sim.connect(sim.register());
    for (let second = 0; second < 60; second++) {
      sim.pass(1_000);
      if (second % 5 === 0) sim.relay.drained(connection);
    }
    expect([socket.pings, socket.closedWith]).toEqual([1, undefined]);
    for (let second = 0; second < 11; second++) sim.pass(1_000);
    expect(socket.closedWith?.code).toBe(4012);
  });

  test("pings once in each interval, and ignores a pong without a ping", () => {
    const sim = new Simulation();
    const { connection, socket } = sim.connect(sim.register());
    for (let second = 0; second < 100; second++) {
      sim.relay.pong(connection);
      sim.pass(1_000);
    }
    expect(socket.pings).toBe(4);
  });
});

describe("an engine whose history cannot be read when a client subscribes", () => {
  /** A relay whose engine fails this many times, and then answers at once. */
  const failing = (failures: number, topics: readonly string[]) =>
    new Simulation({}, topics, (options) => {
      const engine = new AsyncEngine(options, () => Promise.resolve());
      engine.failures = failures;
      return engine;
    });
  const closed = (socket: FakeSocket) =>
    until("the socket to be closed", () => socket.closedWith !== undefined);

  test("closes a stream, because a stream can only try again by reconnecting", async () => {
    const sim = failing(1, ["a"]);
    const { socket } = sim.connect(sim.register(), sse);
    await closed(socket);
    expect(socket.closedWith?.code).toBe(4010);
    expect(socket.frames).toEqual([]);
  });

  test("closes a socket that has no topics yet, and no other", async () => {
    const sim = failing(1, []);
    const first = sim.connect(sim.register(), json);
    sim.relay.receive(first.connection, '{"topics":["a"]}');
    await closed(first.socket);
    expect(first.socket.frames[0]).toContain("engine_unavailable");
    expect(first.socket.closedWith?.code).toBe(4010);

    const second = sim.connect(sim.register(), json);
    sim.relay.receive(second.connection, '{"topics":["a"]}');
    await until("the reply", () => second.socket.frames.length === 1);
    (sim.engine as AsyncEngine).failures = 1;
    sim.relay.receive(second.connection, '{"topics":["a","b"]}');
    await until("the error", () => second.socket.frames.length === 2);
    expect(second.socket.frames[1]).toContain("engine_unavailable");
    expect(second.socket.closedWith).toBeUndefined();
  });
});

test("sixteen choices of topics may wait while history is read for an earlier one, and one more ends the connection", () => {
  const never = new Promise<void>(() => {});
  const sim = new Simulation({}, [], (options) => new AsyncEngine(options, () => never));
  const { connection, socket } = sim.connect(sim.register(), json);
  for (let i = 0; i <= 16; i++) sim.relay.receive(connection, '{"topics":["a"]}');
  expect(socket.closedWith).toBeUndefined();
  sim.relay.receive(connection, '{"topics":["a"]}');
  expect(socket.closedWith?.code).toBe(4013);
});
