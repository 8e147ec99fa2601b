// How sessions say who they are: the connect command, and new tokens in time before the old ones are over.

import type { SessionCommand } from "../contracts/commands";
import type { Registrations } from "../contracts/engine";
import { type CloseName, Refusal, tokenExpired } from "../contracts/errors";
import type { Limits } from "../contracts/limits";
import type { Position } from "../contracts/publication";
import type { TopicRules } from "../contracts/topic-rules";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/registry";
import { endOf, type Session } from "../state/session";
import {
  type ConnectionClaims,
  type Permissions,
  personalTopic,
  problemOf,
  type TokenProblem,
  type TopicClaims,
} from "../topics/permissions";
import { encodeReply, type Replies } from "./replies";
import type { SessionSubscriptions } from "./subscriptions";

export interface AuthenticationOptions {
  readonly authority: Permissions;
  readonly rules: TopicRules;
  readonly limits: Limits;
  readonly registry: Connections;
  readonly registrations: Registrations;
  readonly subscribing: SessionSubscriptions;
  readonly replies: Replies;
  /** Whether each known user has a topic of its own, "#" before its name. */
  readonly personalTopics: boolean;
  /** What a client is told of this relay. */
  readonly version: string;
  readonly node: string;
  readonly now: () => number;
  readonly end: (connection: Connection, why: CloseName) => void;
  /** The connection has said who it is. */
  readonly connected: (connection: Connection) => void;
}

type Of<Kind> = Extract<SessionCommand, { kind: Kind }>;

export class Authentication {
  readonly #options: AuthenticationOptions;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  connect(
    connection: Connection,
    session: Session,
    command: Of<"connect">,
  ): Promise<void> | undefined {
    const { authority, end, replies } = this.#options;
    const goOn = (claims: ConnectionClaims | TokenProblem | undefined) => {
      if (connection.session !== session) return undefined;
      if (claims === undefined) end(connection, "violation");
      else if (claims === "invalid") end(connection, "invalid_token");
      else if (claims === "expired") {
        session.state = "refused";
        replies.refuse(connection, command.id, tokenExpired());
      } else return this.#connected(connection, session, command, claims);
      return undefined;
    };
    const claims = authority.connect(command.token);
    return claims instanceof Promise ? claims.then(goOn) : goOn(claims);
  }

  #connected(
    connection: Connection,
    session: Session,
    command: Of<"connect">,
    claims: ConnectionClaims,
  ): Promise<void> | undefined {
    const { limits, registry, registrations, replies, rules } = this.#options;
    for (const name of claims.topics.keys()) {
      const refusal = rules.check(name);
      if (refusal === undefined) continue;
      session.state = "refused";
      replies.refuse(connection, command.id, refusal);
      return undefined;
    }
    if (registry.size >= limits.connectionsMax) {
      this.#options.end(connection, "too_many_connections");
      return undefined;
    }
    const goOn = (crowded: Refusal | undefined) => {
      if (connection.session !== session) {
        // It has ended meanwhile.
        if (crowded === undefined) registrations.release(connection.id, 0, "end");
      } else if (crowded === undefined) {
        return this.#enter(connection, session, command, claims);
      } else this.#options.end(connection, "too_many_connections");
      return undefined;
    };
    const held = registrations.own(connection.id, claims.user);
    return held instanceof Promise ? held.then(goOn) : goOn(held);
  }

  #enter(
    connection: Connection,
    session: Session,
    { id, topics: asked }: Of<"connect">,
    claims: ConnectionClaims,
  ): Promise<void> | undefined {
    const { limits, subscribing, version, node } = this.#options;
    connection.user = claims.user;
    session.state = "connected";
    session.info = claims.info;
    session.deadline = endOf(claims.ttl, this.#options.now());
    this.#options.connected(connection);
    const names = this.#firstTopics(connection, claims, asked);
    if (names.size > limits.connectionTopicsMax) {
      this.#options.end(connection, "too_many_topics");
      return undefined;
    }
    const since = new Map<string, Position>();
    for (const name of names) {
      const position = asked.get(name)?.since;
      if (position !== undefined) since.set(name, position);
      const info = claims.topics.get(name)?.info;
      session.topics.set(name, { info, expiresAt: Number.POSITIVE_INFINITY });
    }
    const isStream = connection.protocol.transport === "stream";
    return subscribing.enter(connection, session, [...names], since, {
      carries: true,
      entered: (entered) =>
        encodeReply(connection, {
          kind: "connected",
          id,
          client: connection.id,
          version,
          ttl: claims.ttl,
          pingMs: limits.pingMs,
          topics: entered.map((topic) => {
            return { ...topic, ttl: undefined, data: claims.topics.get(topic.topic)?.data };
          }),
          ...(isStream && { session: session.secret, node }),
        }),
      failed: () => {
        this.#options.end(connection, "internal");
        return "";
      },
    });
  }

  /** Those that its token names, its personal one, and of those that it asks for those that it may have. */
  #firstTopics(
    connection: Connection,
    claims: ConnectionClaims,
    asked: Of<"connect">["topics"],
  ): Set<string> {
    const { personalTopics, subscribing } = this.#options;
    const names = new Set(claims.topics.keys());
    const own = personalTopics ? personalTopic(claims.user) : undefined;
    if (own !== undefined) names.add(own);
    for (const name of asked.keys()) {
      if (subscribing.check(connection, name) === undefined) names.add(name);
    }
    return names;
  }

  refresh(
    connection: Connection,
    session: Session,
    { id, token }: Of<"refresh">,
  ): Promise<void> | undefined {
    const { authority, end, replies, now } = this.#options;
    const client = connection.id;
    if (authority.isOpen) {
      replies.reply(connection, { kind: "refreshed", id, ttl: undefined, client });
      return undefined;
    }
    const goOn = (claims: ConnectionClaims | TokenProblem | undefined) => {
      if (connection.session !== session) return;
      if (claims === "expired") end(connection, "expired");
      else if (claims === undefined || claims === "invalid" || claims.user !== connection.user) {
        end(connection, "invalid_token");
      } else {
        const { ttl, info } = claims;
        session.deadline = endOf(ttl, now());
        session.info = info;
        replies.reply(connection, { kind: "refreshed", id, ttl, client });
      }
    };
    const claims = authority.connect(token);
    if (claims instanceof Promise) return claims.then(goOn);
    goOn(claims);
    return undefined;
  }

  refreshTopic(
    connection: Connection,
    session: Session,
    { id, topic: named, token }: Of<"refreshTopic">,
  ): Promise<void> | undefined {
    const { authority, end, replies, now } = this.#options;
    if (authority.isOpen || token === "") {
      replies.refuse(connection, id, new Refusal("invalid_body", "A token is needed."));
      return undefined;
    }
    const goOn = (claims: TopicClaims | TokenProblem) => {
      if (connection.session !== session) return;
      if (claims === "expired") {
        replies.refuse(connection, id, new Refusal("expired", "The new token is over already."));
        return;
      }
      // Some SDKs leave the topic to the token.
      const topic = named || (claims === "invalid" ? "" : claims.topic);
      const has = session.topics.get(topic);
      if (has === undefined && claims !== "invalid") {
        const refusal = new Refusal("permission_denied", "The connection has not this topic.");
        replies.refuse(connection, id, refusal);
      } else if (claims === "invalid" || problemOf(claims, connection, topic) !== undefined) {
        end(connection, "invalid_token");
      } else if (has !== undefined) {
        has.expiresAt = endOf(claims.ttl, now());
        replies.reply(connection, { kind: "refreshedTopic", id, ttl: claims.ttl });
      }
    };
    const claims = authority.topic(token);
    if (claims instanceof Promise) return claims.then(goOn);
    goOn(claims);
    return undefined;
  }
}
