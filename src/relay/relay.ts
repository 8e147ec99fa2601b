// The relay: its parts, wired together, and the life of a connection from its opening on. It has no network, clock or
// I/O of its own, so that a test can run it by itself; see contracts/options.ts.
import { Attendance } from "./attendance/attendance";
import { Backend } from "./backend";
import { Admission } from "./connecting/admission";
import { Heartbeat } from "./connecting/heartbeat";
import { RateLimit } from "./connecting/rate-limit";
import type { Engine, EngineEvents } from "./contracts/engine";
import { engineUnavailable, Refusal, shuttingDown } from "./contracts/errors";
import type { RelayOptions } from "./contracts/options";
import { CLOSES } from "./contracts/protocol";
import type { Position } from "./contracts/publication";
import type { Tally } from "./contracts/tally";
import type { Socket } from "./contracts/transport";
import { Directory } from "./directory";
import { Explainer } from "./explanations/explainer";
import { Receivers } from "./explanations/receivers";
import { Journal } from "./journal/journal";
import { Delivery } from "./publishing/delivery";
import { Publisher } from "./publishing/publisher";
import { Receipts } from "./publishing/receipts";
import { Recovery } from "./recovery/recovery";
import { Sessions } from "./sessions/sessions";
import { Cluster } from "./state/cluster";
import type { Connection } from "./state/connection";
import { Connections } from "./state/connections";
import { Waves } from "./state/fan-out/waves";
import { newSubscriptions } from "./state/subscriptions";
import { checkTopics } from "./text/checks";
import { Permissions } from "./topics/permissions";
import { Topics } from "./topics/topics";

/** The topics that a connection starts with, when its address says so. */
export interface FirstTopics {
  /** They have passed `checkTopics`. */
  readonly names?: readonly string[] | undefined;
  readonly since?: ReadonlyMap<string, Position> | undefined;
}

interface Counts {
  readonly connections: number;
  readonly registrations: number;
  readonly topics: number;
}

export class Relay {
  readonly #options: RelayOptions;
  readonly #engine: Engine;
  readonly #permissions: Permissions;
  readonly #attendance: Attendance | undefined;
  readonly #topics: Topics;
  readonly #recovery: Recovery;
  readonly #sessions: Sessions;
  readonly #heartbeat: Heartbeat;
  readonly #rateLimit: RateLimit;
  readonly #delivery: Delivery;
  #announcedShutdown = false;
  /** What the engine calls. */
  readonly events: EngineEvents = {
    deliver: (publication) => this.waves.deliver(publication),
    historyReset: (topic) => this.#recovery.historyReset(topic),
    registrationRevoked: (id, term) => this.admission.registrationRevoked(id, term),
    messageReceived: (message) => this.cluster.receive(message),
    groupChanged: (change) => {
      this.#topics.members.groupChanged(change);
      this.#attendance?.groupChanged(change);
    },
    groupsUnsure: () => {
      this.#topics.members.groupsUnsure();
      this.#attendance?.groupsUnsure();
    },
  };
  /** What the relay has counted. */
  readonly tally: Tally;
  /** The open connections: finding, sending, ending. */
  readonly connections: Connections;
  /** What this node and the others say to each other. */
  readonly cluster: Cluster;
  /** Who may connect. */
  readonly admission: Admission;
  /** What publishers ask for. */
  readonly publisher: Publisher;
  /** Which publications reached the user whom they are for. */
  readonly receipts: Receipts;
  /** What the engine delivers. */
  readonly waves: Waves;
  /** What the backend asks about connections and does to them. */
  readonly backend: Backend;
  /** Lists what there is on all nodes. */
  readonly directory: Directory;
  /** Says what became of a publication. */
  readonly receivers: Receivers;
  /** Says why something did not arrive. */
  readonly explainer: Explainer;

  constructor(options: RelayOptions) {
    const { engine, limits, tally } = options;
    this.tally = tally;
    this.#options = options;
    this.#engine = engine;
    this.waves = new Waves(options, {
      topic: (name) => this.#delivery.topic(name),
      deliver: (topic, publication) => this.#delivery.deliver(topic, publication),
      deliverAll: (departures) => this.#delivery.deliverAll(departures),
      receivers: (topic, publication) => this.#delivery.receivers(topic, publication),
    });
    const journal = new Journal(limits.journalMax, options.now);
    this.connections = new Connections(options, this.waves, journal);
    this.cluster = new Cluster(options);
    this.#permissions = new Permissions(options);
    const attendance = attendanceFor(options, this.connections);
    this.#attendance = attendance;
    this.#topics = new Topics(options, this.connections, this.cluster, this.waves, attendance);
    this.#heartbeat = new Heartbeat(limits.pingMs, limits.pongMs);
    this.#rateLimit = new RateLimit(limits, options.later, this.connections);
    this.admission = new Admission(options, this.connections, this.cluster);
    this.#recovery = new Recovery(
      options,
      this.connections,
      this.#rateLimit,
      this.#topics,
      this.#heartbeat,
      this.waves,
    );
    this.receipts = this.#newReceipts();
    this.#delivery = this.#newDelivery();
    this.publisher = new Publisher(options, this.connections);
    this.#sessions = new Sessions({
      options,
      connections: this.connections,
      rateLimit: this.#rateLimit,
      permissions: this.#permissions,
      topics: this.#topics,
      recovery: this.#recovery,
      publisher: this.publisher,
    });
    this.backend = new Backend(
      options,
      this.connections,
      this.#topics,
      this.#sessions,
      this.cluster,
    );
    this.directory = new Directory(options, this.#topics, this.connections, this.cluster);
    this.explainer = new Explainer(options, {
      connections: this.connections,
      topics: this.#topics,
      permissions: this.#permissions,
      cluster: this.cluster,
    });
    this.receivers = this.#newReceivers();
    this.#handleCommands();
  }

  #newReceipts(): Receipts {
    const { now } = this.#options;
    return new Receipts({
      now,
      connections: this.connections,
      topics: this.#topics,
      cluster: this.cluster,
      ping: (connection) => this.#heartbeat.ping(connection, now()),
    });
  }

  #newDelivery(): Delivery {
    const { receipts, connections } = this;
    return new Delivery(this.#options, connections, this.#topics, this.#recovery, receipts);
  }

  #newReceivers(): Receivers {
    const { connections, cluster, receipts } = this;
    return new Receivers(this.#options, { connections, topics: this.#topics, cluster, receipts });
  }

  /** A session over a stream may send its commands to any node. */
  #handleCommands(): void {
    this.cluster.handle("commands", ([secret, commands]: [string, string]) =>
      this.#receiveHere(secret, commands),
    );
    this.cluster.handle("binary commands", ([secret, base64]: [string, string]) =>
      this.#receiveHere(secret, Uint8Array.fromBase64(base64)),
    );
  }

  get counts(): Counts {
    return {
      connections: this.connections.open,
      registrations: this.#engine.registrations.waiting,
      topics: this.#topics.size,
    };
  }

  /** Whether other nodes that share its port do not serve yet. */
  get isStarting(): boolean {
    return this.#options.isStarting?.() === true;
  }

  /** Why the relay cannot serve: it is shutting down, or its engine is out of reach; undefined if it can. */
  unavailable(): Refusal | undefined {
    if (this.#announcedShutdown || this.connections.isShuttingDown) return shuttingDown();
    return this.#engine.healthy() ? undefined : engineUnavailable();
  }

  /** From now on the relay says that it cannot serve, so that load balancers choose another one; it still serves all the same. */
  announceShutdown(): void {
    this.#announcedShutdown = true;
  }

  /** From now on there are no new registrations, connections or publications. */
  beginShutdown(): void {
    this.connections.isShuttingDown = true;
    this.waves.flushAll();
  }

  /** An admitted connection is open. It replaces an older one of its registration. */
  open(connection: Connection, socket: Socket, first: FirstTopics = {}): void {
    connection.openedAt = this.#options.now();
    if (connection.protocol.kind === "session") this.#openSession(connection, socket);
    else if (this.#takeOver(connection, socket)) this.#openRegistered(connection, first);
  }

  /** Resolves when the connect command of a session that has just opened was answered; see Sessions. */
  answered(connection: Connection): Promise<Refusal | undefined> {
    return this.#sessions.answered(connection);
  }

  #openSession(connection: Connection, socket: Socket): void {
    connection.socket = socket;
    this.#beginHeartbeat(connection);
    this.#sessions.open(connection);
  }

  /** Puts a registered connection in the place of an older one of its id; false if it must not open. */
  #takeOver(connection: Connection, socket: Socket): boolean {
    const ended = this.admission.checkClaim(connection);
    if (ended !== undefined) {
      // Its registration was deleted, or claimed by a newer connection, since the handshake.
      socket.close(CLOSES[ended].code, CLOSES[ended].reason);
      return false;
    }
    const older = this.connections.byId(connection.id);
    if (older !== undefined) this.connections.end(older, "replaced");
    connection.socket = socket;
    this.connections.add(connection);
    return true;
  }

  #openRegistered(connection: Connection, { names, since = new Map() }: FirstTopics): void {
    const { protocol } = connection;
    const topics = new Set(names ?? this.initialTopics(connection));
    if (protocol.kind === "topics" && !protocol.canResume) {
      this.#beginHeartbeat(connection);
      this.#topics.replace(connection, topics);
      return;
    }
    const subscriptions = newSubscriptions();
    connection.subscriptions = subscriptions;
    this.#beginHeartbeat(connection);
    // The client of a socket may still say, with its first command, where it wants to go on.
    if (protocol.transport === "socket") this.#recovery.defer(connection, subscriptions, topics);
    else this.#recovery.chooseTopics(connection, topics, since);
  }

  /** Pings an admitted connection, which is not open yet, at least so often. */
  setHeartbeat(connection: Connection, ms: number): void {
    this.#heartbeat.setOwnInterval(connection, ms);
  }

  #beginHeartbeat(connection: Connection): void {
    this.#heartbeat.begin(connection, this.#options.now(), this.#options.random());
  }

  /** The topics of a connection before it chooses any. */
  initialTopics(connection: Connection): readonly string[] {
    return connection.initialTopics ?? this.#options.defaultTopics;
  }

  /** Counts an inbound frame or ping of so many bytes; false when the connection was ended for sending too many. */
  countFrame(connection: Connection, bytes: number): boolean {
    return this.#rateLimit.countFrame(connection, bytes);
  }

  /** One inbound frame, already counted by `countFrame`. A bad one is answered, and changes nothing. */
  receive(connection: Connection, frame: string | Uint8Array): void {
    const { protocol, socket } = connection;
    if (socket === undefined) return;
    if (protocol.kind === "session") {
      const commands = protocol.decode(frame);
      // Each command counts like a frame.
      if (!this.#rateLimit.count(connection, commands.length - 1)) return;
      // Any answer to a ping counts, however late.
      if (commands.some(({ kind }) => kind === "pong")) this.pong(connection);
      this.#sessions.receive(connection, commands, frame.length);
      return;
    }
    const command = protocol.decode(frame);
    if (command instanceof Refusal) {
      this.connections.send(connection, protocol.encodeError(this.tally.refused(command)));
      return;
    }
    if (command.kind === "ping") {
      this.connections.send(connection, protocol.pong ?? "");
      return;
    }
    const names = new Set(command.topics);
    const refusal = this.checkTopics(connection, names);
    if (refusal !== undefined) {
      this.connections.send(connection, protocol.encodeError(this.tally.refused(refusal)));
      return;
    }
    this.#rateLimit.countTopics(connection, names);
    this.#recovery.chooseTopics(connection, names, command.since);
  }

  /** Commands for a session over a stream on any node, by its secret; false if there is none. Rejects with EngineUnavailable. */
  async receiveFor(secret: string, commands: string | Uint8Array): Promise<boolean> {
    if (this.#receiveHere(secret, commands)) return true;
    // What nodes say to each other is JSON.
    const answers =
      typeof commands === "string"
        ? this.cluster.request<boolean>("commands", [secret, commands])
        : this.cluster.request<boolean>("binary commands", [secret, commands.toBase64()]);
    return (await answers).includes(true);
  }

  #receiveHere(secret: string, commands: string | Uint8Array): boolean {
    const connection = this.#sessions.bySecret(secret);
    if (connection === undefined) return false;
    if (this.countFrame(connection, commands.length)) this.receive(connection, commands);
    return true;
  }

  /**
   * Refuses (`invalid_topic`, `too_many_topics`, `permission_denied`) what a connection's client may not choose, and what
   * `checkRoom` does.
   */
  checkTopics(connection: Connection, names: ReadonlySet<string>): Refusal | undefined {
    return (
      checkTopics(names, this.#options.limits.connectionTopicsMax) ??
      this.#permissions.checkRegistered(connection, names) ??
      this.checkRoom(connection, names)
    );
  }

  /** Refuses (`too_many_relay_topics`, `too_many_subscriptions`) topics that there is no room for in this process. */
  checkRoom(connection: Connection, names: ReadonlySet<string>): Refusal | undefined {
    return this.#topics.checkRoom(connection, names);
  }

  /** The peer has answered a ping. */
  pong(connection: Connection): void {
    this.#recovery.pong(connection);
    this.#heartbeat.pong(connection, this.#options.now());
  }

  /** The peer has read what waited for it. */
  drained(connection: Connection): void {
    this.#heartbeat.progressed(connection, this.#options.now());
    this.#recovery.drained(connection);
    this.#sessions.drained(connection);
  }

  /** The rules of topics have changed. The engine must know already. */
  rulesChanged(): void {
    this.#topics.rulesChanged();
  }

  /** To be called often (several times in a ping interval): ends what is overdue. Cost: all connections. */
  sweep(): void {
    const now = this.#options.now();
    this.#engine.sweep();
    this.#attendance?.sweep();
    this.connections.claims.expire(now);
    this.#sessions.expire();
    this.admission.expire();
    this.#recovery.expire();
    this.#rateLimit.expire(now);
    for (const connection of this.connections.all()) {
      if (this.#heartbeat.isOverdue(connection, now)) this.connections.end(connection, "no_pong");
    }
  }
}

/** Undefined where nobody wants to know who comes and goes. */
function attendanceFor(options: RelayOptions, connections: Connections): Attendance | undefined {
  const { witness } = options;
  return witness && new Attendance({ ...options, witness }, connections);
}
