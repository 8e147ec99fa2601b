// Obeys the commands of sessions, one after the other: who they are, topics one by one, publishing, presence, history.
import { accept } from "./acceptance";
import type { Authority, ConnectionClaims, TokenProblem, TopicClaims } from "./authority";
import type { Entered, Reply, SessionCommand, Subscribed } from "./command";
import type { Connection } from "./connection";
import type { Delivery } from "./delivery";
import { type Engine, EngineUnavailable, type Page } from "./engine";
import { newProgress } from "./entrance";
import { type CloseName, engineUnavailable, Refusal } from "./errors";
import type { Limits } from "./limits";
import type { Presence } from "./presence";
import type { Position } from "./publication";
import type { Recovery } from "./recovery";
import type { Registry } from "./registry";
import type { Action, TopicRules } from "./rules";
import { infoOf, type Session } from "./session";
import { checkTopic } from "./text";
import type { Topics } from "./topics";

/** How long a client may take to say who it is. */
const STALE_MS = 10_000;

/** How long after a token's end a new one may still come. */
const GRACE_MS = 25_000;

/** Commands that may wait for one before them: a client with all its topics sends them together. */
const QUEUE_MAX = 1_024;

/** Publications in one reply. */
const HISTORY_MAX = 300;

export interface SessionsOptions {
  readonly authority: Authority;
  readonly rules: TopicRules;
  readonly limits: Limits;
  readonly engine: Engine;
  readonly registry: Registry;
  readonly topics: Topics;
  readonly recovery: Recovery;
  readonly delivery: Delivery;
  readonly presence: Presence;
  /** Whether each known user has a topic of its own, "#" before its name. */
  readonly personalTopics: boolean;
  /** What a client is told of this relay. */
  readonly version: string;
  readonly node: string;
  readonly now: () => number;
  readonly newId: () => string;
  readonly end: (connection: Connection, why: CloseName) => void;
}

type Of<Kind> = Extract<SessionCommand, { kind: Kind }>;

export class Sessions {
  readonly #options: SessionsOptions;
  /** Those that have not said who they are: not in the registry yet. */
  readonly #opened = new Set<Connection>();
  /** Those whose commands come by another way than their own. */
  readonly #secrets = new Map<string, Connection>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** Connections that have not said who they are. */
  get opened(): number {
    return this.#opened.size;
  }

  /** By the secret that its reply to connect told it. */
  bySecret(secret: string): Connection | undefined {
    return this.#secrets.get(secret);
  }

  open(connection: Connection): void {
    this.#opened.add(connection);
    connection.progress = newProgress();
    const secret = this.#options.newId();
    if (connection.protocol.carrier === "stream") this.#secrets.set(secret, connection);
    connection.session = {
      secret,
      state: "opened",
      deadline: this.#options.now() + STALE_MS,
      info: undefined,
      topics: new Map(),
      busy: false,
      queue: [],
    };
  }

  /** Obeys the commands of a frame, after those that came before. */
  obey(connection: Connection, commands: readonly SessionCommand[]): void {
    const { session } = connection;
    if (session === undefined) return;
    if (session.busy) {
      if (session.queue.length + commands.length > QUEUE_MAX) {
        this.#options.end(connection, "too_many_frames");
      } else session.queue.push(...commands);
      return;
    }
    for (const [i, command] of commands.entries()) {
      if (connection.socket === undefined) return;
      const work = this.#obey(connection, session, command);
      if (work === undefined) continue;
      session.busy = true;
      session.queue = commands.slice(i + 1);
      work.then(
        () => this.#goOn(connection, session),
        (error) => {
          if (error instanceof EngineUnavailable && "id" in command) {
            this.#refuse(connection, command.id, engineUnavailable());
            this.#goOn(connection, session);
            return;
          }
          this.#options.end(connection, "internal");
          throw error;
        },
      );
      return;
    }
  }

  /** The connection has ended: those in its topics are told. */
  forget(connection: Connection): void {
    const { session } = connection;
    if (session === undefined) return;
    this.#opened.delete(connection);
    this.#secrets.delete(session.secret);
    for (const topic of session.topics.keys()) this.#left(connection, topic);
    connection.session = undefined;
  }

  /** Ends connections and topics whose time is over. Cost: all sessions, and their topics with tokens. */
  sweep(): void {
    const now = this.#options.now();
    for (const connection of this.#opened) {
      if ((connection.session?.deadline ?? 0) <= now) this.#options.end(connection, "stale");
    }
    for (const connection of this.#options.registry.connections()) {
      const { session } = connection;
      if (session === undefined) continue;
      if (session.deadline + GRACE_MS <= now) this.#options.end(connection, "expired");
      else this.#sweepTopics(connection, session, now);
    }
  }

  /** Takes a session out of a topic and tells it; false when it has not the topic. */
  takeOut(connection: Connection, topic: string, code: number, reason: string): boolean {
    if (!this.#leave(connection, topic)) return false;
    const push = { kind: "unsubscribed", topic, code, reason } as const;
    const frame = connection.protocol.session?.encodePush(push) ?? "";
    this.#options.delivery.send(connection, frame);
    return true;
  }

  /** Brings a session into a topic on the relay's own account, and tells it. */
  bringIn(connection: Connection, topic: string): Promise<void> | undefined {
    const { session, protocol } = connection;
    if (session === undefined || session.topics.has(topic)) return undefined;
    return this.#enter(connection, session, [topic], new Map(), (found) => {
      const subscribed = { ...(found[0] as Entered), ttl: undefined };
      return protocol.session?.encodePush({ kind: "subscribed", subscribed });
    });
  }

  /** Its token ends in so many seconds; undefined or 0: never. */
  prolong({ session }: Connection, seconds: number | undefined): void {
    if (session !== undefined) session.deadline = this.#end(seconds || undefined);
  }

  /** When something ends that lives so many seconds. */
  #end(seconds: number | undefined): number {
    if (seconds === undefined) return Number.POSITIVE_INFINITY;
    return this.#options.now() + seconds * 1000;
  }

  #goOn(connection: Connection, session: Session): void {
    session.busy = false;
    this.obey(connection, session.queue.splice(0));
  }

  #sweepTopics(connection: Connection, session: Session, now: number): void {
    for (const [topic, { expiresAt }] of session.topics) {
      if (expiresAt + GRACE_MS > now) continue;
      this.takeOut(connection, topic, 2501, "subscription expired");
      if (connection.socket === undefined) return;
    }
  }

  #obey(
    connection: Connection,
    session: Session,
    command: SessionCommand,
  ): Promise<void> | undefined {
    if (command.kind === "pong") return undefined;
    if (session.state === "refused") return undefined;
    if (command.kind === "connect") {
      if (session.state === "opened") return this.#connect(connection, session, command);
      this.#options.end(connection, "violation");
      return undefined;
    }
    if (session.state === "opened" || command.kind === "violation") {
      this.#options.end(connection, "violation");
      return undefined;
    }
    switch (command.kind) {
      case "subscribe":
        return this.#subscribe(connection, session, command);
      case "unsubscribe":
        this.#leave(connection, command.topic);
        this.#reply(connection, { kind: "done", id: command.id, of: "unsubscribe" });
        return undefined;
      case "publish":
        return this.#publish(connection, command);
      case "presence":
      case "presenceCounts":
        this.#presence(connection, command);
        return undefined;
      case "history":
        return this.#history(connection, command);
      case "refresh":
        return this.#refresh(connection, session, command);
      case "refreshTopic":
        return this.#refreshTopic(connection, session, command);
      case "call":
        this.#refuse(connection, command.id, notAvailable());
        return undefined;
      case "send":
        this.#options.end(connection, "not_available");
        return undefined;
    }
  }

  #connect(
    connection: Connection,
    session: Session,
    command: Of<"connect">,
  ): Promise<void> | undefined {
    const claims = this.#options.authority.connect(command.token);
    const goOn = (found: ConnectionClaims | TokenProblem | undefined) => {
      if (connection.session !== session) return undefined;
      if (found === undefined) this.#options.end(connection, "violation");
      else if (found === "invalid") this.#options.end(connection, "invalid_token");
      else if (found === "expired") {
        session.state = "refused";
        this.#refuse(connection, command.id, tokenExpired());
      } else return this.#connected(connection, session, command, found);
      return undefined;
    };
    return claims instanceof Promise ? claims.then(goOn) : goOn(claims);
  }

  #connected(
    connection: Connection,
    session: Session,
    { id, topics: asked }: Of<"connect">,
    claims: ConnectionClaims,
  ): Promise<void> | undefined {
    const { limits, registry } = this.#options;
    const { user } = claims;
    const crowded =
      registry.size >= limits.connectionsMax ||
      (user !== "" && registry.ofUser(user).length >= limits.userConnectionsMax);
    if (crowded) {
      this.#options.end(connection, "too_many_connections");
      return undefined;
    }
    connection.user = user;
    session.state = "connected";
    session.info = claims.info;
    session.deadline = this.#end(claims.ttl);
    this.#opened.delete(connection);
    registry.add(connection);

    const names = new Set(claims.topics.keys());
    if (this.#options.personalTopics && user !== "") names.add(`#${user}`);
    for (const name of asked.keys()) {
      if (this.#mayHave(connection, name) === undefined) names.add(name);
    }
    if (names.size > limits.connectionTopicsMax) {
      this.#options.end(connection, "too_many_topics");
      return undefined;
    }
    const since = new Map<string, Position>();
    for (const name of names) {
      const position = asked.get(name)?.since;
      if (position !== undefined) since.set(name, position);
      const topicInfo = claims.topics.get(name)?.info;
      session.topics.set(name, { info: topicInfo, expiresAt: Number.POSITIVE_INFINITY });
    }
    return this.#enter(connection, session, [...names], since, (found) =>
      connection.protocol.session?.encodeReply({
        kind: "connected",
        id,
        client: connection.id,
        version: this.#options.version,
        ttl: claims.ttl,
        pingMs: limits.pingMs,
        topics: found.map((entered) => {
          const data = claims.topics.get(entered.topic)?.data;
          return { ...entered, ttl: undefined, data };
        }),
        ...(connection.protocol.carrier === "stream" && {
          session: session.secret,
          node: this.#options.node,
        }),
      }),
    );
  }

  #subscribe(
    connection: Connection,
    session: Session,
    command: Of<"subscribe">,
  ): Promise<void> | undefined {
    const { id, topic, token, resumption } = command;
    const refusal = checkTopic(topic) ?? this.#room(session, topic);
    if (refusal !== undefined) {
      this.#refuse(connection, id, refusal);
      return undefined;
    }
    const goOn = (claims: TopicClaims | TokenProblem | undefined) => {
      if (connection.session !== session) return undefined;
      const problem = this.#problem(connection, topic, claims);
      if (problem === "ended") return undefined;
      if (problem !== undefined) {
        this.#refuse(connection, id, problem);
        return undefined;
      }
      const { ttl, info, data } = claims as TopicClaims;
      const expiresAt = this.#end(ttl);
      session.topics.set(topic, { info, expiresAt });
      const since = new Map(resumption.since && [[topic, resumption.since]]);
      return this.#enter(connection, session, [topic], since, ([entered]) => {
        const subscribed: Subscribed = { ...(entered as Entered), ttl, data };
        if (!(resumption.orNothing && subscribed.recovered === false)) {
          return this.#encode(connection, { kind: "subscribed", id, subscribed });
        }
        session.topics.delete(topic);
        this.#refuse(connection, id, new Refusal("unrecoverable_position", "Not all is kept."));
        return undefined;
      });
    };
    const { tokens } = this.#options.authority;
    if (tokens !== undefined && token !== "") return tokens.topic(token).then(goOn);
    const denied = this.#options.authority.check(connection, "subscribe", topic);
    if (denied === undefined) return goOn({ user: connection.user, topic, ttl: undefined });
    this.#refuse(connection, id, denied);
    return undefined;
  }

  /** What is wrong with a token for a topic: a refusal, or "ended" when it ended the connection. */
  #problem(
    connection: Connection,
    topic: string,
    claims: TopicClaims | TokenProblem | undefined,
  ): Refusal | "ended" | undefined {
    if (claims === "expired") return tokenExpired();
    if (claims === undefined || claims === "invalid") {
      return new Refusal("permission_denied", "The token for this topic is not valid.");
    }
    const { user, client = connection.id } = claims;
    if (claims.topic === topic && user === connection.user && client === connection.id) {
      return undefined;
    }
    this.#options.end(connection, "invalid_token");
    return "ended";
  }

  #room(session: Session, topic: string): Refusal | undefined {
    if (session.topics.has(topic)) {
      return new Refusal("already_subscribed", "The connection has this topic already.");
    }
    const { connectionTopicsMax } = this.#options.limits;
    if (session.topics.size < connectionTopicsMax) return undefined;
    return new Refusal("too_many_topics", `At most ${connectionTopicsMax} topics.`);
  }

  #mayHave(connection: Connection, topic: string): Refusal | undefined {
    return checkTopic(topic) ?? this.#options.authority.check(connection, "subscribe", topic);
  }

  /** Into topics that stand in `session.topics`; then the others in them are told. */
  #enter(
    connection: Connection,
    session: Session,
    names: readonly string[],
    since: ReadonlyMap<string, Position>,
    encode: (entered: readonly Entered[]) => string | undefined,
  ): Promise<void> | undefined {
    const { progress } = connection;
    if (progress === undefined) return undefined;
    let isIn = false;
    for (const name of names) {
      if (!session.topics.has(name)) {
        session.topics.set(name, { info: undefined, expiresAt: Number.POSITIVE_INFINITY });
      }
    }
    const work = this.#options.recovery.enter(connection, progress, names, since, {
      only: false,
      reply: (entered) => {
        const frame = encode(entered);
        isIn = frame !== undefined;
        return frame;
      },
      failed: () => {
        for (const name of names) session.topics.delete(name);
        return connection.protocol.encodeError(engineUnavailable());
      },
    });
    const joined = () => {
      if (!isIn || connection.session !== session) return;
      for (const name of names) this.#joined(connection, name);
    };
    if (work !== undefined) return work.then(joined);
    joined();
    return undefined;
  }

  #joined(connection: Connection, topic: string): void {
    const rule = this.#options.rules.of(topic);
    if (!rule.presence && !rule.joinLeave) return;
    const info = infoOf(connection, topic);
    if (rule.presence) this.#options.presence.add(topic, connection, info);
    if (rule.joinLeave) this.#options.topics.push({ kind: "join", topic, info }, topic);
  }

  #leave(connection: Connection, topic: string): boolean {
    const { session, progress } = connection;
    if (session === undefined || progress === undefined || !session.topics.has(topic)) return false;
    this.#options.recovery.leave(connection, progress, topic);
    this.#left(connection, topic);
    session.topics.delete(topic);
    return true;
  }

  #left(connection: Connection, topic: string): void {
    const rule = this.#options.rules.of(topic);
    if (rule.presence) this.#options.presence.remove(topic, connection);
    if (!rule.joinLeave) return;
    const info = infoOf(connection, topic);
    this.#options.topics.push({ kind: "leave", topic, info }, topic);
  }

  #publish(connection: Connection, { id, topic, data }: Of<"publish">): Promise<void> | undefined {
    const publication = accept({ topic, data }, this.#options.limits.messageBytes);
    const refusal =
      publication instanceof Refusal
        ? publication
        : this.#options.authority.check(connection, "publish", topic);
    if (refusal !== undefined || publication instanceof Refusal) {
      this.#refuse(connection, id, refusal as Refusal);
      return undefined;
    }
    const info = infoOf(connection, topic);
    const published = this.#options.engine.publish({ ...publication, info });
    const done = (answer: unknown) => {
      if (answer instanceof Refusal) this.#refuse(connection, id, answer);
      else this.#reply(connection, { kind: "done", id, of: "publish" });
    };
    if (published instanceof Promise) return published.then(done);
    done(published);
    return undefined;
  }

  #presence(connection: Connection, { kind, id, topic }: Of<"presence" | "presenceCounts">): void {
    const refusal =
      checkTopic(topic) ??
      (this.#options.rules.of(topic).presence ? undefined : notAvailable()) ??
      this.#options.authority.check(connection, "presence", topic);
    const { presence } = this.#options;
    if (refusal !== undefined) this.#refuse(connection, id, refusal);
    else if (kind === "presence") {
      this.#reply(connection, { kind, id, clients: presence.clients(topic) });
    } else this.#reply(connection, { kind, id, ...presence.counts(topic) });
  }

  #history(connection: Connection, command: Of<"history">): Promise<void> | undefined {
    const { id, topic, since, reverse } = command;
    const malformed =
      reverse && since?.offset === 0
        ? new Refusal("invalid_body", "Nothing is before 0.")
        : undefined;
    const { rules, authority, engine } = this.#options;
    const { historySize, historyTtlMs } = rules.of(topic);
    const refusal =
      checkTopic(topic) ??
      (historySize > 0 && historyTtlMs > 0 ? undefined : notAvailable()) ??
      authority.check(connection, "history" satisfies Action, topic) ??
      malformed;
    if (refusal !== undefined) {
      this.#refuse(connection, id, refusal);
      return undefined;
    }
    const limit = command.limit < 0 ? HISTORY_MAX : Math.min(command.limit, HISTORY_MAX);
    const page = engine.history(topic, { since: since?.offset, limit, reverse });
    const done = (found: Page) => {
      if (since !== undefined && since.epoch !== "" && since.epoch !== found.top?.epoch) {
        this.#refuse(connection, id, new Refusal("unrecoverable_position", "Another epoch."));
      } else this.#reply(connection, { kind: "history", id, page: found });
    };
    if (page instanceof Promise) return page.then(done);
    done(page);
    return undefined;
  }

  #refresh(connection: Connection, session: Session, command: Of<"refresh">) {
    const { tokens } = this.#options.authority;
    const client = connection.id;
    if (tokens === undefined) {
      this.#reply(connection, { kind: "refreshed", id: command.id, ttl: undefined, client });
      return undefined;
    }
    return tokens.connection(command.token).then((claims) => {
      if (connection.session !== session) return;
      if (claims === "expired") this.#options.end(connection, "expired");
      else if (claims === "invalid" || claims.user !== connection.user) {
        this.#options.end(connection, "invalid_token");
      } else {
        const { ttl } = claims;
        session.deadline = this.#end(ttl);
        session.info = claims.info;
        this.#reply(connection, { kind: "refreshed", id: command.id, ttl, client });
      }
    });
  }

  #refreshTopic(connection: Connection, session: Session, command: Of<"refreshTopic">) {
    const { id, token } = command;
    const { tokens } = this.#options.authority;
    if (tokens === undefined || token === "") {
      this.#refuse(connection, id, new Refusal("invalid_body", "A token is needed."));
      return undefined;
    }
    return tokens.topic(token).then((claims) => {
      if (connection.session !== session) return;
      if (claims === "expired") {
        this.#refuse(connection, id, new Refusal("token_expired", "The token's time is over."));
        return;
      }
      // Some SDKs leave the topic to the token.
      const topic = command.topic || (claims === "invalid" ? "" : claims.topic);
      const has = session.topics.get(topic);
      if (has === undefined) {
        this.#refuse(connection, id, new Refusal("permission_denied", "It has not this topic."));
        return;
      }
      const problem = this.#problem(connection, topic, claims);
      if (claims === "invalid" || problem !== undefined) {
        if (problem !== "ended") this.#options.end(connection, "invalid_token");
        return;
      }
      const { ttl } = claims;
      has.expiresAt = this.#end(ttl);
      this.#reply(connection, { kind: "refreshedTopic", id, ttl });
    });
  }

  #encode(connection: Connection, reply: Reply): string {
    return connection.protocol.session?.encodeReply(reply) ?? "";
  }

  #reply(connection: Connection, reply: Reply): void {
    this.#options.delivery.send(connection, this.#encode(connection, reply));
  }

  #refuse(connection: Connection, id: number, refusal: Refusal): void {
    this.#reply(connection, { kind: "refused", id, refusal });
  }
}

function notAvailable(): Refusal {
  return new Refusal("not_available", "The relay or this topic does not have this feature.");
}

function tokenExpired(): Refusal {
  return new Refusal("token_expired", "The token's time is over; a new one is needed.");
}
