// The relay itself: who is registered, who is connected, who gets what. No network, no clock, no I/O:
// time, randomness, fan-out and the engine are handed in, so that a test can run it by itself.
import { Connection, type Outlet, type Socket } from "./connection";
import type { Engine } from "./engine";
import { CLOSES, type CloseName, engineUnavailable, Refusal, shuttingDown } from "./errors";
import { Heartbeat } from "./heartbeat";
import type { Limits } from "./limits";
import type { Command, Protocol } from "./protocol";
import type { Publication, Published } from "./publication";
import { type Registration, Registry } from "./registry";
import { checkMessage, checkTopic, toUser } from "./text";
import { Topics } from "./topics";

/** What the relay needs from outside. */
export interface RelayOptions {
  readonly limits: Limits;
  /** Topics of a connection before it chooses; checked with `checkTopic`. */
  readonly defaultTopics: readonly string[];
  readonly engine: Engine;
  readonly outlet: Outlet;
  /** Monotonic, in ms: a change of the wall clock must end nothing. */
  readonly now: () => number;
  /** A new connection id: 32 lower-case hex digits of 128 random bits. */
  readonly newId: () => string;
  /** From 0 to 1; spreads pings. */
  readonly random: () => number;
}

export interface PublishCommand {
  readonly topic: string;
  readonly message: string;
  readonly user_id?: number | string;
}

export interface Counts {
  readonly connections: number;
  readonly registrations: number;
  readonly topics: number;
}

/** The length of the window in which inbound frames are counted. */
const FRAME_WINDOW_MS = 1_000;

export class Relay {
  readonly #options: RelayOptions;
  readonly #limits: Limits;
  readonly #registry = new Registry();
  readonly #topics: Topics;
  readonly #heartbeat: Heartbeat;
  #frameWindowEnds = 0;
  #shuttingDown = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#topics = new Topics(options.outlet);
    this.#heartbeat = new Heartbeat(options.limits.pingMs, options.limits.pongMs);
  }

  get counts(): Counts {
    return {
      connections: this.#registry.size,
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
  register(userId: number | string): Registration | Refusal {
    if (this.#shuttingDown) return shuttingDown();
    const user = toUser(userId);
    if (user instanceof Refusal) return user;
    const crowded = this.#userIsFull(user);
    if (crowded !== undefined) return crowded;
    if (this.#registry.waiting >= this.#limits.registrationsMax) this.#registry.expire(this.#now());
    if (this.#registry.waiting >= this.#limits.registrationsMax) {
      return new Refusal(
        "too_many_registrations",
        `${this.#limits.registrationsMax} registrations wait for their clients to connect (BATON_REGISTRATIONS_MAX); try again when some have connected or expired.`,
      );
    }
    const expiresAt = this.#now() + this.#limits.registrationTtlMs;
    const registration = { id: this.#options.newId(), user, expiresAt };
    this.#registry.wait(registration);
    return registration;
  }

  /** Ends a registration and closes its connection; false if the id is unknown. */
  unregister(id: string): boolean {
    const connection = this.#registry.connection(id);
    if (connection !== undefined) {
      this.end(connection, "deleted");
      return true;
    }
    const live = this.#registry.waitingFor(id, this.#now()) !== undefined;
    this.#registry.stopWaiting(id);
    return live;
  }

  /** Whether a client may connect with this id. The connection counts from `open` on. */
  admit(id: string, protocol: Protocol): Connection | Refusal {
    if (this.#shuttingDown) return shuttingDown();
    const replaced = this.#registry.connection(id);
    // The registry's own id: the caller's may be a part of a URL, which would be kept with it.
    if (replaced !== undefined) return new Connection(replaced.id, replaced.user, protocol);
    const registration = this.#registry.waitingFor(id, this.#now());
    if (registration === undefined) {
      return new Refusal(
        "unknown_connection",
        "No registration has this id; it may have expired, been deleted or been used up. POST /register gives a new one.",
      );
    }
    const crowded = this.#userIsFull(registration.user);
    if (crowded !== undefined) return crowded;
    if (this.#registry.size >= this.#limits.connectionsMax) {
      return new Refusal(
        "too_many_connections",
        `The relay holds as many connections as it may, ${this.#limits.connectionsMax} (BATON_CONNECTIONS_MAX); try again later.`,
      );
    }
    return new Connection(registration.id, registration.user, protocol);
  }

  /** The socket of an admitted connection is open. It replaces an older connection of the same id. */
  open(connection: Connection, socket: Socket): void {
    const replaced = this.#registry.connection(connection.id);
    const registration = this.#registry.waitingFor(connection.id, this.#now());
    if (replaced === undefined && registration === undefined) {
      // Deleted or expired between the handshake and now.
      socket.close(CLOSES.deleted.code, CLOSES.deleted.reason);
      return;
    }
    if (replaced !== undefined) this.end(replaced, "replaced");
    connection.socket = socket;
    this.#registry.add(connection);
    this.#heartbeat.begin(connection, this.#now(), this.#options.random());
    this.#topics.replace(connection, this.#options.defaultTopics);
  }

  /** One inbound frame, already counted by `countFrame`. A bad one is answered and changes nothing. */
  receive(connection: Connection, frame: string | Uint8Array): void {
    if (connection.socket === undefined) return;
    const command = connection.protocol.decode(frame);
    const refusal = command instanceof Refusal ? command : this.#obey(connection, command);
    if (refusal !== undefined) this.#send(connection, connection.protocol.encodeError(refusal));
  }

  /** Counts an inbound frame or ping; false when the connection was ended for sending too many. */
  countFrame(connection: Connection): boolean {
    if (++connection.frames <= this.#limits.connectionFramesMax) return true;
    this.end(connection, "too_many_frames");
    return false;
  }

  pong(connection: Connection): void {
    this.#heartbeat.pong(connection, this.#now());
  }

  /** Its socket has closed, for whatever reason: the registration ends with it. */
  closed(connection: Connection): void {
    connection.socket = undefined;
    if (this.#registry.remove(connection)) this.#topics.remove(connection);
  }

  /** Ends a connection and its registration: all traces first, then the socket. */
  end(connection: Connection, why: CloseName): void {
    const socket = connection.socket;
    this.closed(connection);
    socket?.close(CLOSES[why].code, CLOSES[why].reason);
  }

  /**
   * Publishes to a topic's subscribers, or to one user's among them. Rejects if the engine fails.
   * Cost: the topic's protocols plus native fan-out; for one user, that user's connections.
   */
  publish(command: PublishCommand): Published | Refusal | Promise<Published> {
    if (this.#shuttingDown) return shuttingDown();
    const publication = this.#accept(command);
    if (publication instanceof Refusal) return publication;
    return this.#options.engine.publish(publication);
  }

  /** The only fan-out; every engine calls it, for each topic in order. Answers how many it was sent to. */
  deliver(publication: Publication): number {
    const { user } = publication;
    if (user === undefined) return this.#topics.publish(publication);
    const topic = this.#topics.get(publication.topic);
    if (topic === undefined) return 0;
    let delivered = 0;
    let protocol: Protocol | undefined;
    let frame = "";
    // A copy: a send can close a slow consumer, which takes it out of the list.
    for (const connection of this.#registry.ofUser(user).slice()) {
      if (connection.socket === undefined || !connection.topics.includes(topic)) continue;
      if (connection.protocol !== protocol) {
        protocol = connection.protocol;
        frame = protocol.encodePublication(publication);
      }
      if (this.#send(connection, frame)) delivered++;
    }
    return delivered;
  }

  /** To be called often (several times in a ping interval): ends what is overdue. Cost: all connections. */
  sweep(): void {
    const now = this.#now();
    this.#registry.expire(now);
    const newWindow = now >= this.#frameWindowEnds;
    if (newWindow) this.#frameWindowEnds = now + FRAME_WINDOW_MS;
    for (const connection of this.#registry.connections()) {
      if (newWindow) connection.frames = 0;
      if (this.#heartbeat.overdue(connection, now)) this.end(connection, "no_pong");
    }
  }

  /** To one connection; false when that was too much for it and it was ended as a slow consumer. */
  #send(connection: Connection, frame: string): boolean {
    const { socket } = connection;
    if (socket === undefined) return false;
    // Looked at first: over its limit Bun cuts the socket off, and what waits there is lost.
    const fits = socket.getBufferedAmount() + frame.length <= this.#limits.backpressureBytes;
    if (fits && socket.send(frame) !== 0) return true;
    this.end(connection, "slow_consumer");
    return false;
  }

  #obey(connection: Connection, command: Command): Refusal | undefined {
    const names = new Set(command.topics);
    const { connectionTopicsMax } = this.#limits;
    if (names.size > connectionTopicsMax) {
      return new Refusal(
        "too_many_topics",
        `A connection may have at most ${connectionTopicsMax} topics (BATON_CONNECTION_TOPICS_MAX); it keeps those it had.`,
      );
    }
    for (const name of names) {
      const refusal = checkTopic(name);
      if (refusal !== undefined) return refusal;
    }
    this.#topics.replace(connection, names);
    return undefined;
  }

  #accept(command: PublishCommand): Publication | Refusal {
    const { topic, message, user_id } = command;
    const refusal = checkTopic(topic) ?? checkMessage(message, this.#limits.messageBytes);
    if (refusal !== undefined) return refusal;
    if (user_id === undefined) return { topic, data: message };
    const user = toUser(user_id);
    return user instanceof Refusal ? user : { topic, data: message, user };
  }

  #userIsFull(user: string): Refusal | undefined {
    const { userConnectionsMax } = this.#limits;
    if (this.#registry.ofUser(user).length < userConnectionsMax) return undefined;
    return new Refusal(
      "too_many_user_connections",
      `This user has ${userConnectionsMax} open connections, the most allowed (BATON_USER_CONNECTIONS_MAX); close or DELETE one first.`,
    );
  }

  #now(): number {
    return this.#options.now();
  }
}
