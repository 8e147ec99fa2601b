// The relay itself: who is registered, who is connected, who gets what. No network, no clock, no I/O:
// time, randomness, fan-out and the engine are handed in, so that a test can run it by itself.

import { Backend } from "./backend";
import { Admission } from "./connecting/admission";
import { Heartbeat } from "./connecting/heartbeat";
import { RateLimit } from "./connecting/rate-limit";
import type { TopicsCommand } from "./contracts/commands";
import type { AfterRelease } from "./contracts/engine";
import {
  CLOSES,
  type CloseName,
  engineUnavailable,
  Refusal,
  shuttingDown,
} from "./contracts/errors";
import type { Publication, Published } from "./contracts/publication";
import type { Beginning, Counts, RelayOptions } from "./options";
import type { PublishCommand } from "./publishing/acceptance";
import { Delivery } from "./publishing/delivery";
import { Publisher } from "./publishing/publisher";
import { Recovery } from "./recovery/recovery";
import { Sessions } from "./sessions/sessions";
import { Cluster } from "./state/cluster";
import type { Connection, Socket } from "./state/connection";
import { Connections } from "./state/registry";
import { newProgress } from "./state/subscription";
import { checkTopics } from "./text/checks";
import { Topics } from "./topics/topics";

export class Relay {
  readonly #options: RelayOptions;
  readonly #registry = new Connections();
  readonly #topics: Topics;
  readonly #heartbeat: Heartbeat;
  readonly #frames: RateLimit;
  readonly #recovery: Recovery;
  readonly #delivery: Delivery;
  readonly #intake: Publisher;
  readonly #sessions: Sessions;
  /** Who may come in. */
  readonly admission: Admission;
  /** What this node tells and asks the others. */
  readonly cluster: Cluster;
  /** What the backend asks of connections, and does to them. */
  readonly backend: Backend;
  #shuttingDown = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.cluster = new Cluster(options);
    this.#topics = new Topics({
      ...options,
      cluster: this.cluster,
      name: (connection) => this.#registry.name(connection, options.newId()),
    });
    this.#heartbeat = new Heartbeat(options.limits.pingMs, options.limits.pongMs);
    const end = (connection: Connection, why: CloseName) => this.end(connection, why);
    this.#frames = new RateLimit(options.limits.connectionFramesMax, end);
    this.#recovery = new Recovery({
      engine: options.engine,
      topics: this.#topics,
      backpressureBytes: options.limits.backpressureBytes,
      now: options.now,
      later: options.later,
      after: options.after,
      send: (connection, frame) => this.#delivery.send(connection, frame),
      end,
    });
    this.#delivery = new Delivery({
      topics: this.#topics,
      registry: this.#registry,
      recovery: this.#recovery,
      backpressureBytes: options.limits.backpressureBytes,
      end,
    });
    const intake = new Publisher(options.engine, options.limits);
    this.#intake = intake;
    this.#sessions = new Sessions({
      ...options,
      intake,
      registry: this.#registry,
      registrations: options.engine.registrations,
      recovery: this.#recovery,
      delivery: this.#delivery,
      presence: this.#topics.presence,
      end,
    });
    this.admission = new Admission({
      ...options,
      registry: this.#registry,
      registrations: options.engine.registrations,
      cluster: this.cluster,
      opened: () => this.#sessions.opened,
      isShuttingDown: () => this.#shuttingDown,
      end,
    });
    this.cluster.handle("commands", ([secret, commands]: [string, string]) =>
      this.#receiveFor(secret, commands),
    );
    this.backend = new Backend({
      ...options,
      intake,
      registry: this.#registry,
      topics: this.#topics,
      sessions: this.#sessions,
      cluster: this.cluster,
      isShuttingDown: () => this.#shuttingDown,
      end,
      closed: (connection) => this.closed(connection),
    });
  }

  get counts(): Counts {
    return {
      connections: this.#registry.size + this.#sessions.opened,
      registrations: this.#options.engine.registrations.waiting,
      topics: this.#topics.size,
    };
  }

  /** Why the relay cannot serve: it is shutting down, or its engine is out of reach; undefined if it can. */
  unavailable(): Refusal | undefined {
    if (this.#shuttingDown) return shuttingDown();
    return this.#options.engine.healthy() ? undefined : engineUnavailable();
  }

  /** From here on: no new registrations, connections or publications. */
  beginShutdown(): void {
    this.#shuttingDown = true;
  }

  connections(): IterableIterator<Connection> {
    return this.#registry.connections();
  }

  /** An admitted connection is open and replaces an older one of its id. The names in `beginning` passed `checkTopics`. */
  open(connection: Connection, socket: Socket, beginning: Beginning = {}): void {
    const now = this.#options.now();
    connection.openedAt = now;
    if (connection.protocol.session !== undefined) {
      connection.socket = socket;
      this.#heartbeat.begin(connection, now, this.#options.random());
      this.#sessions.open(connection);
      return;
    }
    const ended = this.#registry.takeClaim(connection);
    if (ended !== undefined) {
      // Between the handshake and now.
      socket.close(CLOSES[ended].code, CLOSES[ended].reason);
      return;
    }
    const replaced = this.#registry.connection(connection.id);
    if (replaced !== undefined) this.end(replaced, "replaced");
    connection.socket = socket;
    this.#registry.add(connection);
    const names = new Set(beginning.topics ?? this.initialTopics(connection));
    const { protocol } = connection;
    if (protocol.encodeSubscribed === undefined) {
      this.#heartbeat.begin(connection, now, this.#options.random());
      this.#topics.replace(connection, names);
      return;
    }
    connection.progress = newProgress();
    if (protocol.transport === "socket") this.#heartbeat.beginWithPing(connection, now);
    else this.#heartbeat.begin(connection, now, this.#options.random());
    if (protocol.transport === "socket")
      this.#recovery.hold(connection, connection.progress, names);
    else this.#recovery.choose(connection, names, beginning.since ?? new Map());
  }

  /** Its topics before it has chosen any. */
  initialTopics(connection: Connection): readonly string[] {
    return connection.initial ?? this.#options.defaultTopics;
  }

  /** One inbound frame, already counted by `countFrame`. A bad one is answered and changes nothing. */
  receive(connection: Connection, frame: string | Uint8Array): void {
    if (connection.socket === undefined) return;
    const { protocol } = connection;
    const decoded = protocol.decode(frame);
    if (!(decoded instanceof Refusal || "kind" in decoded)) {
      // Each command is what a frame is elsewhere.
      if (!this.#frames.add(connection, decoded.length - 1)) return;
      // Any answer to a ping counts, however late.
      if (decoded.some(({ kind }) => kind === "pong")) this.pong(connection);
      this.#sessions.obey(connection, decoded, frame.length);
      return;
    }
    const refusal = decoded instanceof Refusal ? decoded : this.#obey(connection, decoded);
    if (refusal !== undefined) this.#delivery.send(connection, protocol.encodeError(refusal));
  }

  /** Commands for a session, by its secret, on any node; false when there is none. Rejects with EngineUnavailable. */
  async receiveFor(secret: string, commands: string): Promise<boolean> {
    if (this.#receiveFor(secret, commands)) return true;
    return (await this.cluster.request<boolean>("commands", [secret, commands])).includes(true);
  }

  #receiveFor(secret: string, commands: string): boolean {
    const connection = this.#sessions.bySecret(secret);
    if (connection === undefined) return false;
    if (this.countFrame(connection)) this.receive(connection, commands);
    return true;
  }

  /** Counts an inbound frame or ping; false when the connection was ended for sending too many. */
  countFrame(connection: Connection): boolean {
    return this.#frames.add(connection);
  }

  pong(connection: Connection): void {
    this.#heartbeat.pong(connection, this.#options.now());
    this.#recovery.holding.pong(connection);
  }

  /** The peer has taken what waited for it. */
  drained(connection: Connection): void {
    this.#recovery.catchUp.drained(connection);
  }

  /**
   * Its socket has closed, and the registration ends with it; but when it was only `dropped`, and its protocol can
   * resume, the registration waits for it as after POST /register.
   */
  closed(connection: Connection, dropped = false): void {
    const canResume = connection.protocol.encodeSubscribed !== undefined;
    this.#closed(connection, dropped && canResume ? "wait" : "end");
  }

  /** All traces of a connection here, and what becomes of its registration. */
  #closed(connection: Connection, next: AfterRelease): void {
    connection.socket = undefined;
    const was = this.#registry.remove(connection);
    if (was) {
      this.#recovery.forget(connection);
      this.#topics.remove(connection);
      this.admission.release(connection, next);
    }
    this.#sessions.forget(connection);
  }

  /** Ends a connection: all traces first, then the socket. */
  end(connection: Connection, why: CloseName): void {
    const { socket, protocol } = connection;
    // After a restart all come back. (A replaced one's registration is the other's: to let it go does nothing.)
    if (why === "shutdown") this.#closed(connection, "wait");
    else this.closed(connection, CLOSES[why].comeBack);
    const { closes = CLOSES, session } = protocol;
    const { code, reason } = closes[why];
    const last = session?.encodeDisconnect(code, reason) ?? "";
    if (last !== "") socket?.send(last);
    socket?.close(code, reason);
  }

  /**
   * Publishes to a topic's subscribers, or to one user's among them. Rejects if the engine fails.
   * Cost: the topic's protocols plus native fan-out; for one user, that user's connections.
   */
  publish(command: PublishCommand): Published | Refusal | Promise<Published | Refusal> {
    if (this.#shuttingDown) return shuttingDown();
    return this.#intake.take(command);
  }

  /** The only fan-out; every engine calls it, for each topic in order. Answers how many it was sent to. */
  deliver(publication: Publication): number {
    return this.#delivery.deliver(publication);
  }

  /** What came since in a topic is lost: those in it that know their positions come back, and are told. */
  lost(topic: string): void {
    this.#recovery.lost(topic, () => this.#registry.connections());
  }

  /** To be called often (several times in a ping interval): ends what is overdue. Cost: all connections. */
  sweep(): void {
    const now = this.#options.now();
    this.#options.engine.sweep();
    this.#registry.sweep(now);
    this.#sessions.sweep();
    this.#recovery.catchUp.frames.clear();
    const newWindow = this.#frames.isOver(now);
    for (const connection of this.#registry.connections()) {
      if (newWindow) connection.frames = 0;
      if (this.#heartbeat.overdue(connection, now)) this.end(connection, "no_pong");
    }
  }

  /** Refuses (`invalid_topic`, `too_many_topics`, `permission_denied`) what a connection's client may not choose. */
  checkTopics(connection: Connection, names: ReadonlySet<string>): Refusal | undefined {
    const refusal = checkTopics(names, this.#options.limits.connectionTopicsMax);
    return refusal ?? this.#options.authority.checkRegistered(connection, names);
  }

  #obey(connection: Connection, command: TopicsCommand): Refusal | undefined {
    const names = new Set(command.topics);
    const refusal = this.checkTopics(connection, names);
    if (refusal !== undefined) return refusal;
    this.#frames.addTopics(connection, names);
    this.#recovery.choose(connection, names, command.since);
    return undefined;
  }
}
