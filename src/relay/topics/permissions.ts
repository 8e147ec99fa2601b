// Who may do what: tokens say who a client is, rules say what clients may do with topics. Marks in a topic's name
// narrow it: "$" for those with a token of their own for it, "#" before a list of the users it is for.

import { Refusal, tokenExpired } from "../contracts/errors";
import type { Action, TopicRules } from "../contracts/topic-rules";
import type { Connection } from "../state/connection";
import { checkTopic } from "../text/checks";

/** What a connection's token says. Seconds are from now on. */
export interface ConnectionClaims {
  /** "" is the anonymous user. */
  readonly user: string;
  readonly ttl: number | undefined;
  /** JSON text that others see. */
  readonly info?: string | undefined;
  /** Topics that the relay subscribes it to. */
  readonly topics: ReadonlyMap<string, { readonly info?: string; readonly data?: string }>;
}

/** What a token for one topic says. */
export interface TopicClaims {
  readonly user: string;
  readonly topic: string;
  /** Set: only this connection may use it. */
  readonly client?: string | undefined;
  readonly ttl: number | undefined;
  readonly info?: string | undefined;
  /** JSON text for the subscriber. */
  readonly data?: string | undefined;
}

export type TokenProblem = "invalid" | "expired";

/** Tokens cannot be checked now, because the keys for it cannot be had: nothing is said of the token. */
export class KeysUnavailable extends Error {}

/** Checks tokens; edge/access/tokens.ts is the real one. Rejects with KeysUnavailable. */
export interface TokenVerifier {
  connection(token: string): Promise<ConnectionClaims | TokenProblem>;
  topic(token: string): Promise<TopicClaims | TokenProblem>;
}

export interface PermissionsOptions {
  /** Undefined: there is no key to check tokens with. */
  readonly tokens: TokenVerifier | undefined;
  /** Neither API keys nor tokens are configured: whoever reaches the relay may do anything. */
  readonly isOpen: boolean;
  /** Whether a client without a token may connect, as the anonymous user. */
  readonly anonymous: boolean;
  readonly rules: TopicRules;
}

export class Permissions {
  readonly #options: PermissionsOptions;

  constructor(options: PermissionsOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#options.isOpen;
  }

  /** Who a client is that connects with this token; undefined when it needs one. */
  connect(
    token: string,
  ): ConnectionClaims | TokenProblem | undefined | Promise<ConnectionClaims | TokenProblem> {
    const { tokens, anonymous, isOpen } = this.#options;
    if (!isOpen && token !== "") return tokens?.connection(token) ?? "invalid";
    if (!isOpen && !anonymous) return undefined;
    return { user: "", ttl: undefined, topics: new Map() };
  }

  /** What a token for one topic allows. */
  topic(token: string): "invalid" | Promise<TopicClaims | TokenProblem> {
    return this.#options.tokens?.topic(token) ?? "invalid";
  }

  /** Refuses (`permission_denied`) a client of a session what no rule allows it. */
  check(connection: Connection, action: Action, topic: string): Refusal | undefined {
    if (this.#options.isOpen) return undefined;
    const { user } = connection;
    const isSubscribed = () => connection.session?.topics.has(topic) === true;
    if (action === "subscribe") {
      if (!isMarked(topic)) return this.#allows(user, action, topic, isSubscribed);
      return isNamed(user, topic) ? undefined : denied(topic);
    }
    // A rule is for a prefix, which the topics of many users have in common: what their marks say holds too.
    if (isMarked(topic) && !isNamed(user, topic) && !isSubscribed()) return denied(topic);
    return this.#allows(user, action, topic, isSubscribed);
  }

  #allows(
    user: string,
    action: Action,
    topic: string,
    isSubscribed: () => boolean,
  ): Refusal | undefined {
    const allowed = this.#options.rules.of(topic).allow[action] ?? [];
    const isKnown = user !== "" || allowed.includes("anonymous");
    const may = allowed.includes("client") || (allowed.includes("subscriber") && isSubscribed());
    return isKnown && may ? undefined : denied(topic);
  }

  /**
   * Refuses a registered client the topics that are not for it. It may have all others unless their rule names who
   * may subscribe: its backend has let it in. Those of its registration its backend has chosen itself.
   */
  checkRegistered({ user, initial }: Connection, topics: Iterable<string>): Refusal | undefined {
    if (this.#options.isOpen) return undefined;
    for (const topic of topics) {
      if (initial?.includes(topic) === true) continue;
      if (isNamed(user, topic)) continue;
      const allowed = this.#options.rules.of(topic).allow.subscribe;
      if (isMarked(topic) || allowed?.includes("client") === false) return denied(topic);
    }
    return undefined;
  }
}

/** What is wrong with a token's claims for this topic of this connection; "mismatch": it is for another. */
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

/** The topic that is a user's own. None for a name that would make it others' too ("#a,b" is for a and b), or no topic. */
export function personalTopic(user: string): string | undefined {
  const topic = `#${user}`;
  const isItsOwn = isNamed(user, topic) && usersOf(topic)?.length === 1;
  return isItsOwn && checkTopic(topic) === undefined ? topic : undefined;
}

function isPrivate(topic: string): boolean {
  return topic.startsWith("$");
}

/** Whether its name says that it is not for all. */
function isMarked(topic: string): boolean {
  return isPrivate(topic) || topic.includes("#");
}

/** Whether its name says that it is for this user. */
function isNamed(user: string, topic: string): boolean {
  return !isPrivate(topic) && user !== "" && usersOf(topic)?.includes(user) === true;
}

/** The users after the last "#"; undefined when the topic is not limited to any. */
function usersOf(topic: string): readonly string[] | undefined {
  const mark = topic.lastIndexOf("#");
  return mark < 0 ? undefined : topic.slice(mark + 1).split(",");
}
