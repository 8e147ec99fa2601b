// Random steps of a few clients against the simplest possible model of which client must receive what.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { plain } from "../../../src/protocols/plain";
import { Refusal } from "../../../src/relay/contracts/errors";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import type { Connection } from "../../../src/relay/state/connection";
import { type FakeSocket, inLines, LIMITS, Simulation } from "../../support/relay/simulation";

interface ModelClient {
  readonly user: string;
  registeredAt: number;
  connected: boolean;
  gone: boolean;
  /** It has closed its socket, and perhaps did not wait for what was published just before. */
  hasLeft: boolean;
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

/** As many connections as it takes to make publications wait for each other; they have all topics and stay. */
const SPECTATORS = 64;

/** The topic "b" has waves of its own, so that it keeps no order with the others. */
const RULES = new TopicRules({ historySize: 100, historyTtlMs: 300_000 }, { b: { waveMs: 10 } });
const inOrder = (received: readonly string[]) => [
  ...received.filter((message) => !message.startsWith("b:")),
  ...received.filter((message) => message.startsWith("b:")),
];

const lines = inLines(plain);
const messagesOf = ({ frames }: FakeSocket) => frames.flatMap((frame) => frame.split("\n"));

class World {
  readonly sim = new Simulation({}, ["tech"], undefined, RULES);
  readonly clients: RealClient[] = [];
  readonly spectators = Array.from({ length: SPECTATORS }, (_, i) => {
    const id = this.sim.register("spectator");
    const { connection, socket } = this.sim.connect(id, i % 2 === 0 ? plain : lines);
    this.sim.relay.receive(connection, JSON.stringify({ topics: TOPICS }));
    return { connection, socket };
  });

  pong(): void {
    for (const { connection } of [...this.clients, ...this.spectators]) {
      if (connection !== undefined) this.sim.relay.pong(connection);
    }
  }
}

interface Model {
  now: number;
  readonly clients: ModelClient[];
  /** What each spectator must have received. */
  readonly expected: string[];
}

type Step = fc.AsyncCommand<Model, World>;

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const alive = (model: Model, client: ModelClient): boolean =>
  !client.gone && (client.connected || model.now < client.registeredAt + LIMITS.registrationTtlMs);

const TOPICS = ["a", "b", "tech", "__proto__", "é", "e\u0301", "😀"];
const topic = fc.constantFrom(...TOPICS);
const user = fc.constantFrom<number | string>(0, 1, "1", "2", "__proto__", "toString");
const index = fc.nat(7);

class Register implements Step {
  readonly user: number | string;
  constructor(user: number | string) {
    this.user = user;
  }
  check = (model: Model) => model.clients.length < 8;
  async run(model: Model, { sim, clients }: World) {
    clients.push({ id: sim.register(this.user), earlier: [] });
    model.clients.push({
      user: String(this.user),
      registeredAt: model.now,
      connected: false,
      gone: false,
      hasLeft: false,
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
  async run(model: Model, world: World) {
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
    const { socket } = real;
    Object.assign(real, sim.connect(real.id, this.at % 2 === 0 ? plain : lines));
    // What it was sent when it was replaced is among it.
    if (socket !== undefined) real.earlier.push(...messagesOf(socket));
    client.connected = true;
    client.topics = new Set(["tech"]);
  }
}

class Close extends OnClient {
  act(_model: Model, client: ModelClient, { sim }: World, real: RealClient) {
    if (real.connection === undefined) return;
    real.socket?.natives.clear();
    sim.relay.connections.closed(real.connection);
    if (!client.gone) client.hasLeft = true;
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
  async run(model: Model, { sim }: World) {
    const message = `${this.topic}: ${Publish.count++}`;
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
    const spectators = this.user === undefined ? SPECTATORS : 0;
    expect(answer).toMatchObject({ delivered: receivers.length + spectators });
    if (this.user === undefined) model.expected.push(message);
  }
  toString = () => `publish(${JSON.stringify(this.topic)}, ${JSON.stringify(this.user)})`;
}

class Pass implements Step {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
  check = () => true;
  async run(model: Model, world: World) {
    model.now += this.ms;
    // The clients answer the pings of both sweeps.
    world.pong();
    world.sim.pass(this.ms);
    world.pong();
  }
  toString = () => `pass(${this.ms})`;
}

/** The turn of the event loop ends, and sending what left in it takes so long. */
class EndTurn implements Step {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
  check = () => true;
  async run(model: Model, { sim }: World) {
    model.now += this.ms;
    sim.now += this.ms;
    await nextTurn();
  }
  toString = () => `endTurn(${this.ms})`;
}

/** Timers that are due ring. */
class DueTimers implements Step {
  check = () => true;
  async run(_model: Model, { sim }: World) {
    sim.ring();
  }
  toString = () => "ring()";
}

const steps = [
  user.map((u) => new Register(u)),
  index.map((i) => new Connect(i)),
  index.map((i) => new Close(i)),
  index.map((i) => new Delete(i)),
  fc.tuple(index, fc.array(topic, { maxLength: 4 })).map(([i, t]) => new Choose(i, t)),
  fc.tuple(topic, fc.option(user, { nil: undefined })).map(([t, u]) => new Publish(t, u)),
  fc.tuple(topic, fc.option(user, { nil: undefined })).map(([t, u]) => new Publish(t, u)),
  topic.map((t) => new Publish(t, undefined)),
  topic.map((t) => new Publish(t, undefined)),
  topic.map((t) => new Publish(t, undefined)),
  fc.integer({ min: 0, max: 40 }).map((ms) => new EndTurn(ms)),
  fc.integer({ min: 0, max: 4 }).map((ms) => new EndTurn(ms)),
  fc.constant(new DueTimers()),
  fc.integer({ min: 0, max: LIMITS.registrationTtlMs }).map((ms) => new Pass(ms)),
];

/** Of each kind of topic, a client has received the beginning of what it must. */
function expectBeginning(received: readonly string[], expected: readonly string[]): void {
  for (const isPaced of [true, false]) {
    const ofKind = (messages: readonly string[]) =>
      messages.filter((message) => message.startsWith("b:") === isPaced);
    expect(ofKind(received)).toEqual(ofKind(expected).slice(0, ofKind(received).length));
  }
}

test("after any steps of several clients every publication has reached exactly the connections that must have it, once and in order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(steps, { maxCommands: 120, size: "max" }), async (commands) => {
      const model: Model = { now: 0, clients: [], expected: [] };
      const world = new World();
      await fc.asyncModelRun(() => ({ model, real: world }), commands);
      // What still waits leaves.
      await nextTurn();
      await nextTurn();
      world.sim.now += LIMITS.waveMs;
      world.sim.ring();
      for (const [i, real] of world.clients.entries()) {
        const received = [
          ...real.earlier,
          ...(real.socket === undefined ? [] : messagesOf(real.socket)),
        ];
        const { expected = [], hasLeft } = model.clients[i] ?? {};
        // What a client that has left did not get is the end of what was published in each topic.
        if (hasLeft) expectBeginning(received, expected);
        else expect(inOrder(received)).toEqual(inOrder(expected));
      }
      for (const { socket } of world.spectators) {
        expect(inOrder(messagesOf(socket))).toEqual(inOrder(model.expected));
      }
      const { connections } = world.sim.relay;
      for (const connection of [...connections.all()]) connections.end(connection, "shutdown");
      world.sim.pass(LIMITS.registrationTtlMs);
      expect(world.sim.relay.counts).toEqual({ connections: 0, registrations: 0, topics: 0 });
    }),
    { numRuns: 500 },
  );
}, 120_000);

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
