// Topics of sessions, one by one: subscribing with or without a token, leaving, and what the backend does for them.

import type { SessionCommand, Subscribed, SubscribeResult } from "../contracts/commands";
import { EngineUnavailable } from "../contracts/engine";
import { type CloseName, engineUnavailable, Refusal } from "../contracts/errors";
import type { Limits } from "../contracts/limits";
import type { Position } from "../contracts/publication";
import type { TopicRules } from "../contracts/topic-rules";
import type { Delivery } from "../publishing/delivery";
import type { Recovery } from "../recovery/recovery";
import type { Connection } from "../state/connection";
import { endOf, type Session } from "../state/session";
import { checkTopic } from "../text/checks";
import {
  type Permissions,
  problemOf,
  type TokenProblem,
  type TopicClaims,
} from "../topics/permissions";
import { encodeReply, type Replies } from "./replies";

export interface SessionSubscriptionsOptions {
  readonly authority: Permissions;
  readonly rules: TopicRules;
  readonly limits: Limits;
  readonly recovery: Recovery;
  readonly delivery: Delivery;
  readonly replies: Replies;
  readonly now: () => number;
  readonly end: (connection: Connection, why: CloseName) => void;
}

/** A topic that the backend gives a session. */
export interface ServerSubscription {
  readonly topic: string;
  /** JSON text that others see. */
  readonly info?: string | undefined;
  /** JSON text for the client. */
  readonly data?: string | undefined;
  /** Seconds until it ends; undefined: it does not. */
  readonly ttl?: number | undefined;
  /** What came after it is given too. */
  readonly since?: Position | undefined;
}

/** How the client is told what became of the topics, and that the engine is out of reach. */
export interface Telling {
  /** The frame has what was missed, as far as there is room. */
  readonly carries: boolean;
  /** A frame; undefined when it shall not have them. */
  readonly entered: (entered: readonly SubscribeResult[]) => string | undefined;
  readonly failed: () => string;
}

export class SessionSubscriptions {
  readonly #options: SessionSubscriptionsOptions;

  constructor(options: SessionSubscriptionsOptions) {
    this.#options = options;
  }

  subscribe(
    connection: Connection,
    session: Session,
    command: Extract<SessionCommand, { kind: "subscribe" }>,
  ): Promise<void> | undefined {
    const { id, topic, token } = command;
    const { authority, replies, end } = this.#options;
    const refusal = this.#noTopic(topic) ?? this.#noRoom(session, topic);
    if (refusal !== undefined) {
      replies.refuse(connection, id, refusal);
      return undefined;
    }
    const goOn = (claims: TopicClaims | TokenProblem) => {
      if (connection.session !== session) return undefined;
      const problem = problemOf(claims, connection, topic);
      if (problem === undefined) {
        return this.#subscribed(connection, session, command, claims as TopicClaims);
      }
      if (problem === "mismatch") end(connection, "invalid_token");
      else replies.refuse(connection, id, problem);
      return undefined;
    };
    if (!authority.isOpen && token !== "") {
      const claims = authority.topic(token);
      return claims instanceof Promise ? claims.then(goOn) : goOn(claims);
    }
    const denied = authority.check(connection, "subscribe", topic);
    if (denied === undefined) return goOn({ user: connection.user, topic, ttl: undefined });
    replies.refuse(connection, id, denied);
    return undefined;
  }

  #subscribed(
    connection: Connection,
    session: Session,
    { id, topic, resumption }: Extract<SessionCommand, { kind: "subscribe" }>,
    { ttl, info, data }: TopicClaims,
  ): Promise<void> | undefined {
    session.topics.set(topic, { info, expiresAt: endOf(ttl, this.#options.now()) });
    const since = new Map(resumption.since && [[topic, resumption.since]]);
    const refused = (refusal: Refusal) => encodeReply(connection, { kind: "refused", id, refusal });
    return this.enter(connection, session, [topic], since, {
      carries: true,
      entered: ([entered]) => {
        const subscribed: Subscribed = { ...(entered as SubscribeResult), ttl, data };
        // Where no history is kept there is no position to insist on.
        const lost = subscribed.recovered === false && subscribed.top !== undefined;
        if (!(resumption.orNothing && lost)) {
          return encodeReply(connection, { kind: "subscribed", id, subscribed });
        }
        session.topics.delete(topic);
        const refusal = new Refusal("unrecoverable_position", "Not all after it is kept.");
        this.#options.delivery.send(connection, refused(refusal));
        return undefined;
      },
      failed: () => refused(engineUnavailable()),
    });
  }

  /** The rule's answer to a session that wants into a topic without a token for it. */
  check(connection: Connection, topic: string): Refusal | undefined {
    return this.#noTopic(topic) ?? this.#options.authority.check(connection, "subscribe", topic);
  }

  /** Brings a session into topics; those that stand in `session.topics` keep what stands there. */
  enter(
    connection: Connection,
    session: Session,
    names: readonly string[],
    since: ReadonlyMap<string, Position>,
    telling: Telling,
  ): Promise<void> | undefined {
    const { progress } = connection;
    if (progress === undefined) return undefined;
    for (const name of names) {
      if (session.topics.has(name)) continue;
      session.topics.set(name, { info: undefined, expiresAt: Number.POSITIVE_INFINITY });
    }
    return this.#options.recovery.enter(connection, progress, names, since, {
      only: false,
      carries: telling.carries,
      reply: telling.entered,
      failed: () => {
        for (const name of names) session.topics.delete(name);
        return telling.failed();
      },
    });
  }

  /** False when the session has not the topic. */
  leave(connection: Connection, topic: string): boolean {
    const { session, progress } = connection;
    if (session === undefined || progress === undefined || !session.topics.has(topic)) return false;
    this.#options.recovery.leave(connection, progress, topic);
    session.topics.delete(topic);
    return true;
  }

  /** Takes a session out of a topic and tells it; false when it has not the topic. */
  takeOut(connection: Connection, topic: string, code: number, reason: string): boolean {
    if (!this.leave(connection, topic)) return false;
    const push = { kind: "unsubscribed", topic, code, reason } as const;
    const frame = connection.protocol.session?.encodePush(push) ?? "";
    this.#options.delivery.send(connection, frame);
    return true;
  }

  /**
   * Brings a session into a topic on the backend's account, and tells it. Refuses `invalid_topic`,
   * `already_subscribed`, `too_many_topics`. Fails with EngineUnavailable.
   */
  give(connection: Connection, gift: ServerSubscription): Promise<void> | Refusal | undefined {
    const { session, protocol } = connection;
    if (session === undefined) return undefined;
    const { topic, info, data, ttl, since } = gift;
    const refusal = this.#noTopic(topic) ?? this.#noRoom(session, topic);
    if (refusal !== undefined) return refusal;
    session.topics.set(topic, { info, expiresAt: endOf(ttl, this.#options.now()) });
    const positions = new Map(since && [[topic, since]]);
    return this.enter(connection, session, [topic], positions, {
      // A push has no place for it.
      carries: false,
      entered: ([entered]) => {
        const subscribed = { ...(entered as SubscribeResult), ttl: undefined, data };
        return protocol.session?.encodePush({ kind: "subscribed", subscribed });
      },
      failed: () => {
        throw new EngineUnavailable();
      },
    });
  }

  /** Takes a session out of topics whose token is over by `limit`, in ms of the relay's clock. */
  sweep(connection: Connection, { topics }: Session, limit: number): void {
    for (const [topic, { expiresAt }] of topics) {
      if (expiresAt > limit) continue;
      this.takeOut(connection, topic, 2501, "subscription expired");
      if (connection.socket === undefined) return;
    }
  }

  #noTopic(topic: string): Refusal | undefined {
    return checkTopic(topic) ?? this.#options.rules.check(topic);
  }

  #noRoom(session: Session, topic: string): Refusal | undefined {
    if (session.topics.has(topic)) {
      return new Refusal("already_subscribed", "The connection has this topic already.");
    }
    const { connectionTopicsMax } = this.#options.limits;
    if (session.topics.size < connectionTopicsMax) return undefined;
    return new Refusal(
      "too_many_topics",
      `A connection has at most ${connectionTopicsMax} topics (BATON_CONNECTION_TOPICS_MAX).`,
    );
  }
}
