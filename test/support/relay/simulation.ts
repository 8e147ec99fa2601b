// The relay alone: with a clock that only the test moves, and fake sockets with a fan-out of their own.
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { EngineOptions } from "../../../src/engines/options";
import { plain } from "../../../src/protocols/plain";
import type { Questions } from "../../../src/relay/contracts/backend/questions";
import type { Engine, EngineEvents } from "../../../src/relay/contracts/engine";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Limits, RelayEvent } from "../../../src/relay/contracts/options";
import type { Protocol } from "../../../src/relay/contracts/protocol";
import type { Publication } from "../../../src/relay/contracts/publication";
import { Tally } from "../../../src/relay/contracts/tally";
import { TopicRules } from "../../../src/relay/contracts/topic-rules";
import type { Frame, Socket, Transport } from "../../../src/relay/contracts/transport";
import { Relay } from "../../../src/relay/relay";
import type { Connection } from "../../../src/relay/state/connection";

/** The limits of the relay and of its engine. */
type AllLimits = Limits &
  Pick<EngineOptions, "registrationTtlMs" | "registrationsMax" | "userConnectionsMax">;

export const LIMITS: AllLimits = {
  registrationTtlMs: 60_000,
  registrationsMax: 1_000,
  connectionsMax: 1_000,
  addressConnectionsMax: 0,
  userConnectionsMax: 100,
  connectionTopicsMax: 128,
  membersMax: 100,
  memberInfoBytes: 1_024,
  topicsMax: 0,
  subscriptionsMax: 0,
  connectionBytesMax: 0,
  clientPublicationsMax: 0,
  connectionFramesMax: 1_000,
  connectionAnswerBytes: 33_554_432,
  messageBytes: 65_536,
  pendingBytes: 67_108_864,
  backpressureBytes: 1_048_576,
  pingMs: 25_000,
  pongMs: 10_000,
  waveMs: 25,
  journalMax: 100,
};

const RULES = new TopicRules({ historySize: 100, historyTtlMs: 300_000 });

/** The other options of a relay where everybody may do everything. */
export const OPEN = {
  tally: new Tally(Buffer.byteLength),
  access: { tokens: undefined, isOpen: true, anonymous: false, closedPrefixes: [] },
  rules: RULES,
  personalTopics: false,
  after: () => () => {},
  version: "0.0.0",
  offlineMs: 10_000,
  node: "node",
  onDeliveryFault: (error: unknown): void => {
    throw error;
  },
};

/** The events of a node without connections. */
export const NOBODY: EngineEvents = {
  deliver: () => 0,
  historyReset() {},
  registrationRevoked() {},
  messageReceived() {},
  groupChanged() {},
  groupsUnsure() {},
};

/** The options of an engine in tests: a history of 100 and the epochs e1, e2… */
export function engineOptions(options: Partial<EngineOptions> = {}): EngineOptions {
  let epochs = 0;
  const { registrationTtlMs, registrationsMax, userConnectionsMax } = LIMITS;
  const { connectionsMax, addressConnectionsMax } = LIMITS;
  return {
    registrationTtlMs,
    registrationsMax,
    userConnectionsMax,
    connectionsMax,
    addressConnectionsMax,
    rules: RULES,
    historyBytes: 1_000_000,
    storeBytes: 1_000_000,
    idempotencyMs: 300_000,
    idempotencyMax: 1_000,
    now: () => 0,
    newEpoch: () => `e${++epochs}`,
    node: crypto.randomUUID(),
    prefix: crypto.randomUUID(),
    warn: () => {},
    ...options,
  };
}

/** The same protocol with clients who read several frames in one, a line each. */
export function inLines<Some extends Protocol>(protocol: Some): Some {
  return { ...protocol, name: "lines", join: (frames: readonly Frame[]) => frames.join("\n") };
}

export class FakeSocket implements Socket {
  readonly frames: string[] = [];
  readonly natives = new Set<string>();
  pings = 0;
  closedWith: { code: number; reason: string } | undefined;
  /** Whether its buffer is full, so that nothing more fits. */
  full = false;

  send(frame: string): number {
    this.frames.push(frame);
    return frame.length;
  }

  getBufferedAmount(): number {
    return this.full ? LIMITS.backpressureBytes : 0;
  }

  subscribe(native: string): void {
    this.natives.add(native);
  }

  unsubscribe(native: string): void {
    this.natives.delete(native);
  }

  ping(): void {
    this.pings++;
  }

  close(code: number, reason: string): void {
    this.closedWith = { code, reason };
    this.natives.clear();
  }
}

export class Simulation implements Transport {
  readonly relay: Relay;
  readonly sockets = new Set<FakeSocket>();
  now = 0;
  readonly engine: Engine;
  /** Called with each publication just before it is delivered. */
  onDeliver: (publication: Publication) => void = () => {};
  onDeliveryFault: (error: unknown) => void = OPEN.onDeliveryFault;
  /** What the relay has told its witness. */
  readonly happened: RelayEvent[] = [];
  #ids = 0;
  #timers: { readonly at: number; readonly work: () => void }[] = [];

  /** `makeEngine` receives options with the clock of this simulation. */
  constructor(
    limits: Partial<AllLimits> = {},
    defaultTopics: readonly string[] = ["tech"],
    makeEngine: (options: EngineOptions) => Engine = (options) => new MemoryEngine(options),
    rules: TopicRules = RULES,
    questions?: Questions,
  ) {
    const engine = makeEngine(engineOptions({ ...LIMITS, ...limits, rules, now: () => this.now }));
    this.engine = engine;
    this.relay = new Relay({
      limits: { ...LIMITS, ...limits },
      defaultTopics,
      engine,
      transports: { socket: this, stream: this },
      now: () => this.now,
      newId: () => (++this.#ids).toString(16).padStart(32, "0"),
      random: () => 0.5,
      later: setImmediate,
      ...OPEN,
      tally: new Tally(Buffer.byteLength),
      rules,
      questions,
      onDeliveryFault: (error) => this.onDeliveryFault(error),
      witness: {
        wants: () => true,
        tell: (happened) => void this.happened.push(happened),
        keep: (happened) => void this.happened.push(happened),
      },
      after: (ms, work) => {
        if (ms < 0) throw new Error(`a timer of ${ms} ms`);
        const timer = { at: this.now + ms, work };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((other) => other !== timer);
        };
      },
    });
    engine.start({
      ...this.relay.events,
      deliver: (publication) => {
        this.onDeliver(publication);
        return this.relay.waves.deliver(publication);
      },
    });
  }

  fanOut(native: string, frame: string, except?: Socket): void {
    for (const socket of this.sockets) {
      if (socket !== except && socket.natives.has(native)) socket.send(frame);
    }
  }

  /** Registers and returns the id; throws on a refusal. */
  register(userId: number | string = 1): string {
    return unwrap(this.relay.admission.register(userId)).id;
  }

  /** Connects with this id; throws on a refusal. */
  connect(id: string, protocol: Protocol = plain): { connection: Connection; socket: FakeSocket } {
    const connection = unwrap(this.relay.admission.admit(id, protocol));
    const socket = new FakeSocket();
    this.sockets.add(socket);
    this.relay.open(connection, socket);
    return { connection, socket };
  }

  /** Moves the clock, and runs the sweep and the timers that are due. */
  pass(ms: number): void {
    this.now += ms;
    this.relay.sweep();
    this.ring();
  }

  /** Runs the timers that are due. */
  ring(): void {
    const due = this.#timers.filter(({ at }) => at <= this.now);
    this.#timers = this.#timers.filter(({ at }) => at > this.now);
    for (const { work } of due) work();
  }
}

/** Returns what an engine in this process has answered at once; throws on a refusal. */
export function unwrap<Value>(answer: Value | Refusal | Promise<Value | Refusal>): Value {
  if (answer instanceof Refusal) throw new Error(answer.code);
  if (answer instanceof Promise) throw new Error("not at hand");
  return answer;
}
