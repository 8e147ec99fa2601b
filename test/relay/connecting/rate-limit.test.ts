// What one client may cost: the relay counts not only what the client sends, but also what its requests make the relay send.
import { describe, expect, test } from "bun:test";
import { centrifuge } from "../../../src/protocols/centrifuge/json";
import { json } from "../../../src/protocols/json";
import { RateLimit } from "../../../src/relay/connecting/rate-limit";
import { COMMANDS_MAX } from "../../../src/relay/contracts/options";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import { Journal } from "../../../src/relay/journal/journal";
import { Connection, chargeForFrame } from "../../../src/relay/state/connection";
import { Connections } from "../../../src/relay/state/connections";
import type { Session } from "../../../src/relay/state/session";
import { AsyncEngine } from "../../support/engines/async-engine";
import { FakeSocket, LIMITS, OPEN, Simulation, unwrap } from "../../support/relay/simulation";
import { until } from "../../support/wait";

const ANSWER_BYTES = 100_000;
const MESSAGE = "x".repeat(10_000);

function simulation(): Simulation {
  return new Simulation({ connectionAnswerBytes: ANSWER_BYTES, connectionFramesMax: 20_000 }, []);
}

/** Publishes this many messages of 10,000 characters. */
function publish(sim: Simulation, topic: string, count: number): void {
  for (let i = 0; i < count; i++) sim.relay.publisher.publish({ topic, message: MESSAGE });
}

const bytesOf = ({ frames }: FakeSocket): number =>
  frames.reduce((sum, frame) => sum + frame.length, 0);

const EVERYTHING = '{"topics":["t"],"since":{"t":{"offset":0,"epoch":"e1"}}}';

describe("what the relay sends to a client at its request is bounded in each second", () => {
  test("when it requests the same history again and again: the rest waits, and so do its later commands", async () => {
    const sim = simulation();
    const { connection, socket } = sim.connect(sim.register(), json);
    publish(sim, "t", 5);
    for (let i = 0; i < 8; i++) {
      sim.relay.receive(connection, EVERYTHING);
      sim.relay.receive(connection, '{"topics":[]}');
    }
    expect(bytesOf(socket)).toBeGreaterThan(50_000);
    expect(bytesOf(socket)).toBeLessThan(ANSWER_BYTES + 2 * MESSAGE.length);
    const before = bytesOf(socket);
    sim.pass(1_000);
    await until("the share of the next second", () => bytesOf(socket) > before + 50_000);
    expect(bytesOf(socket)).toBeLessThan(2 * ANSWER_BYTES + 4 * MESSAGE.length);
    expect(socket.closedWith).toBeUndefined();
  });

  test("when it connects with one registration again and again: each connection continues with the share of the last one", () => {
    const sim = simulation();
    const id = sim.register();
    publish(sim, "t", 5);
    const sockets = Array.from({ length: 10 }, () => {
      const { connection, socket } = sim.connect(id, json);
      sim.relay.receive(connection, EVERYTHING);
      return socket;
    });
    const sent = sockets.reduce((sum, socket) => sum + bytesOf(socket), 0);
    expect(sent).toBeLessThan(ANSWER_BYTES + 2 * MESSAGE.length);
  });

  test("when its connection is lost and it comes back, again and again, until the second is over", async () => {
    const sim = simulation();
    const id = sim.register();
    publish(sim, "t", 5);
    const connectAndAsk = () => {
      const { connection, socket } = sim.connect(id, json);
      sim.relay.receive(connection, EVERYTHING);
      sim.relay.connections.lost(connection);
      return bytesOf(socket);
    };
    const sent = Array.from({ length: 10 }, connectAndAsk).reduce((sum, bytes) => sum + bytes, 0);
    expect(sent).toBeGreaterThan(50_000);
    expect(sent).toBeLessThan(ANSWER_BYTES + 2 * MESSAGE.length);
    sim.pass(1_000);
    expect(connectAndAsk()).toBeGreaterThan(50_000);
  });

  test("of a user's sessions, but not of anonymous ones, which have nothing in common", () => {
    const { rateLimit, connections, connect } = limited();
    for (const user of ["ann", ""]) {
      const first = connect(user);
      chargeForFrame(first, LIMITS.connectionAnswerBytes);
      connections.lost(first);
      expect([user, rateLimit.isExhausted(connect(user))]).toEqual([user, user === "ann"]);
    }
    expect(rateLimit.isExhausted(connect("bob"))).toBe(false);
    rateLimit.expire(1_000);
    expect(rateLimit.isExhausted(connect("ann"))).toBe(false);
  });

  test("when a plain WebSocket joins and leaves a topic again and again whose others are told of it: it is closed", () => {
    const rules = new TopicRules(
      { historySize: 0, historyTtlMs: 0 },
      { hall: { presence: true, joinLeave: true } },
    );
    const sim = new Simulation({ connectionAnswerBytes: 10_000 }, ["hall"], undefined, rules);
    for (let i = 0; i < 20; i++) sim.connect(sim.register());
    const { connection, socket } = sim.connect(sim.register(2));
    for (let i = 0; i < 100; i++) {
      sim.relay.receive(connection, `{"topics":[${i % 2 === 0 ? "" : '"hall"'}]}`);
    }
    expect(socket.closedWith).toMatchObject({ code: 4013 });
  });

  test("when one history is larger than the bound: all of it arrives in order, over several seconds", async () => {
    const sim = simulation();
    const { connection, socket } = sim.connect(sim.register(), json);
    publish(sim, "t", 40);
    sim.relay.receive(connection, EVERYTHING);
    const offsets = () => socket.frames.flatMap((frame) => JSON.parse(frame).offset ?? []);
    const seconds = [offsets().length];
    while (offsets().length < 40) {
      const before = offsets().length;
      sim.pass(1_000);
      await until("more of the history", () => offsets().length > before);
      await new Promise((resolve) => setImmediate(resolve));
      seconds.push(offsets().length - before);
      sim.relay.pong(connection);
    }
    expect(offsets()).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(Math.max(...seconds)).toBeLessThanOrEqual(12);
  });

  test("when a session requests history again and again: its commands wait, and each is answered in order", async () => {
    const sim = simulation();
    const { connection, socket } = openSession(sim);
    publish(sim, "t", 5);
    const ask = (id: number) => `{"id":${id},"history":{"channel":"t","limit":100}}`;
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    const ids = Array.from({ length: 10 }, (_, i) => i + 2);
    sim.relay.receive(connection, ids.map(ask).join("\n"));
    expect(bytesOf(socket)).toBeLessThan(ANSWER_BYTES + 6 * MESSAGE.length);
    const answered = () =>
      socket.frames.map((frame) => JSON.parse(frame).id).filter((id) => id > 1);
    for (let second = 0; answered().length < ids.length; second++) {
      expect(second).toBeLessThan(20);
      sim.pass(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(answered()).toEqual(ids);
  });
});

test("of what a session has missed its reply carries a quarter of what may wait for it, and the rest follows in order", () => {
  const sim = new Simulation({}, []);
  const { connection, socket } = openSession(sim);
  // Text may take seven bytes a character, so that three of these fit into 262,144.
  publish(sim, "t", 5);
  sim.relay.receive(connection, '{"id":1,"connect":{}}');
  const since = '"recover":true,"epoch":"e1","offset":0';
  sim.relay.receive(connection, `{"id":2,"subscribe":{"channel":"t",${since}}}`);
  const [, reply, ...rest] = socket.frames.map((frame) => JSON.parse(frame));
  const offsetsOf = (publications: { offset: number }[]) =>
    publications.map(({ offset }) => offset);
  expect(offsetsOf(reply.subscribe.publications)).toEqual([1, 2, 3]);
  expect(offsetsOf(rest.map(({ push }) => push.pub))).toEqual([4, 5]);
});

describe("a session that reads slowly", () => {
  const subscribe = (id: number, channel: string) =>
    `{"id":${id},"subscribe":{"channel":"${channel}"}}`;
  const idsOf = ({ frames }: FakeSocket) => frames.map((frame) => JSON.parse(frame).id);

  test("has what it asks for carried out once it has read, in order, and each once", () => {
    const sim = new Simulation();
    const { connection, socket } = openSession(sim);
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    socket.full = true;
    sim.relay.receive(
      connection,
      `${subscribe(2, "a")}\n{"id":3,"publish":{"channel":"a","data":1}}`,
    );
    sim.relay.receive(connection, '{"id":4,"unsubscribe":{"channel":"a"}}');
    sim.relay.receive(connection, subscribe(5, "b"));
    sim.relay.drained(connection);
    expect(idsOf(socket)).toEqual([1]);
    socket.full = false;
    sim.relay.drained(connection);
    sim.relay.drained(connection);
    expect(idsOf(socket)).toEqual([1, 2, undefined, 3, 4, 5]);
    expect(socket.closedWith).toBeUndefined();
  });

  test("waits again where it has not read the first answers, and goes on without being told of the last byte", () => {
    const sim = new Simulation();
    const { connection, socket } = openSession(sim);
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    socket.full = true;
    sim.relay.receive(connection, `${subscribe(2, "a")}\n${subscribe(3, "b")}`);
    const { send } = socket;
    socket.send = (frame) => {
      socket.full = true;
      return send.call(socket, frame);
    };
    for (const answered of [[1], [1, 2], [1, 2, 3]]) {
      expect(idsOf(socket)).toEqual(answered);
      sim.pass(1_000);
      expect(idsOf(socket)).toEqual(answered);
      socket.full = false;
      sim.pass(1_000);
    }
  });

  test("that ends while it waits has nothing carried out any more", () => {
    const sim = new Simulation();
    const { connection, socket } = openSession(sim);
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    socket.full = true;
    sim.relay.receive(connection, subscribe(2, "a"));
    sim.relay.connections.closed(connection);
    socket.full = false;
    sim.relay.drained(connection);
    sim.pass(1_000);
    expect(idsOf(socket)).toEqual([1]);
    expect(sim.relay.counts.topics).toBe(0);
  });

  test("is closed where what waits for it is larger than may wait, however often it has read a little", () => {
    const sim = new Simulation();
    const { connection, socket } = openSession(sim);
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    const ask = (size: number) => sim.relay.receive(connection, subscribe(2, "a").padEnd(size));
    const large = LIMITS.backpressureBytes * 0.7;
    for (let i = 0; i < 3; i++) {
      socket.full = true;
      ask(0);
      ask(large);
      socket.full = false;
      sim.relay.drained(connection);
    }
    socket.full = true;
    ask(0);
    ask(large);
    sim.relay.drained(connection);
    expect(socket.closedWith).toBeUndefined();
    ask(large);
    expect(socket.closedWith).toMatchObject({ reason: "too many requests" });
  });

  test("and has had its share of the second is asked for one thing after the other in the next one", async () => {
    const reads: (() => void)[] = [];
    const sim = new Simulation({ connectionAnswerBytes: 10_000 }, [], (options) => {
      return new AsyncEngine(options, async (what) => {
        if (what === "read history") await new Promise<void>((resolve) => reads.push(resolve));
      });
    });
    const { connection, socket } = openSession(sim);
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    chargeForFrame(connection, 10_000);
    socket.full = true;
    const ask = (id: number) => `{"id":${id},"history":{"channel":"t","limit":100}}`;
    sim.relay.receive(connection, [2, 3, 4].map(ask).join("\n"));
    sim.relay.drained(connection);
    socket.full = false;
    sim.relay.drained(connection);
    sim.pass(1_000);
    for (let asked = 1; asked <= 3; asked++) {
      await until("the next read", () => reads.length >= asked);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      expect(reads.length).toBe(asked);
      reads.at(-1)?.();
    }
    await until("the last answer", () => socket.frames.length >= 4);
    expect(idsOf(socket)).toEqual([1, 2, 3, 4]);
  });

  test("is closed where more commands wait for it than may wait", () => {
    const sim = new Simulation({ connectionFramesMax: 100_000 });
    const { connection, socket } = openSession(sim);
    sim.relay.receive(connection, '{"id":1,"connect":{}}');
    socket.full = true;
    const ask = () => sim.relay.receive(connection, '{"id":2,"presence":{"channel":"a"}}');
    for (let i = 0; i < COMMANDS_MAX; i++) ask();
    expect(socket.closedWith).toBeUndefined();
    ask();
    expect(socket.closedWith).toMatchObject({ reason: "too many requests" });
  });
});

describe("what a client may send in a second", () => {
  test("is counted over a whole second, however often the relay looks at it", () => {
    const { rateLimit, connect } = limited({ connectionFramesMax: 10 });
    const connection = connect("ann");
    rateLimit.expire(0);
    expect(rateLimit.count(connection, 10)).toBe(true);
    rateLimit.expire(1_000);
    expect(rateLimit.count(connection, 6)).toBe(true);
    rateLimit.expire(1_999);
    expect(rateLimit.count(connection, 4)).toBe(true);
    expect(rateLimit.count(connection)).toBe(false);
  });

  test("counts a frame for every eight topics that it joins, and none for those that it has", () => {
    const sim = new Simulation({ connectionFramesMax: 10 }, []);
    const { connection, socket } = sim.connect(sim.register(), json);
    const topics = Array.from({ length: 23 }, (_, i) => `t${i}`);
    const send = () => {
      if (sim.relay.countFrame(connection, 1))
        sim.relay.receive(connection, JSON.stringify({ topics }));
    };
    for (let i = 0; i < 8; i++) send();
    expect(socket.closedWith).toBeUndefined();
    send();
    expect(socket.closedWith).toMatchObject({ code: 4013 });
  });

  test("is so many bytes, and not one more", () => {
    const { rateLimit, connect } = limited({ connectionBytesMax: 100 });
    const connection = connect("ann");
    expect([60, 40, 1].map((bytes) => rateLimit.countFrame(connection, bytes))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("is so many publications, also where the same user comes back with another session", () => {
    const { rateLimit, connections, connect } = limited({ clientPublicationsMax: 3 });
    const publish = (connection: Connection, count: number) =>
      Array.from({ length: count }, () => rateLimit.countPublication(connection)?.code);
    const refused = "too_many_client_publications";
    const first = connect("ann");
    expect(publish(first, 2)).toEqual([undefined, undefined]);
    connections.lost(first);
    expect(publish(connect("ann"), 2)).toEqual([undefined, refused]);
    expect(publish(connect("bob"), 4)).toEqual([undefined, undefined, undefined, refused]);
    rateLimit.expire(1_000);
    expect(publish(connect("ann"), 3)).toEqual([undefined, undefined, undefined]);
  });

  test("is remembered of ten thousand clients that have gone, and of no more", () => {
    const { rateLimit, connections, connect } = limited();
    for (let i = 0; i <= 10_000; i++) {
      const connection = connect(`user ${i}`);
      chargeForFrame(connection, LIMITS.connectionAnswerBytes);
      connections.lost(connection);
    }
    expect(rateLimit.isExhausted(connect("user 9999"))).toBe(true);
    expect(rateLimit.isExhausted(connect("user 10000"))).toBe(false);
  });
});

test("what waits for the next second is done in that one, and never again", () => {
  const { rateLimit } = limited();
  let times = 0;
  rateLimit.expire(0);
  rateLimit.pause(() => times++);
  rateLimit.expire(999);
  expect(times).toBe(0);
  rateLimit.expire(1_000);
  rateLimit.expire(2_000);
  expect(times).toBe(1);
});

/** A rate limit alone, with sessions of users. */
function limited(limits: Partial<typeof LIMITS> = {}) {
  const { engine } = simulation();
  const connections = new Connections(
    { limits: LIMITS, engine, tally: OPEN.tally },
    { flush() {} },
    new Journal(0, () => 0),
  );
  const rateLimit = new RateLimit({ ...LIMITS, ...limits }, (work) => work(), connections);
  const connect = (user: string): Connection => {
    const claimed = { id: crypto.randomUUID(), user, topics: undefined, term: 0 };
    const connection = new Connection(claimed, centrifuge);
    connection.session = { published: 0 } as Session;
    connections.add(connection);
    return connection;
  };
  return { rateLimit, connections, connect };
}

function openSession(sim: Simulation): { connection: Connection; socket: FakeSocket } {
  const connection = unwrap(sim.relay.admission.admitSession(centrifuge));
  const socket = new FakeSocket();
  sim.sockets.add(socket);
  sim.relay.open(connection, socket);
  return { connection, socket };
}
