// The first topics of a socket that can resume: deferred for a quarter of a second, as its client sees it, however far
// away it is. Time is a number here.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { json } from "../../../src/protocols/json";
import type { Connection } from "../../../src/relay/state/connection";
import { type FakeSocket, Simulation } from "../../support/relay/simulation";

interface Peer {
  readonly sim: Simulation;
  readonly connection: Connection;
  readonly socket: FakeSocket;
}

function connect(): Peer {
  const sim = new Simulation({}, ["tech"]);
  return { sim, ...sim.connect(sim.register(), json) };
}

/** Lets time pass in small steps; the peer answers each ping after a round trip, and does `at` at its times. */
function live({ sim, connection, socket }: Peer, roundTripMs: number, at: Map<number, () => void>) {
  const pongs: number[] = [];
  let pings = 0;
  const end = roundTripMs + 2_000;
  for (let now = 0; now <= end; now += 10) {
    sim.now = now;
    sim.ring();
    for (; pings < socket.pings; pings++) pongs.push(now + roundTripMs);
    while ((pongs[0] ?? end + 1) <= now) {
      pongs.shift();
      sim.relay.pong(connection);
    }
    at.get(now)?.();
  }
}

const tens = (max: number) => fc.integer({ min: 0, max: max / 10 }).map((n) => n * 10);

describe("the first topics of a client", () => {
  test("that sends its first command in a quarter of a second wait for it, at any distance", () => {
    fc.assert(
      fc.property(tens(5_000), tens(240), (roundTripMs, afterMs) => {
        const peer = connect();
        const arrives = roundTripMs + afterMs;
        const actions = new Map([
          [Math.floor(arrives / 20) * 10, () => void peer.sim.relay.publisher.publish(publication)],
          [arrives, () => peer.sim.relay.receive(peer.connection, '{"topics":["tech"]}')],
        ]);
        const publication = { topic: "tech", message: "m" };
        live(peer, roundTripMs, actions);
        const kinds = peer.socket.frames.map((frame) => Object.keys(JSON.parse(frame))[0]);
        expect(kinds[0]).toBe("topics");
      }),
    );
  });

  test("that stays silent are subscribed to soon after its pong", () => {
    for (const roundTripMs of [0, 100, 1_000]) {
      const peer = connect();
      const publish = () => void peer.sim.relay.publisher.publish({ topic: "tech", message: "m" });
      const counts: number[] = [];
      const count = () => void counts.push(peer.socket.frames.length);
      live(
        peer,
        roundTripMs,
        new Map([
          [20, publish],
          [roundTripMs + 240, count],
          [roundTripMs + 370, count],
        ]),
      );
      expect(counts).toEqual([0, 1]);
    }
  });

  test("that answers pings which were not sent wait as long as others", () => {
    const peer = connect();
    for (let i = 0; i < 3; i++) peer.sim.relay.pong(peer.connection);
    peer.sim.now = 240;
    peer.sim.ring();
    void peer.sim.relay.publisher.publish({ topic: "tech", message: "m" });
    expect(peer.socket.frames).toEqual([]);
  });
});

describe("the first ping", () => {
  test("does not come with the opening, but 100 ms later", () => {
    const { sim, socket } = connect();
    expect(socket.pings).toBe(0);
    for (const [now, pings] of [
      [50, 0],
      [100, 1],
      [150, 1],
      [250, 1],
    ] as const) {
      sim.now = now;
      sim.ring();
      expect([now, socket.pings]).toEqual([now, pings]);
    }
  });

  test("is not needed by a client that has sent its first command, or has no first topics", () => {
    const { sim, connection, socket } = connect();
    sim.relay.receive(connection, '{"topics":["tech"]}');
    const empty = new Simulation({}, []);
    const silent = empty.connect(empty.register(), json);
    for (const one of [sim, empty]) {
      one.now = 200;
      one.ring();
    }
    expect([socket.pings, silent.socket.pings]).toEqual([0, 0]);
  });

  test("is answered, or its client is ended as one that has gone", () => {
    const { sim, socket } = connect();
    sim.now = 100;
    sim.ring();
    sim.pass(9_000);
    expect(socket.closedWith).toBeUndefined();
    sim.pass(1_000);
    expect(socket.closedWith?.code).toBe(4012);
  });
});
