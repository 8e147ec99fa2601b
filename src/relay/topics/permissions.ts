// Who may do what: tokens say who a client is, and rules say what clients may do with topics. Marks in a topic's name
// narrow that: "$" and the prefixes that the relay closes are for clients with a token for just this topic, "#" precedes a list of
// the users it is for.
import { Refusal, tokenExpired } from "../contracts/errors";
import type { Maybe } from "../contracts/maybe";
import type { Access, RelayOptions } from "../contracts/options";
import type { ConnectionClaims, TokenProblem, TopicClaims } from "../contracts/tokens";
import type { Action, TopicRules } from "../contracts/topic-rules";
import type { Connection } from "../state/connection";
import { checkTopic } from "../text/checks";

/** Why a client may not subscribe: the topic's name is private, has "#" in it, or its rule. */
export type Obstacle = "private" | "other_users" | "backend" | "rule";

/** What the backend can be asked about, and in which part of a topic's rule it is named for that. */
const ASKED = { subscribe: "askSubscribe", publish: "askPublish" } as const;

export class Permissions {
  readonly #access: Access;
  readonly #rules: TopicRules;

  constructor({ access, rules }: Pick<RelayOptions, "access" | "rules">) {
    this.#access = access;
    this.#rules = rules;
  }

  /** Whether anyone who can reach the relay may do anything. */
  get isOpen(): boolean {
    return this.#access.isOpen;
  }

  /** What a token says of the client that connects with it; undefined when a client without one may not connect. */
  connectionClaims(token: string): Maybe<ConnectionClaims | TokenProblem | undefined> {
    const { tokens, anonymous, isOpen } = this.#access;
    if (!isOpen && token !== "") return tokens?.connection(token) ?? "invalid";
    if (!isOpen && !anonymous) return undefined;
    return { user: "", ttl: undefined, topics: new Map() };
  }

  /**
   * Why a connection, or whichever client of a user, may not subscribe to a topic without a token for it; undefined where
   * it may. A backend may register a client with any topic.
   */
  obstacle(user: string, topic: string, connection?: Connection): Obstacle | undefined {
    const isAsked = this.#rules.asked("askSubscribe", topic) !== "" && !this.#isMarked(topic);
    if (isAsked && connection?.protocol.kind !== "topics") return undefined;
    const refused =
      connection === undefined
        ? this.#userMay(user, topic) === "nothing"
        : connection.session === undefined
          ? this.checkRegistered(connection, [topic]) !== undefined
          : this.check(connection, "subscribe", topic) !== undefined;
    if (!refused) return undefined;
    if (this.#isPrivate(topic)) return "private";
    if (this.#isMarked(topic)) return "other_users";
    return isAsked ? "backend" : "rule";
  }

  #userMay(user: string, topic: string): "subscribe" | "nothing" {
    if (this.#access.isOpen) return this.#isClosed(topic) ? "nothing" : "subscribe";
    if (this.#isNamed(user, topic)) return "subscribe";
    const denies = this.#rules.of(topic).allow.subscribe?.includes("client") === false;
    return this.#isMarked(topic) || denies ? "nothing" : "subscribe";
  }

  /**
   * Whom the relay asks whether the client of a session may do this; undefined where the name of the topic or its rule decides. Marks
   * in the name come first: what they close, nobody is asked about.
   */
  asked(
    { user, session }: Connection,
    action: keyof typeof ASKED,
    topic: string,
  ): string | undefined {
    const to = this.#rules.asked(ASKED[action], topic);
    if (to === "") return undefined;
    const isDecided =
      action === "subscribe"
        ? this.#isMarked(topic)
        : this.#isMarked(topic) &&
          !this.#isNamed(user, topic) &&
          session?.topics.has(topic) !== true;
    return isDecided ? undefined : to;
  }

  /** What a token for one topic allows. */
  topicClaims(token: string): Maybe<TopicClaims | TokenProblem> {
    return this.#access.tokens?.topic(token) ?? "invalid";
  }

  /** Refuses (`permission_denied`) what no rule allows the client of a session; and what the backend would have to be asked. */
  check(connection: Connection, action: Action, topic: string): Refusal | undefined {
    const { user, authority } = connection;
    if (
      action in ASKED &&
      this.asked(connection, action as keyof typeof ASKED, topic) !== undefined
    )
      return onlyAsked(topic);
    const isSubscribed = () => connection.session?.topics.has(topic) === true;
    if (authority !== undefined) {
      // An open relay does not open what needs a proof.
      if (action === "subscribe") return this.#checkUnmarked(user, topic);
      return action === "publish" && isSubscribed() ? undefined : notSubscribed(topic);
    }
    if (this.#access.isOpen) {
      return this.#isClosed(topic) && !isSubscribed() ? denied(topic) : undefined;
    }
    if (action === "subscribe") {
      if (!this.#isMarked(topic)) return this.#allows(user, action, topic, isSubscribed);
      return this.#isNamed(user, topic) ? undefined : denied(topic);
    }
    // A rule holds for a prefix that the topics of many users share, so what the marks of a name say holds too.
    if (this.#isMarked(topic) && !this.#isNamed(user, topic) && !isSubscribed()) {
      return denied(topic);
    }
    return this.#allows(user, action, topic, isSubscribed);
  }

  #allows(
    user: string,
    action: Action,
    topic: string,
    isSubscribed: () => boolean,
  ): Refusal | undefined {
    const allowed = this.#rules.of(topic).allow[action] ?? [];
    const isKnown = user !== "" || allowed.includes("anonymous");
    const may = allowed.includes("client") || (allowed.includes("subscriber") && isSubscribed());
    return isKnown && may ? undefined : denied(topic);
  }

  /**
   * Refuses (`permission_denied`) a registered client those topics that are for others. It may have all the rest, unless
   * their rule says who may subscribe, because its backend registered it. The backend itself chose the topics of the
   * registration.
   */
  checkRegistered(
    { user, initialTopics }: Connection,
    topics: Iterable<string>,
  ): Refusal | undefined {
    const { isOpen, closedPrefixes } = this.#access;
    if (isOpen && closedPrefixes.length === 0 && !this.#rules.asksAbout("askSubscribe"))
      return undefined;
    for (const topic of topics) {
      if (initialTopics?.includes(topic) === true) continue;
      if (this.#rules.asked("askSubscribe", topic) !== "" && !this.#isNamed(user, topic))
        return onlyAsked(topic);
      if (isOpen) {
        if (this.#isClosed(topic)) return denied(topic);
        continue;
      }
      const refusal = this.#checkUnmarked(user, topic);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  #checkUnmarked(user: string, topic: string): Refusal | undefined {
    if (this.#isNamed(user, topic)) return undefined;
    const allowed = this.#rules.of(topic).allow.subscribe;
    const isRefused = this.#isMarked(topic) || allowed?.includes("client") === false;
    return isRefused ? denied(topic) : undefined;
  }

  /** Whether the name begins as those that are closed even where the relay is open. */
  #isClosed(topic: string): boolean {
    for (const prefix of this.#access.closedPrefixes) if (topic.startsWith(prefix)) return true;
    return false;
  }

  #isPrivate(topic: string): boolean {
    return topic.startsWith("$") || this.#isClosed(topic);
  }

  /** Whether the name says that the topic is not for everyone. */
  #isMarked(topic: string): boolean {
    return this.#isPrivate(topic) || topic.includes("#");
  }

  /** Whether the name says that the topic is for this user. */
  #isNamed(user: string, topic: string): boolean {
    return !this.#isPrivate(topic) && names(user, topic);
  }
}

/** What is wrong with a token's claims for this topic of this connection; "mismatch" when the token is for another one. */
export function problemOf(
  claims: TopicClaims | TokenProblem,
  { id, user }: Connection,
  topic: string,
): Refusal | "mismatch" | undefined {
  if (claims === "expired") return tokenExpired();
  if (claims === "invalid") {
    return new Refusal("permission_denied", "The token for this topic is not valid.");
  }
  const fits = claims.topic === topic && claims.user === user && (claims.client ?? id) === id;
  return fits ? undefined : "mismatch";
}

function denied(topic: string): Refusal {
  return new Refusal(
    "permission_denied",
    `This client may not do that with the topic ${JSON.stringify(topic)}: BATON_TOPICS_FILE or a token for it would have to allow it.`,
  );
}

/** A registered client sends no subscribe of its own that the backend could be asked about. */
function onlyAsked(topic: string): Refusal {
  return new Refusal(
    "permission_denied",
    `The backend decides who may have the topic ${JSON.stringify(topic)}, and is asked when a Centrifuge or Pusher client subscribes to it; a registered client has it when its registration names it.`,
  );
}

function notSubscribed(topic: string): Refusal {
  return new Refusal(
    "permission_denied",
    `This client is not subscribed to the topic ${JSON.stringify(topic)}, or not yet: it may send events when its subscribe was answered.`,
  );
}

/**
 * The topic that is a user's own. Undefined for a user whose name would make it the topic of others too ("#a,b" is for a
 * and b), or is not allowed in a topic.
 */
export function personalTopic(user: string): string | undefined {
  const topic = `#${user}`;
  const isItsOwn = names(user, topic) && usersOf(topic)?.length === 1;
  return isItsOwn && checkTopic(topic) === undefined ? topic : undefined;
}

/** Whether a topic has no name but the users that it is for, as the topics of single users do. */
export function isPersonal(topic: string): boolean {
  return topic.startsWith("#");
}

/** Whether the users in the name of a topic have this one among them. */
function names(user: string, topic: string): boolean {
  return user !== "" && usersOf(topic)?.includes(user) === true;
}

/** The users after the last "#"; undefined when the topic is not limited to users. */
function usersOf(topic: string): readonly string[] | undefined {
  const mark = topic.lastIndexOf("#");
  return mark < 0 ? undefined : topic.slice(mark + 1).split(",");
}
