// The relay itself: who is registered, who is connected, who gets what. No network, no clock, no I/O:
// time, randomness, fan-out and the engine are handed in, so that a test can run it by itself.

import { accept, acceptAll, type PublishCommand } from "./acceptance";
import { Admission } from "./admission";
import { Backend } from "./backend";
import type { TopicsCommand } from "./command";
import type { Connection, Socket } from "./connection";
import { Delivery } from "./delivery";
import { newProgress } from "./entrance";
import { CLOSES, type CloseName, engineUnavailable, Refusal, shuttingDown } from "./errors";
import { Heartbeat } from "./heartbeat";
import type { Limits } from "./limits";
import type { Protocol } from "./protocol";
import type { Publication, Published } from "./publication";
import { Recovery } from "./recovery";
import { type Registration, Registry } from "./registry";
import type { Beginning, Counts, RelayOptions } from "./relay-options";
import { Sessions } from "./sessions";
import { checkTopics } from "./text";
import { Topics } from "./topics";

/** The length of the window in which inbound frames are counted. */
const FRAME_WINDOW_MS = 1_000;

export class Relay {
  readonly #options: RelayOptions;
  readonly #limits: Limits;
  readonly #registry = new Registry();
  readonly #admission: Admission;
  readonly #topics: Topics;
  readonly #heartbeat: Heartbeat;
  readonly #recovery: Recovery;
  readonly #delivery: Delivery;
  readonly #sessions: Sessions;
  /** What the backend asks of connections, and does to them. */
  readonly backend: Backend;
  #frameWindowEnds = 0;
  #shuttingDown = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#admission = new Admission(this.#registry, options);
    this.#topics = new Topics(options.outlet, options.rules, (connection) =>
      this.#registry.name(connection, options.newId()),
    );
    this.#heartbeat = new Heartbeat(options.limits.pingMs, options.limits.pongMs);
    const end = (connection: Connection, why: CloseName) => this.end(connection, why);
    this.#recovery = new Recovery({
      engine: options.engine,
      topics: this.#topics,
      backpressureBytes: options.limits.backpressureBytes,
      now: options.now,
      later: options.later,
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
    this.#sessions = new Sessions({
      ...options,
      registry: this.#registry,
      recovery: this.#recovery,
      delivery: this.#delivery,
      presence: this.#topics.presence,
      end,
    });
    this.backend = new Backend({
      ...options,
      registry: this.#registry,
      topics: this.#topics,
      sessions: this.#sessions,
      end,
      closed: (connection) => this.closed(connection),
    });
  }

  get counts(): Counts {
    return {
      connections: this.#registry.size + this.#sessions.opened,
      registrations: this.#registry.waiting,
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

  /** A new registration, to be connected to within the TTL. */
  register(userId: number | string, topics?: readonly string[]): Registration | Refusal {
    return this.#shuttingDown ? shuttingDown() : this.#admission.register(userId, topics);
  }

  /** Ends a registration and closes its connection; false if the id is unknown. */
  unregister(id: string): boolean {
    const connection = this.#registry.connection(id);
    if (connection === undefined) return this.#admission.unregister(id);
    this.end(connection, "deleted");
    return true;
  }

  /** Whether a client may connect with this id. The connection counts from `open` on. */
  admit(id: string, protocol: Protocol): Connection | Refusal {
    return this.#shuttingDown ? shuttingDown() : this.#admission.admit(id, protocol);
  }

  /** A connection for a client that will say who it is; refused when there are too many. */
  admitSession(protocol: Protocol): Connection | Refusal {
    if (this.#shuttingDown) return shuttingDown();
    return this.#admission.admitSession(protocol, this.#sessions.opened);
  }

  /** A session by its secret; undefined when there is none. */
  sessionOf(secret: string): Connection | undefined {
    return this.#sessions.bySecret(secret);
  }

  /**
   * The socket of an admitted connection is open. It replaces an older connection of the same id. The names in
   * `beginning` have passed `checkTopics`.
   */
  open(connection: Connection, socket: Socket, beginning: Beginning = {}): void {
    const now = this.#options.now();
    connection.openedAt = now;
    if (connection.protocol.session !== undefined) {
      connection.socket = socket;
      this.#heartbeat.begin(connection, now, this.#options.random());
      this.#sessions.open(connection);
      return;
    }
    const replaced = this.#registry.connection(connection.id);
    const registration = this.#registry.waitingFor(connection.id, now);
    if (replaced === undefined && registration === undefined) {
      // Deleted or expired between the handshake and now.
      socket.close(CLOSES.deleted.code, CLOSES.deleted.reason);
      return;
    }
    if (replaced !== undefined) this.end(replaced, "replaced");
    connection.socket = socket;
    this.#registry.add(connection);
    const names = new Set(beginning.topics ?? this.initialTopics(connection));
    const { protocol } = connection;
    if (protocol.encodeEntered === undefined) {
      this.#heartbeat.begin(connection, now, this.#options.random());
      this.#topics.replace(connection, names);
      return;
    }
    connection.progress = newProgress();
    if (protocol.carrier === "socket") this.#heartbeat.beginWithPing(connection, now);
    else this.#heartbeat.begin(connection, now, this.#options.random());
    if (protocol.carrier === "socket") this.#recovery.hold(connection, connection.progress, names);
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
      // Any answer to a ping counts, however late.
      if (decoded.some(({ kind }) => kind === "pong")) this.pong(connection);
      this.#sessions.obey(connection, decoded);
      return;
    }
    const refusal = decoded instanceof Refusal ? decoded : this.#obey(connection, decoded);
    if (refusal !== undefined) this.#delivery.send(connection, protocol.encodeError(refusal));
  }

  /** Counts an inbound frame or ping; false when the connection was ended for sending too many. */
  countFrame(connection: Connection): boolean {
    if (++connection.frames <= this.#limits.connectionFramesMax) return true;
    this.end(connection, "too_many_frames");
    return false;
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
   * Its socket has closed and the registration ends with it; but when it was only `dropped`, and its protocol can
   * resume, the registration waits for it as after POST /register.
   */
  closed(connection: Connection, dropped = false): void {
    connection.socket = undefined;
    const was = this.#registry.remove(connection);
    if (was) {
      this.#recovery.forget(connection);
      this.#topics.remove(connection);
    }
    this.#sessions.forget(connection);
    const { id, user, initial, protocol } = connection;
    if (!was || !dropped || protocol.encodeEntered === undefined || this.#shuttingDown) return;
    this.#admission.readmit(id, user, initial);
  }

  /** Ends a connection: all traces first, then the socket. */
  end(connection: Connection, why: CloseName): void {
    const socket = connection.socket;
    this.closed(connection, CLOSES[why].comeBack);
    const { closes = CLOSES, session } = connection.protocol;
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
    const publication = accept(command, this.#limits.messageBytes);
    if (publication instanceof Refusal) return publication;
    return this.#options.engine.publish(publication, command.idempotency_key);
  }

  /** The same to each of many topics, in their order. */
  broadcast(topics: readonly string[], command: Omit<PublishCommand, "topic">) {
    if (this.#shuttingDown) return topics.map(shuttingDown);
    const { engine } = this.#options;
    return acceptAll(topics, command, this.#limits.messageBytes).map((publication) =>
      publication instanceof Refusal
        ? publication
        : engine.publish(publication, command.idempotency_key),
    );
  }

  /** The only fan-out; every engine calls it, for each topic in order. Answers how many it was sent to. */
  deliver(publication: Publication): number {
    return this.#delivery.deliver(publication);
  }

  /** To be called often (several times in a ping interval): ends what is overdue. Cost: all connections. */
  sweep(): void {
    const now = this.#options.now();
    this.#registry.expire(now);
    this.#options.engine.sweep();
    this.#sessions.sweep();
    this.#recovery.catchUp.frames.clear();
    const newWindow = now >= this.#frameWindowEnds;
    if (newWindow) this.#frameWindowEnds = now + FRAME_WINDOW_MS;
    for (const connection of this.#registry.connections()) {
      if (newWindow) connection.frames = 0;
      if (this.#heartbeat.overdue(connection, now)) this.end(connection, "no_pong");
    }
  }

  /** To be called every few hundred milliseconds: lets in whose client keeps silent. Cost: those that wait. */
  release(): void {
    this.#recovery.holding.release();
  }

  /** Refuses (`invalid_topic`, `too_many_topics`, `permission_denied`) what a connection's client may not choose. */
  checkTopics(connection: Connection, names: ReadonlySet<string>): Refusal | undefined {
    const refusal = checkTopics(names, this.#limits.connectionTopicsMax);
    return refusal ?? this.#options.authority.checkRegistered(connection, names);
  }

  #obey(connection: Connection, command: TopicsCommand): Refusal | undefined {
    const names = new Set(command.topics);
    const refusal = this.checkTopics(connection, names);
    if (refusal === undefined) this.#recovery.choose(connection, names, command.since);
    return refusal;
  }
}
