// When a topic counts as occupied and as vacated.
import { expect, test } from "bun:test";
import { ABSENCE_MS } from "../../../src/relay/contracts/engine";
import { Simulation } from "../../support/relay/simulation";

const told = ({ happened }: Simulation) =>
  happened.map((one) => `${one.kind} ${"topic" in one ? one.topic : ""}`);

test("the witness is told of the first subscriber of a topic, and a moment after the last has gone", () => {
  const sim = new Simulation({}, ["a"]);
  const first = sim.connect(sim.register(1));
  const second = sim.connect(sim.register(2));
  sim.relay.connections.closed(first.connection);
  sim.pass(ABSENCE_MS);
  expect(told(sim)).toEqual(["occupied a"]);
  sim.relay.connections.closed(second.connection);
  sim.pass(ABSENCE_MS - 1);
  expect(told(sim)).toEqual(["occupied a"]);
  sim.pass(1);
  expect(told(sim)).toEqual(["occupied a", "vacated a"]);
  sim.connect(sim.register(3));
  expect(told(sim)).toEqual(["occupied a", "vacated a", "occupied a"]);
});

test("a client that reconnects within a moment makes its topics neither vacated nor occupied", () => {
  const sim = new Simulation({}, ["a"]);
  for (let i = 0; i < 5; i++) {
    const { connection } = sim.connect(sim.register(1));
    sim.relay.connections.closed(connection);
    sim.pass(ABSENCE_MS - 1);
  }
  expect(told(sim)).toEqual(["occupied a"]);
});

test("choosing other topics makes those occupied and the former vacated", () => {
  const sim = new Simulation({}, ["a"]);
  const { connection } = sim.connect(sim.register(1));
  sim.relay.receive(connection, '{"topics":["b"]}');
  sim.pass(ABSENCE_MS);
  expect(told(sim)).toEqual(["occupied a", "occupied b", "vacated a"]);
});
