// A client of the JSON format that follows the rules which docs/clients.md states ("Three things to know"), in a simulation:
// - Its first command gives its position in each topic that it knows. Publications that arrive before the reply count only
//   if the reply says `recovered`; otherwise they are part of what is lost or comes again.
// - It takes the position of the reply as its own unless that says `recovered`; then what follows leads up to it.
// - It takes the position of each publication that it receives. Offsets may skip, so it compares none of them.
// - It sends a command only after the reply to the last one.
// For each topic it records where in the log of deliveries its present run without a gap began, and what it received since.
import { expect } from "bun:test";
import { json } from "../../../src/protocols/json";
import type { Position, Publication } from "../../../src/relay/contracts/publication";
import type { Connection } from "../../../src/relay/state/connection";
import { FakeSocket, LIMITS, type Simulation } from "./simulation";

/** What the relay's topics keep. */
export const HISTORY_RULE = { historySize: 8, historyTtlMs: 5_000 };

/** What was delivered, by topic and in order. */
export type DeliveryLog = ReadonlyMap<string, (Publication & { readonly at: number })[]>;

/** A stretch of a topic's publications of which the client must miss none. */
interface Run {
  /** The index in the log of the first delivery that belongs to it. */
  readonly start: number;
  readonly received: string[];
}

interface PublicationFrame extends Position {
  readonly topic: string;
  readonly data: string;
}

type Reply = Readonly<Record<string, Position & { recovered?: boolean }>>;

/** A socket that is read at once; while it is narrow, what was sent counts as buffered until it is drained. */
class NarrowSocket extends FakeSocket {
  isNarrow = false;
  bufferedBytes = 0;
  onFrame: (frame: string) => void = () => {};

  override send(frame: string): number {
    if (this.isNarrow) this.bufferedBytes += LIMITS.backpressureBytes / 8;
    this.onFrame(frame);
    return frame.length;
  }

  override getBufferedAmount(): number {
    return this.bufferedBytes;
  }
}

export class ModelClient {
  readonly user: string;
  readonly runs = new Map<string, Run>();
  connection: Connection | undefined;
  /** The topics of its last command. */
  chosen: readonly string[] = [];
  readonly #simulation: Simulation;
  readonly #log: DeliveryLog;
  readonly #positions = new Map<string, Position>();
  #socket: NarrowSocket | undefined;
  /** The positions at which it reconnected; undefined from the first reply on. */
  #resumesFrom: ReadonlyMap<string, Position> | undefined;
  #receivedBeforeReply: PublicationFrame[] = [];
  #awaitsReply = false;
  /** Whether everything that the history keeps must be recovered, because the command is sent while it is kept. */
  #mustRecoverWhatIsKept = false;
  /** The topics of this connection, as far as it knows. */
  #topics = new Set<string>();

  constructor(simulation: Simulation, log: DeliveryLog, user: string) {
    this.#simulation = simulation;
    this.#log = log;
    this.user = user;
  }

  /** Connects as a client that has never been connected. */
  connect(): void {
    this.drop();
    this.#positions.clear();
    this.runs.clear();
    this.#open(undefined);
  }

  /** Connects to resume: its first command will give its positions. */
  reconnect(): void {
    this.drop();
    this.#open(new Map(this.#positions));
  }

  /** Reconnects if the relay has closed its connection, and says whether it did. */
  reconnectIfClosed(): boolean {
    if (this.connection?.socket !== undefined) return false;
    this.reconnect();
    return true;
  }

  /** Reconnects and sends its first command in the same turn, and expects to recover everything that is kept. */
  resume(topics: readonly string[], expected: "what is kept" | "perhaps nothing"): void {
    this.reconnect();
    this.#mustRecoverWhatIsKept = expected === "what is kept";
    this.choose(topics);
    this.#mustRecoverWhatIsKept = false;
  }

  /** Its connection is lost; it keeps what it has received. */
  drop(): void {
    if (this.connection === undefined) return;
    this.#socket?.natives.clear();
    this.#simulation.relay.connections.closed(this.connection);
    this.connection = undefined;
  }

  choose(topics: readonly string[]): void {
    if (this.connection === undefined || this.#awaitsReply) return;
    this.#awaitsReply = true;
    this.chosen = topics;
    const positions = this.#resumesFrom ?? this.#positions;
    const since = Object.fromEntries([...positions].filter(([name]) => topics.includes(name)));
    this.#simulation.relay.receive(this.connection, JSON.stringify({ topics, since }));
  }

  pong(): void {
    if (this.connection !== undefined) this.#simulation.relay.pong(this.connection);
  }

  /** What is sent from now on is buffered until it is drained. */
  narrow(): void {
    if (this.#socket !== undefined) this.#socket.isNarrow = true;
  }

  widen(): void {
    if (this.#socket !== undefined) this.#socket.isNarrow = false;
  }

  drain(): void {
    if (this.#socket === undefined || this.connection === undefined) return;
    this.#socket.bufferedBytes = 0;
    this.#simulation.relay.drained(this.connection);
  }

  #open(resumesFrom: ReadonlyMap<string, Position> | undefined): void {
    const { relay, sockets } = this.#simulation;
    this.#resumesFrom = resumesFrom;
    this.#receivedBeforeReply = [];
    this.#topics = new Set();
    this.#awaitsReply = false;
    this.#socket = new NarrowSocket();
    this.#socket.onFrame = (text) => this.#onFrame(text);
    sockets.add(this.#socket);
    const id = this.#simulation.register(this.user);
    this.connection = relay.admission.admit(id, json) as Connection;
    relay.open(this.connection, this.#socket);
  }

  #onFrame(text: string): void {
    const frame = JSON.parse(text);
    if (frame.topic === undefined) this.#awaitsReply = false;
    if (frame.topics !== undefined) this.#onReply(frame.topics);
    else if (frame.topic === undefined) expect(frame.error.code).toBe("engine_unavailable");
    else if (this.#resumesFrom !== undefined) this.#receivedBeforeReply.push(frame);
    else this.#onPublication(frame);
  }

  #onReply(reply: Reply): void {
    for (const [topic, { offset, epoch, recovered }] of Object.entries(reply)) {
      const resumedFrom = this.#resumesFrom?.get(topic);
      if (recovered === false && resumedFrom !== undefined && this.#mustRecoverWhatIsKept) {
        expect(this.#isAllKeptAfter(topic, resumedFrom)).toBe(false);
      }
      if (recovered === true) {
        for (const frame of this.#receivedBeforeReply) {
          if (frame.topic === topic) this.#onPublication(frame);
        }
        continue;
      }
      this.#positions.set(topic, { offset, epoch });
      // A topic that it had left begins a new run too when it is chosen again without a position.
      if (recovered === false || !this.#topics.has(topic) || !this.runs.has(topic)) {
        const start = this.#indexAfter(topic, { offset, epoch });
        this.runs.set(topic, { start, received: [] });
      }
    }
    this.#resumesFrom = undefined;
    this.#receivedBeforeReply = [];
    this.#topics = new Set(Object.keys(reply));
  }

  #onPublication({ topic, data, offset, epoch }: PublicationFrame): void {
    this.#positions.set(topic, { offset, epoch });
    this.#topics.add(topic);
    const run = this.runs.get(topic);
    if (run !== undefined) run.received.push(data);
    else {
      // Before its first command: the run begins with this publication.
      const start = this.#indexAfter(topic, { offset, epoch }) - 1;
      this.runs.set(topic, { start, received: [data] });
    }
  }

  /** Whether the history still keeps everything after this position. */
  #isAllKeptAfter(topic: string, position: Position): boolean {
    const missed = (this.#log.get(topic) ?? []).slice(this.#indexAfter(topic, position));
    const areFresh = missed.every(({ at }) => {
      return at + HISTORY_RULE.historyTtlMs > this.#simulation.now;
    });
    const areOfThisEpoch = missed.every(({ epoch }) => epoch === position.epoch);
    return areFresh && areOfThisEpoch && missed.length <= HISTORY_RULE.historySize;
  }

  /** The index in the log of the first delivery after this position. */
  #indexAfter(topic: string, { offset, epoch }: Position): number {
    const log = this.#log.get(topic) ?? [];
    if (offset > 0) return log.findIndex((p) => p.epoch === epoch && p.offset === offset) + 1;
    const first = log.findIndex((p) => p.epoch === epoch);
    return first < 0 ? log.length : first;
  }
}
