// The one object that knows the open connections: how they end, and how many there may be.
import { describe, expect, test } from "bun:test";
import { centrifuge } from "../../../src/protocols/centrifuge/json";
import { json } from "../../../src/protocols/json";
import { plain } from "../../../src/protocols/plain";
import type { AfterRelease } from "../../../src/relay/contracts/engine";
import type { CloseName, Protocol } from "../../../src/relay/contracts/protocol";
import { FakeSocket, Simulation, unwrap } from "../../support/relay/simulation";

/** Connects a client, and records what becomes of its registration. */
function connect(protocol: Protocol) {
  const sim = new Simulation();
  const { registrations } = sim.engine;
  const released: AfterRelease[] = [];
  const release = registrations.release.bind(registrations);
  registrations.release = (id, term, next) => {
    released.push(next);
    release(id, term, next);
  };
  return { sim, released, ...sim.connect(sim.register(), protocol) };
}

describe("when a connection ends", () => {
  test("listeners and the registration come before its socket, whose close handler may run at once", () => {
    const { sim, connection, socket, released } = connect(plain);
    const { connections } = sim.relay;
    const order: string[] = [];
    connections.onEnd(({ socket: left }) => order.push(`listener, socket ${left}`));
    socket.close = (code) => {
      order.push(`close ${code}, released ${released}, ${connections.size} open`);
      connections.closed(connection);
    };
    connections.end(connection, "slow_consumer");
    expect(order).toEqual(["listener, socket undefined", "close 4008, released end, 0 open"]);
  });

  test.each<[CloseName, "json" | "plain", AfterRelease]>([
    ["slow_consumer", "json", "wait"],
    ["slow_consumer", "plain", "end"],
    ["deleted", "json", "end"],
    ["replaced", "json", "end"],
    ["shutdown", "json", "wait"],
    ["shutdown", "plain", "wait"],
  ])(
    "by the relay (%s), the registration of a %s connection is released to: %s",
    (why, name, next) => {
      const { sim, connection, released } = connect(name === "json" ? json : plain);
      sim.relay.connections.end(connection, why);
      expect(released).toEqual([next]);
    },
  );

  test("because its socket is lost, its registration waits only where the protocol can resume", () => {
    for (const [protocol, next] of [
      [json, "wait"],
      [plain, "end"],
    ] as const) {
      const { sim, connection, released } = connect(protocol);
      sim.relay.connections.lost(connection);
      expect(released).toEqual([next]);
    }
  });

  test("because its client closes it, its registration ends", () => {
    const { sim, connection, released } = connect(json);
    sim.relay.connections.closed(connection);
    expect(released).toEqual(["end"]);
  });
});

test("open connections and handshakes under way share one limit", () => {
  const sim = new Simulation({ connectionsMax: 3 });
  const { admission, connections } = sim.relay;
  sim.connect(sim.register());
  const admitted = unwrap(admission.admit(sim.register(), plain));
  expect(connections.checkRoom("")).toBeUndefined();
  connections.claiming++;
  expect(connections.checkRoom("")).toMatchObject({ code: "too_many_connections" });
  connections.claiming--;
  admission.abandon(admitted);
  expect(connections.checkRoom("")).toBeUndefined();
});

describe("a session", () => {
  const open = () => {
    const sim = new Simulation();
    const protocol: Protocol = { ...centrifuge, transport: "stream" };
    const connection = unwrap(sim.relay.admission.admitSession(protocol));
    const socket = new FakeSocket();
    sim.relay.open(connection, socket);
    return { sim, connection, socket };
  };

  test("that does not say who it is for ten seconds is closed as stale, and not a moment earlier", () => {
    const { sim, socket } = open();
    sim.pass(9_999);
    expect(socket.closedWith).toBeUndefined();
    sim.pass(1);
    expect(socket.closedWith).toMatchObject({ reason: "stale" });
    expect(sim.relay.connections.open).toBe(0);
  });

  test("over a stream takes commands by its secret, and has neither name nor secret when it has ended", async () => {
    const { sim, connection } = open();
    const secret = connection.session?.secret ?? "";
    expect(await sim.relay.receiveFor(secret, '{"id":1,"connect":{}}')).toBe(true);
    const { connections } = sim.relay;
    connections.setPublicId(connection, "known to others");
    expect(connections.byPublicId("known to others")).toBe(connection);
    connections.closed(connection);
    expect(connections.byPublicId("known to others")).toBeUndefined();
    expect(await sim.relay.receiveFor(secret, '{"id":2,"ping":{}}')).toBe(false);
  });
});
