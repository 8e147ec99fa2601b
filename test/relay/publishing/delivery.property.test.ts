// Random steps of a few clients against the simplest possible model of which client must receive what.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Connection } from "../../../src/relay/state/connection";
import { type FakeSocket, LIMITS, Simulation } from "../../support/relay/simulation";

interface ModelClient {
  readonly user: string;
  registeredAt: number;
  connected: boolean;
  gone: boolean;
  topics: Set<string>;
  expected: string[];
}

interface RealClient {
  readonly id: string;
  connection?: Connection;
  socket?: FakeSocket;
  /** The frames of its earlier sockets, which were replaced. */
  earlier: string[];
}

interface World {
  readonly sim: Simulation;
  readonly clients: RealClient[];
}

interface Model {
  now: number;
  readonly clients: ModelClient[];
}

type Step = fc.Command<Model, World>;

const alive = (model: Model, client: ModelClient): boolean =>
  !client.gone && (client.connected || model.now < client.registeredAt + LIMITS.registrationTtlMs);

const topic = fc.constantFrom("a", "b", "tech", "__proto__", "é", "e\u0301", "😀");
const user = fc.constantFrom<number | string>(0, 1, "1", "2", "__proto__", "toString");
const index = fc.nat(7);

class Register implements Step {
  readonly user: number | string;
  constructor(user: number | string) {
    this.user = user;
  }
  check = (model: Model) => model.clients.length < 8;
  run(model: Model, { sim, clients }: World) {
    clients.push({ id: sim.register(this.user), earlier: [] });
    model.clients.push({
      user: String(this.user),
      registeredAt: model.now,
      connected: false,
      gone: false,
      topics: new Set(),
      expected: [],
    });
  }
  toString = () => `register(${JSON.stringify(this.user)})`;
}

abstract class OnClient implements Step {
  readonly at: number;
  constructor(at: number) {
    this.at = at;
  }
  check = (model: Model) => this.at < model.clients.length;
  run(model: Model, world: World) {
    const client = model.clients[this.at];
    const real = world.clients[this.at];
    if (client !== undefined && real !== undefined) this.act(model, client, world, real);
  }
  abstract act(model: Model, client: ModelClient, world: World, real: RealClient): void;
  toString = () => `${this.constructor.name}(${this.at})`;
}

class Connect extends OnClient {
  act(model: Model, client: ModelClient, { sim }: World, real: RealClient) {
    if (!alive(model, client)) {
      expect(() => sim.connect(real.id)).toThrow("unknown_connection");
      return;
    }
    if (real.socket !== undefined) real.earlier.push(...real.socket.frames);
    Object.assign(real, sim.connect(real.id));
    client.connected = true;
    client.topics = new Set(["tech"]);
  }
}

class Close extends OnClient {
  act(_model: Model, client: ModelClient, { sim }: World, real: RealClient) {
    if (real.connection === undefined) return;
    real.socket?.natives.clear();
    sim.relay.connections.closed(real.connection);
    client.gone = true;
  }
}

class Delete extends OnClient {
  act(model: Model, client: ModelClient, { sim }: World, real: RealClient) {
    expect(sim.relay.admission.unregister(real.id)).toBe(alive(model, client));
    client.gone = true;
  }
}

class Choose extends OnClient {
  readonly topics: readonly string[];
  constructor(at: number, topics: readonly string[]) {
    super(at);
    this.topics = topics;
  }
  act(_model: Model, client: ModelClient, { sim }: World, real: RealClient) {
    if (real.connection === undefined || client.gone) return;
    sim.relay.receive(real.connection, JSON.stringify({ topics: this.topics }));
    client.topics = new Set(this.topics);
  }
}

class Publish implements Step {
  static count = 0;
  readonly topic: string;
  readonly user: number | string | undefined;
  constructor(topic: string, user: number | string | undefined) {
    this.topic = topic;
    this.user = user;
  }
  check = () => true;
  run(model: Model, { sim }: World) {
    const message = `message ${Publish.count++}`;
    const receivers = model.clients.filter(
      (client) =>
        client.connected &&
        !client.gone &&
        client.topics.has(this.topic) &&
        (this.user === undefined || client.user === String(this.user)),
    );
    for (const { expected } of receivers) expected.push(message);
    const to = this.user === undefined ? {} : { user_id: this.user };
    const answer = sim.relay.publisher.publish({ topic: this.topic, message, ...to });
    expect(answer).toMatchObject({ delivered: receivers.length });
  }
  toString = () => `publish(${JSON.stringify(this.topic)}, ${JSON.stringify(this.user)})`;
}

class Pass implements Step {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
  check = () => true;
  run(model: Model, { sim, clients }: World) {
    model.now += this.ms;
    // The clients answer the pings of both sweeps.
    for (const { connection } of clients) if (connection) sim.relay.pong(connection);
    sim.pass(this.ms);
    for (const { connection } of clients) if (connection) sim.relay.pong(connection);
  }
  toString = () => `pass(${this.ms})`;
}

const steps = [
  user.map((u) => new Register(u)),
  index.map((i) => new Connect(i)),
  index.map((i) => new Close(i)),
  index.map((i) => new Delete(i)),
  fc.tuple(index, fc.array(topic, { maxLength: 4 })).map(([i, t]) => new Choose(i, t)),
  fc.tuple(topic, fc.option(user, { nil: undefined })).map(([t, u]) => new Publish(t, u)),
  fc.tuple(topic, fc.option(user, { nil: undefined })).map(([t, u]) => new Publish(t, u)),
  fc.integer({ min: 0, max: LIMITS.registrationTtlMs }).map((ms) => new Pass(ms)),
];

test("after any steps of several clients every publication has reached exactly the connections that must have it, once and in order", () => {
  fc.assert(
    fc.property(fc.commands(steps, { maxCommands: 120 }), (commands) => {
      const model: Model = { now: 0, clients: [] };
      const world: World = { sim: new Simulation(), clients: [] };
      fc.modelRun(() => ({ model, real: world }), commands);
      for (const [i, real] of world.clients.entries()) {
        const received = [...real.earlier, ...(real.socket?.frames ?? [])];
        expect(received).toEqual(model.clients[i]?.expected ?? []);
      }
      for (const [i, real] of world.clients.entries()) {
        if (real.connection && !model.clients[i]?.gone)
          world.sim.relay.connections.end(real.connection, "shutdown");
      }
      world.sim.pass(LIMITS.registrationTtlMs);
      expect(world.sim.relay.counts).toEqual({ connections: 0, registrations: 0, topics: 0 });
    }),
    { numRuns: 500 },
  );
});

test("two different names, well-formed or not, are never the same topic", () => {
  const name = fc.string({ unit: "binary", minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(name, name, (followed, published) => {
      const sim = new Simulation();
      const { connection, socket } = sim.connect(sim.register());
      sim.relay.receive(connection, JSON.stringify({ topics: [followed] }));
      const errors = socket.frames.splice(0);
      const answer = sim.relay.publisher.publish({ topic: published, message: "m" });
      const delivered = answer instanceof Refusal ? 0 : (answer as { delivered: number }).delivered;
      expect(delivered).toBe(followed === published && errors.length === 0 ? 1 : 0);
    }),
    { numRuns: 500 },
  );
});
