// How sessions say who they are: the connect command, and new tokens before the old ones expire.
import { type Denial, Dismissal, EXPIRED } from "../contracts/backend/questions";
import type { CommandOf, SubscribeResult } from "../contracts/commands";
import { Refusal, tokenExpired } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { RelayOptions } from "../contracts/options";
import type { Position } from "../contracts/publication";
import type { ConnectionClaims, TokenProblem, TopicClaims } from "../contracts/tokens";
import type { Frame } from "../contracts/transport";
import type { Recovery } from "../recovery/recovery";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { CONNECT_TIMEOUT_MS, expiryOf, type Session } from "../state/session";
import { type Permissions, personalTopic, problemOf } from "../topics/permissions";
import type { Topics } from "../topics/topics";
import type { SessionParts } from "./parts";
import type { Renewals } from "./renewals";
import { encodeReply, type Replies } from "./replies";
import type { SessionSubscriptions } from "./subscriptions";

const OTHER_USER =
  "This connection is signed in as another user: open a new connection for each user.";

/** What is known of a client before it says who it is. */
const NOBODY: ConnectionClaims = { user: "", ttl: undefined, topics: new Map() };

export class Authentication {
  readonly #options: RelayOptions;
  readonly #connections: Connections;
  readonly #permissions: Permissions;
  readonly #topics: Topics;
  readonly #recovery: Recovery;
  readonly #subscriptions: SessionSubscriptions;
  readonly #renewals: Renewals;
  readonly #replies: Replies;

  constructor(parts: SessionParts, subscriptions: SessionSubscriptions, renewals: Renewals) {
    const { options, connections, permissions, topics, recovery, replies } = parts;
    this.#options = options;
    this.#connections = connections;
    this.#permissions = permissions;
    this.#topics = topics;
    this.#recovery = recovery;
    this.#subscriptions = subscriptions;
    this.#renewals = renewals;
    this.#replies = replies;
  }

  /** The first command of a session. The promise, if there is one, is of the reply. */
  connect(connection: Connection, session: Session, command: CommandOf<"connect">): Maybe<void> {
    return then(this.#claimsOf(connection, session, command), (claims) => {
      if (connection.session !== session) return undefined;
      if (claims === undefined) this.#connections.end(connection, "violation");
      else if (claims instanceof Refusal) this.#refuse(connection, session, command, claims);
      else if (claims instanceof Dismissal) {
        this.#connections.disconnect(connection, claims.code, claims.reason);
      } else if (claims === "invalid") this.#connections.end(connection, "invalid_token");
      else if (claims === "expired") this.#refuse(connection, session, command, tokenExpired());
      else return this.#connectWith(claims, connection, session, command);
      return undefined;
    });
  }

  /** Who the client is: as its token says or, where it shows none, as the backend says when it is asked. */
  #claimsOf(
    connection: Connection,
    session: Session,
    { token, topics, introduction = {} }: CommandOf<"connect">,
  ): Maybe<ConnectionClaims | TokenProblem | Denial | undefined> {
    const { questions } = this.#options;
    if (connection.authority !== undefined) return NOBODY;
    if (token !== "" || questions?.asksConnect !== true)
      return this.#permissions.connectionClaims(token);
    // The answer comes in time by itself, and until then the client is not late.
    session.deadline = Number.POSITIVE_INFINITY;
    return questions.connect(connection, introduction, [...topics.keys()]).then((claims) => {
      session.deadline = this.#options.now() + CONNECT_TIMEOUT_MS;
      return claims ?? this.#permissions.connectionClaims("");
    });
  }

  #refuse(
    connection: Connection,
    session: Session,
    command: CommandOf<"connect">,
    refusal: Refusal,
  ): void {
    session.state = "refused";
    // The client of an authority has sent no command, and comes back by itself.
    if (connection.authority !== undefined)
      this.#connections.end(connection, "too_many_connections");
    else this.#replies.refuse(connection, command, refusal);
  }

  #connectWith(
    claims: ConnectionClaims,
    connection: Connection,
    session: Session,
    command: CommandOf<"connect">,
  ): Maybe<void> {
    const { engine } = this.#options;
    const unknown = this.#checkKnown(claims);
    if (unknown !== undefined) {
      this.#refuse(connection, session, command, unknown);
      return undefined;
    }
    const { id, address } = connection;
    return then(engine.registrations.own(id, claims.user, address), (refusal) => {
      if (connection.session !== session) {
        // It has ended meanwhile.
        if (refusal === undefined) engine.registrations.release(connection.id, 0, "end");
      } else if (refusal === undefined) {
        return this.#open(claims, connection, session, command);
      } else if (refusal.code !== "too_many_user_connections") {
        // There is no room on all nodes together. That will pass, and the close code would be final for an SDK.
        this.#refuse(connection, session, command, refusal);
      } else this.#connections.end(connection, "too_many_connections");
      return undefined;
    });
  }

  /** Refuses (`unknown_topic`) a token that names a topic without a rule, where only topics with one are known. */
  #checkKnown({ topics }: ConnectionClaims): Refusal | undefined {
    for (const name of topics.keys()) {
      const refusal = this.#options.rules.check(name);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  #open(
    claims: ConnectionClaims,
    connection: Connection,
    session: Session,
    command: CommandOf<"connect">,
  ): Maybe<void> {
    const { limits, now } = this.#options;
    connection.user = claims.user;
    session.info = claims.info;
    session.meta = claims.meta;
    const names = this.#firstTopics(claims, connection, command);
    const full = this.#topics.checkRoom(connection, names);
    if (full !== undefined) {
      connection.user = "";
      this.#options.engine.registrations.release(connection.id, 0, "end");
      this.#refuse(connection, session, command, full);
      return undefined;
    }
    session.state = "connected";
    session.deadline = expiryOf(claims.ttl, now());
    this.#connections.add(connection);
    if (names.size > limits.connectionTopicsMax) {
      this.#connections.end(connection, "too_many_topics");
      return undefined;
    }
    const since = new Map<string, Position>();
    for (const name of names) {
      const position = command.topics.get(name)?.since;
      if (position !== undefined) since.set(name, position);
      const inToken = claims.topics.get(name);
      session.topics.set(name, {
        info: inToken?.info,
        member: undefined,
        hidden: inToken?.hidden,
        expiresAt: Number.POSITIVE_INFINITY,
        isFromToken: inToken !== undefined,
      });
    }
    const { subscriptions } = connection;
    if (subscriptions === undefined) return undefined;
    return then(this.#recovery.read(connection, subscriptions, [...names], since), (read) => {
      if (read === undefined) return;
      if (read.pages === undefined) {
        this.#connections.end(connection, "internal");
        return;
      }
      const results = this.#recovery.plan(read, this.#recovery.replyBytes);
      const reply = this.#encodeConnected(claims, connection, session, command.id, results);
      this.#recovery.commit(read, reply);
    });
  }

  #encodeConnected(
    claims: ConnectionClaims,
    connection: Connection,
    session: Session,
    id: number,
    results: readonly SubscribeResult[],
  ): Frame {
    const { limits, version, node, questions } = this.#options;
    // Commands to a stream come as requests of their own, which must name the session and its node.
    const isStream = connection.protocol.transport === "stream";
    return encodeReply(connection, {
      kind: "connected",
      id,
      client: connection.id,
      version,
      // A client that is told of no expiry leaves it to the relay to ask in time.
      ttl: questions?.asksRefresh === true ? undefined : claims.ttl,
      data: claims.data,
      pingMs: limits.pingMs,
      topics: results.map((result) => {
        return { ...result, ttl: undefined, data: claims.topics.get(result.topic)?.data };
      }),
      ...(isStream && { session: session.secret, node }),
    });
  }

  /** The topics that the token names, the personal one, and of those that the client asks for the ones it may have. */
  #firstTopics(
    claims: ConnectionClaims,
    connection: Connection,
    { topics: asked }: CommandOf<"connect">,
  ): Set<string> {
    const names = new Set(claims.topics.keys());
    const own = this.#options.personalTopics ? personalTopic(claims.user) : undefined;
    if (own !== undefined) names.add(own);
    for (const name of asked.keys()) {
      if (this.#subscriptions.check(connection, name) === undefined) names.add(name);
    }
    return names;
  }

  /** The client says who it is, once, after it has connected as nobody. */
  identify(connection: Connection, session: Session, command: CommandOf<"identify">): Maybe<void> {
    const { id, user, address, authority } = connection;
    const granted = authority?.user(connection, command.proof);
    if (granted === undefined || granted instanceof Refusal) {
      this.#connections.end(connection, "invalid_token", granted?.message);
      return undefined;
    }
    if (user !== "" && user !== granted.user) {
      this.#connections.end(connection, "invalid_token", OTHER_USER);
      return undefined;
    }
    const { registrations } = this.#options.engine;
    const owned = user === "" ? registrations.own(id, granted.user, address) : undefined;
    return then(owned, (refusal) => {
      if (connection.session !== session) {
        // It has ended meanwhile.
        if (refusal === undefined) registrations.release(id, 0, "end");
      } else if (refusal !== undefined) this.#replies.refuse(connection, command, refusal);
      else {
        session.info = granted.info;
        if (connection.user === "") this.#connections.identified(connection, granted.user);
        const { protocol } = connection;
        const text = command.proof.text ?? "";
        const reply = protocol.kind === "session" ? protocol.encodeIdentified?.(text) : undefined;
        this.#replies.send(connection, reply ?? "");
      }
    });
  }

  /** A new token for the connection. */
  refresh(connection: Connection, session: Session, command: CommandOf<"refresh">): Maybe<void> {
    const { id, token } = command;
    const client = connection.id;
    if (this.#permissions.isOpen) {
      this.#replies.reply(connection, { kind: "refreshed", id, ttl: undefined, client });
      return undefined;
    }
    return then(this.#permissions.connectionClaims(token), (claims) => {
      if (connection.session !== session) return undefined;
      if (claims === "expired") this.#connections.end(connection, "expired");
      else if (claims === undefined || claims === "invalid" || claims.user !== connection.user) {
        this.#connections.end(connection, "invalid_token");
      } else return this.#refreshWith(claims, connection, session, command);
      return undefined;
    });
  }

  /** What the new token says replaces all that the last one said. */
  #refreshWith(
    claims: ConnectionClaims,
    connection: Connection,
    session: Session,
    command: CommandOf<"refresh">,
  ): Maybe<void> {
    const { id } = command;
    const unknown = this.#checkKnown(claims);
    if (unknown !== undefined) {
      this.#replies.refuse(connection, command, unknown);
      return undefined;
    }
    const { ttl, info, meta, topics } = claims;
    session.deadline = expiryOf(ttl, this.#options.now());
    session.info = info;
    session.meta = meta ?? session.meta;
    return then(this.#subscriptions.followToken(connection, session, topics), () => {
      if (connection.session !== session) return;
      this.#topics.presence.changed(connection);
      this.#replies.reply(connection, { kind: "refreshed", id, ttl, client: connection.id });
    });
  }

  /** A new token for one topic. */
  refreshTopic(
    connection: Connection,
    session: Session,
    command: CommandOf<"refreshTopic">,
  ): Maybe<void> {
    const { token, topic } = command;
    const asked = this.#options.rules.asked("askRefresh", topic);
    if (token === "" && asked !== "" && session.topics.has(topic)) {
      return this.#renewals.renewTopic(connection, session, topic, asked).then((goesOn) => {
        const { id } = command;
        if (connection.session !== session) return;
        if (goesOn) this.#replies.reply(connection, { kind: "refreshedTopic", id, ttl: undefined });
        else this.#replies.refuse(connection, command, EXPIRED);
      });
    }
    if (this.#permissions.isOpen || token === "") {
      const refusal = new Refusal("invalid_body", "A token for the topic is required.");
      this.#replies.refuse(connection, command, refusal);
      return undefined;
    }
    return then(this.#permissions.topicClaims(token), (claims) => {
      if (connection.session === session)
        this.#refreshTopicWith(claims, connection, session, command);
    });
  }

  #refreshTopicWith(
    claims: TopicClaims | TokenProblem,
    connection: Connection,
    session: Session,
    command: CommandOf<"refreshTopic">,
  ): void {
    const { id, topic: named } = command;
    if (claims === "expired") {
      // An error would end the subscription in the SDK for good. After this close it asks for new tokens.
      this.#connections.end(connection, "subscription_expired");
      return;
    }
    // Some SDKs leave it to the token to name the topic.
    const topic = named || (claims === "invalid" ? "" : claims.topic);
    const subscription = session.topics.get(topic);
    if (subscription === undefined && claims !== "invalid") {
      const refusal = new Refusal("permission_denied", "The connection does not have this topic.");
      this.#replies.refuse(connection, command, refusal);
    } else if (claims === "invalid" || problemOf(claims, connection, topic) !== undefined) {
      this.#connections.end(connection, "invalid_token");
    } else if (subscription !== undefined) {
      subscription.expiresAt = expiryOf(claims.ttl, this.#options.now());
      subscription.info = claims.info;
      this.#topics.presence.changed(connection);
      this.#replies.reply(connection, { kind: "refreshedTopic", id, ttl: claims.ttl });
    }
  }
}
