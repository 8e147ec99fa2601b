// The topics of sessions: subscribing with or without a token, unsubscribing, and what the backend does for a client.
import type { CommandOf, Member, SubscribeResult } from "../contracts/commands";
import { EngineUnavailable } from "../contracts/engine";
import { engineUnavailable, Refusal } from "../contracts/errors";
import type { Limits } from "../contracts/limits";
import { type Maybe, then } from "../contracts/maybe";
import type { Position } from "../contracts/publication";
import type { TokenProblem, TokenTopics, TopicClaims } from "../contracts/tokens";
import type { TopicRules } from "../contracts/topic-rules";
import type { Recovery } from "../recovery/recovery";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { expiryOf, type Session } from "../state/session";
import type { Subscriptions } from "../state/subscriptions";
import { checkTopic } from "../text/checks";
import type { Members, Membership } from "../topics/members";
import { type Permissions, problemOf } from "../topics/permissions";
import type { SessionParts } from "./parts";
import { encodeReply, type Replies } from "./replies";

/** A topic that the backend subscribes a session to. */
export interface ServerSubscription {
  readonly topic: string;
  /** JSON text that others can see. */
  readonly info?: string | undefined;
  /** JSON text for the client. */
  readonly data?: string | undefined;
  /** Seconds until the subscription expires; undefined means that it never does. */
  readonly ttl?: number | undefined;
  /** The client is also sent what was published after this position. */
  readonly since?: Position | undefined;
}

export class SessionSubscriptions {
  readonly #limits: Limits;
  readonly #rules: TopicRules;
  readonly #now: () => number;
  readonly #connections: Connections;
  readonly #permissions: Permissions;
  readonly #recovery: Recovery;
  readonly #members: Members;
  readonly #replies: Replies;

  constructor(parts: SessionParts) {
    const { options, connections, permissions, recovery, members, replies } = parts;
    const { limits, rules, now } = options;
    this.#limits = limits;
    this.#rules = rules;
    this.#now = now;
    this.#connections = connections;
    this.#permissions = permissions;
    this.#recovery = recovery;
    this.#members = members;
    this.#replies = replies;
  }

  /** A client's subscribe command. The promise, if there is one, is of the reply. */
  subscribe(
    connection: Connection,
    session: Session,
    command: CommandOf<"subscribe">,
  ): Maybe<void> {
    const { id, topic, token } = command;
    const hasToken = !this.#permissions.isOpen && token !== "";
    const refusal =
      this.#checkName(topic) ??
      this.#checkRoom(session, topic) ??
      (hasToken ? undefined : this.#permissions.check(connection, "subscribe", topic));
    if (refusal !== undefined) {
      this.#replies.refuse(connection, id, refusal);
      return undefined;
    }
    const claims = hasToken
      ? this.#permissions.topicClaims(token)
      : { user: connection.user, topic, ttl: undefined };
    return then(claims, (found) => this.#subscribeWith(found, connection, session, command));
  }

  #subscribeWith(
    claims: TopicClaims | TokenProblem,
    connection: Connection,
    session: Session,
    command: CommandOf<"subscribe">,
  ): Maybe<void> {
    const { id, topic } = command;
    const { subscriptions } = connection;
    if (connection.session !== session || subscriptions === undefined) return undefined;
    const problem = problemOf(claims, connection, topic);
    if (problem === "mismatch") this.#connections.end(connection, "invalid_token");
    else if (problem !== undefined) this.#replies.refuse(connection, id, problem);
    if (problem !== undefined) return undefined;
    const full = this.#recovery.checkRoom(connection, new Set([topic]));
    if (full !== undefined) {
      this.#replies.refuse(connection, id, full);
      return undefined;
    }

    const { ttl, info, data, member } = claims as TopicClaims;
    session.topics.set(topic, { info, expiresAt: expiryOf(ttl, this.#now()), isFromToken: false });
    if (member === undefined) return this.#start(connection, subscriptions, command, { ttl, data });
    return this.#enter(connection, topic, member).then((membership) => {
      if (membership === undefined || connection.session !== session) return undefined;
      if (membership instanceof Refusal) {
        this.#replies.refuse(connection, id, membership);
        return undefined;
      }
      return this.#start(connection, subscriptions, command, { ttl, data, membership });
    });
  }

  /** Undefined when the connection has left the topic meanwhile, or has ended. */
  async #enter(
    connection: Connection,
    topic: string,
    member: Member,
  ): Promise<Membership | Refusal | undefined> {
    const isIn = () => connection.session?.topics.has(topic) === true;
    try {
      const entered = await this.#members.enter(connection, topic, member);
      if (entered instanceof Refusal) connection.session?.topics.delete(topic);
      else if (!isIn() || !this.#members.holds(connection, entered)) return undefined;
      return entered;
    } catch (error) {
      connection.session?.topics.delete(topic);
      throw error;
    }
  }

  /** Reads where the subscription starts, and answers the command when that is known. */
  #start(
    connection: Connection,
    subscriptions: Subscriptions,
    { id, topic, resumption, form: asked }: CommandOf<"subscribe">,
    { ttl, data, membership }: Pick<TopicClaims, "ttl" | "data"> & { membership?: Membership },
  ): Maybe<void> {
    const since = new Map(resumption.since && [[topic, resumption.since]]);
    const attempt = this.#recovery.read(connection, subscriptions, [topic], since);
    return then(attempt, (read) => {
      if (read === undefined) return;
      const form = this.#rules.of(topic).delta ? asked : "plain";
      for (const subscription of read.begun) subscription.form = form;
      const [result] =
        read.pages === undefined ? [] : this.#recovery.plan(read, this.#recovery.replyBytes);
      const refusal =
        result === undefined ? engineUnavailable() : checkRecovered(result, resumption);
      if (result === undefined || refusal !== undefined) {
        connection.session?.topics.delete(topic);
        this.#members.leave(connection, topic);
        this.#recovery.abandon(read);
        this.#replies.refuse(connection, id, refusal as Refusal);
        return;
      }
      const members = membership && this.#members.listFor(connection, membership);
      const subscribed = { ...result, ttl, data, form, members };
      this.#recovery.commit(read, encodeReply(connection, { kind: "subscribed", id, subscribed }));
    });
  }

  /** Refuses a topic that a session may not subscribe to without a token for it. */
  check(connection: Connection, topic: string): Refusal | undefined {
    return this.#checkName(topic) ?? this.#permissions.check(connection, "subscribe", topic);
  }

  /** False when the session does not have the topic. */
  unsubscribe(connection: Connection, topic: string): boolean {
    const { session, subscriptions } = connection;
    if (subscriptions === undefined || session?.topics.has(topic) !== true) return false;
    this.#recovery.unsubscribe(connection, subscriptions, topic);
    this.#members.leave(connection, topic);
    session.topics.delete(topic);
    return true;
  }

  /** Takes a session out of a topic for the relay's or the backend's reason, and tells its client. */
  unsubscribeByServer(connection: Connection, topic: string, code: number, reason: string): void {
    const { protocol } = connection;
    if (!this.unsubscribe(connection, topic) || protocol.kind !== "session") return;
    const push = { kind: "unsubscribed", topic, code, reason } as const;
    this.#connections.send(connection, protocol.encodePush(push));
  }

  /**
   * Subscribes a session for its backend, and tells its client. Refuses `invalid_topic`, `already_subscribed`,
   * `too_many_topics` and what `Topics.checkRoom` does. Rejects with EngineUnavailable.
   */
  subscribeByServer(
    connection: Connection,
    { topic, info, data, ttl, since }: ServerSubscription,
  ): Maybe<Refusal | undefined> {
    const { session, subscriptions, protocol } = connection;
    if (session === undefined || subscriptions === undefined) return undefined;
    const refusal =
      this.#checkName(topic) ??
      this.#checkRoom(session, topic) ??
      this.#recovery.checkRoom(connection, new Set([topic]));
    if (refusal !== undefined) return refusal;
    session.topics.set(topic, { info, expiresAt: expiryOf(ttl, this.#now()), isFromToken: false });
    const positions = new Map(since && [[topic, since]]);
    const attempt = this.#recovery.read(connection, subscriptions, [topic], positions);
    return then(attempt, (read) => {
      if (read === undefined || protocol.kind !== "session") return undefined;
      // A push has no place for publications: what was missed follows it.
      const [result] = read.pages === undefined ? [] : this.#recovery.plan(read, 0);
      if (result === undefined) {
        session.topics.delete(topic);
        this.#recovery.abandon(read);
        throw new EngineUnavailable();
      }
      const subscribed = { ...result, ttl: undefined, data };
      this.#recovery.commit(read, protocol.encodePush({ kind: "subscribed", subscribed }));
      return undefined;
    });
  }

  /**
   * Gives a session the topics that a new token of its connection names, and takes away those that only an older one
   * named; its client is told of both. Topics that the session has for other reasons stay. Rejects with EngineUnavailable.
   */
  followToken(connection: Connection, session: Session, named: TokenTopics): Maybe<void> {
    for (const [topic, { isFromToken }] of session.topics) {
      if (!isFromToken || named.has(topic)) continue;
      this.unsubscribeByServer(connection, topic, 2000, "server unsubscribe");
      if (connection.session !== session) return undefined;
    }
    const missing = [...named.keys()].filter((topic) => !session.topics.has(topic));
    if (session.topics.size + missing.length > this.#limits.connectionTopicsMax) {
      this.#connections.end(connection, "too_many_topics");
      return undefined;
    }
    for (const [topic, { info }] of named) {
      const subscription = session.topics.get(topic);
      if (subscription?.isFromToken === true) subscription.info = info;
    }
    const added = missing.map((topic) =>
      then(this.subscribeByServer(connection, { ...named.get(topic), topic }), () => {
        const subscription = session.topics.get(topic);
        if (subscription !== undefined) subscription.isFromToken = true;
      }),
    );
    return added.some((one) => one instanceof Promise)
      ? Promise.all(added).then(() => undefined)
      : undefined;
  }

  /** Takes a session out of topics whose tokens expired before `limit`, in ms of the relay's clock. */
  expire(connection: Connection, { topics }: Session, limit: number): void {
    for (const [topic, { expiresAt }] of topics) {
      if (expiresAt > limit) continue;
      this.unsubscribeByServer(connection, topic, 2501, "subscription expired");
      if (connection.socket === undefined) return;
    }
  }

  #checkName(topic: string): Refusal | undefined {
    return checkTopic(topic) ?? this.#rules.check(topic);
  }

  #checkRoom(session: Session, topic: string): Refusal | undefined {
    if (session.topics.has(topic)) {
      return new Refusal("already_subscribed", "The connection already has this topic.");
    }
    const { connectionTopicsMax } = this.#limits;
    if (session.topics.size < connectionTopicsMax) return undefined;
    return new Refusal(
      "too_many_topics",
      `A connection has at most ${connectionTopicsMax} topics (BATON_CONNECTION_TOPICS_MAX).`,
    );
  }
}

/** Refuses (`unrecoverable_position`) a subscription with a gap to a client that would rather have none. */
function checkRecovered(
  { recovered, top }: SubscribeResult,
  { orNothing }: CommandOf<"subscribe">["resumption"],
): Refusal | undefined {
  // Where no history is kept there is no position to insist on.
  const hasGap = recovered === false && top !== undefined;
  if (!orNothing || !hasGap) return undefined;
  return new Refusal(
    "unrecoverable_position",
    "History no longer holds everything after this position.",
  );
}
