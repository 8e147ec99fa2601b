// How often a client is pinged, if it requests a heartbeat of its own.
import { describe, expect, test } from "bun:test";
import { json } from "../../../src/protocols/json";
import { plain } from "../../../src/protocols/plain";
import { Heartbeat } from "../../../src/relay/connecting/heartbeat";
import type { Connection } from "../../../src/relay/state/connection";
import { FakeSocket, Simulation } from "../../support/relay/simulation";

function connect(sim: Simulation, protocol: typeof plain | typeof json, seconds?: number) {
  const connection = sim.relay.admission.admit(sim.register(), protocol) as Connection;
  if (seconds !== undefined) sim.relay.setHeartbeat(connection, seconds * 1_000);
  const socket = new FakeSocket();
  sim.relay.open(connection, socket);
  return { connection, socket };
}

describe("the heartbeat that a connection requests", () => {
  test.each([
    [1, plain],
    [4, plain],
    [4, json],
    [10, plain],
    [25, plain],
  ])("of %p s is the longest time for which it is quiet", (seconds, protocol) => {
    const sim = new Simulation({}, []);
    const { connection, socket } = connect(sim, protocol, seconds);
    let last = 0;
    for (let now = 0; now < 200_000; now += 1_000) {
      const before = socket.pings;
      sim.pass(1_000);
      if (socket.pings > before) {
        expect(sim.now - last).toBeLessThanOrEqual(seconds * 1_000);
        last = sim.now;
        // The answer arrives a little later.
        sim.now += 3;
        sim.relay.pong(connection);
        sim.now -= 3;
      }
    }
    expect(sim.now - last).toBeLessThanOrEqual(seconds * 1_000);
  });

  test("changes nothing for other connections", () => {
    const sim = new Simulation({}, []);
    const brisk = connect(sim, plain, 2);
    const usual = connect(sim, plain);
    for (let second = 0; second < 100; second++) {
      for (const { connection } of [brisk, usual]) sim.relay.pong(connection);
      sim.pass(1_000);
    }
    expect(usual.socket.pings).toBe(4);
    expect(brisk.socket.pings).toBeGreaterThan(45);
  });
});

test("the first ping comes between half and a whole interval after the opening, so that pings are not in lockstep", () => {
  const heartbeat = new Heartbeat(20_000, 10_000);
  const sim = new Simulation();
  for (const [spread, at] of [
    [0, 10_000],
    [1, 20_000],
  ] as const) {
    const { connection, socket } = connect(sim, plain);
    heartbeat.begin(connection, 0, spread);
    heartbeat.isOverdue(connection, at - 1);
    expect(socket.pings).toBe(0);
    heartbeat.isOverdue(connection, at);
    expect(socket.pings).toBe(1);
  }
});
