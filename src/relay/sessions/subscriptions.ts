// The topics of sessions: subscribing with or without a token, unsubscribing, and what the backend does for a client.
import { type Denial, Dismissal, type Questions } from "../contracts/backend/questions";
import type { CommandOf, Member, SubscribeResult } from "../contracts/commands";
import { type Engine, EngineUnavailable } from "../contracts/engine";
import { engineUnavailable, Refusal } from "../contracts/errors";
import { all, type Maybe, then } from "../contracts/maybe";
import type { Limits, RelayOptions } from "../contracts/options";
import type { Position } from "../contracts/publication";
import type { TokenProblem, TokenTopic, TokenTopics, TopicClaims } from "../contracts/tokens";
import type { TopicRules } from "../contracts/topic-rules";
import type { Frame } from "../contracts/transport";
import type { Attempt, Recovery } from "../recovery/recovery";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { expiryOf, type Session } from "../state/session";
import type { Subscriptions } from "../state/subscriptions";
import { checkTopic } from "../text/checks";
import { type Newest, newestOfBackend } from "../topics/history";
import type { Membership } from "../topics/members";
import { type Permissions, problemOf } from "../topics/permissions";
import type { Topics } from "../topics/topics";
import type { SessionParts } from "./parts";
import { encodeReply, type Replies } from "./replies";

/** A topic that the backend subscribes a session to. */
export interface ServerSubscription extends TokenTopic {
  readonly topic: string;
  /** Seconds until the subscription expires; undefined means that it never does. */
  readonly ttl?: number | undefined;
  /** The client is also sent what was published after this position. */
  readonly since?: Position | undefined;
}

/** What the claims say that matters to a client's reply. */
type StartClaims = Pick<TopicClaims, "ttl" | "data"> & {
  readonly membership?: Membership | undefined;
};

const NO_PROOF = { signature: "", text: undefined };

export class SessionSubscriptions {
  readonly #engine: Engine;
  readonly #limits: Limits;
  readonly #rules: TopicRules;
  readonly #now: () => number;
  readonly #connections: Connections;
  readonly #permissions: Permissions;
  readonly #recovery: Recovery;
  readonly #topics: Topics;
  readonly #replies: Replies;
  readonly #questions: Questions | undefined;
  readonly #witness: RelayOptions["witness"];

  constructor(parts: SessionParts) {
    const { options, connections, permissions, recovery, topics, replies } = parts;
    const { engine, limits, rules, now, questions } = options;
    this.#questions = questions;
    this.#engine = engine;
    this.#limits = limits;
    this.#rules = rules;
    this.#now = now;
    this.#connections = connections;
    this.#permissions = permissions;
    this.#recovery = recovery;
    this.#topics = topics;
    this.#replies = replies;
    this.#witness = options.witness;
  }

  /** A client's subscribe command. The promise, if there is one, is of the reply. */
  subscribe(
    connection: Connection,
    session: Session,
    command: CommandOf<"subscribe">,
  ): Maybe<void> {
    const { topic } = command;
    // Clients of an authority may ask again, and are answered as the first time.
    const hasItAlready = connection.authority !== undefined && session.topics.has(topic);
    const refusal =
      this.#checkName(topic) ?? (hasItAlready ? undefined : this.#checkRoom(session, topic));
    if (refusal !== undefined) {
      this.#replies.refuse(connection, command, refusal);
      return undefined;
    }
    return then<TopicClaims | TokenProblem | Denial, void>(
      this.#claimsOf(connection, command),
      (found) => {
        if (connection.session !== session) return undefined;
        if (found instanceof Refusal) this.#replies.refuse(connection, command, found);
        else if (found instanceof Dismissal)
          this.#connections.disconnect(connection, found.code, found.reason);
        else return this.#subscribeWith(found, connection, session, command);
        return undefined;
      },
    );
  }

  /** What the client may have the topic as, by its authority, its token, the rules, or the backend when it is asked. */
  #claimsOf(
    connection: Connection,
    { topic, token, proof = NO_PROOF, data }: CommandOf<"subscribe">,
  ): Maybe<TopicClaims | TokenProblem | Denial> {
    const { user, authority } = connection;
    const claims = { user, topic, ttl: undefined };
    const granted = authority?.topic(connection, topic, proof);
    if (granted !== undefined)
      return granted instanceof Refusal ? granted : { ...claims, ...granted };
    const hasToken = authority === undefined && !this.#permissions.isOpen && token !== "";
    if (hasToken) return this.#permissions.topicClaims(token);
    const to = this.#permissions.asked(connection, "subscribe", topic);
    if (to !== undefined && this.#questions !== undefined) {
      return this.#questions.subscribe(connection, to, { topic, data }).then((answer) => {
        const isDenied = answer instanceof Refusal || answer instanceof Dismissal;
        if (isDenied)
          this.#connections.journal.refused({ user, question: "subscribe", topic, why: answer });
        return answer;
      });
    }
    return this.#permissions.check(connection, "subscribe", topic) ?? claims;
  }

  #subscribeWith(
    found: TopicClaims | TokenProblem,
    connection: Connection,
    session: Session,
    command: CommandOf<"subscribe">,
  ): Maybe<void> {
    const { topic } = command;
    const { subscriptions } = connection;
    if (connection.session !== session || subscriptions === undefined) return undefined;
    const problem = problemOf(found, connection, topic);
    if (problem === "mismatch") this.#connections.end(connection, "invalid_token");
    else if (problem !== undefined) this.#replies.refuse(connection, command, problem);
    if (problem !== undefined) return undefined;
    const { ttl, info, data, member, hidden } = found as TopicClaims;
    const had = session.topics.get(topic);
    const refusal =
      this.#topics.checkRoom(connection, new Set([topic])) ??
      (had === undefined || had.member === member?.user ? undefined : alreadySubscribed());
    if (refusal !== undefined) {
      this.#replies.refuse(connection, command, refusal);
      return undefined;
    }
    if (had === undefined) {
      const expiresAt = expiryOf(ttl, this.#now());
      const isFromToken = false;
      session.topics.set(topic, { info, member: member?.user, hidden, expiresAt, isFromToken });
    }
    if (member === undefined) return this.#start(connection, subscriptions, command, { ttl, data });
    return this.#enter(connection, topic, member).then((membership) => {
      if (membership === undefined || connection.session !== session) return undefined;
      if (membership instanceof Refusal) {
        this.#replies.refuse(connection, command, membership);
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
      const entered = await this.#topics.members.enter(connection, topic, member);
      if (entered instanceof Refusal) this.unsubscribe(connection, topic);
      else if (!isIn() || !this.#topics.members.holds(connection, entered)) return undefined;
      return entered;
    } catch (error) {
      this.unsubscribe(connection, topic);
      throw error;
    }
  }

  /** Reads where the subscription starts, and answers the command when that is known. */
  #start(
    connection: Connection,
    subscriptions: Subscriptions,
    command: CommandOf<"subscribe">,
    claims: StartClaims,
  ): Maybe<void> {
    const { topic, resumption, wantsNewest } = command;
    const since = new Map(resumption.since && [[topic, resumption.since]]);
    const attempt = this.#recovery.read(connection, subscriptions, [topic], since);
    return then(attempt, (read) => {
      if (read === undefined) return undefined;
      // Who has the topic already may have been sent newer ones.
      const isShown = wantsNewest === true && read.begun.length > 0 && read.pages !== undefined;
      const newest = isShown ? newestOfBackend(this.#engine, topic) : undefined;
      return then<Newest | undefined, void>(newest, (found) => {
        if (connection.subscriptions !== subscriptions) return;
        const next = found && this.#shown(connection, topic, read.pages?.[0]?.top, found);
        this.#answer(read, command, claims, next);
      });
    });
  }

  /**
   * What a subscription that starts at `top` begins with: the last event, or that there is none. Undefined where one came after `top`,
   * while this was read: the client is sent that one in any case, and those that it took the place of may be gone.
   */
  #shown(
    { protocol }: Connection,
    topic: string,
    top: Position | undefined,
    { publication, top: later }: Newest,
  ): Frame | undefined {
    if (publication === undefined) this.#witness?.tell({ kind: "missed", topic });
    else if (later?.epoch !== top?.epoch || Number(publication.offset) > Number(top?.offset)) {
      return undefined;
    }
    return protocol.kind === "session" ? protocol.encodeNewest?.(topic, publication) : undefined;
  }

  /** `next` follows the reply. */
  #answer(
    read: Attempt,
    command: CommandOf<"subscribe">,
    { ttl, data, membership }: StartClaims,
    next: Frame | undefined,
  ): void {
    const { connection, begun, pages } = read;
    const { id, topic, resumption, form: asked } = command;
    const form = this.#rules.of(topic).delta ? asked : "plain";
    for (const subscription of begun) subscription.form = form;
    const [result] =
      pages === undefined ? [] : this.#recovery.plan(read, this.#recovery.replyBytes);
    const refusal = result === undefined ? engineUnavailable() : checkRecovered(result, resumption);
    if (result === undefined || refusal !== undefined) {
      this.#recovery.abandon(read);
      this.unsubscribe(connection, topic);
      this.#replies.refuse(connection, command, refusal as Refusal);
      return;
    }
    const members = membership && this.#topics.members.listFor(connection, membership);
    // A client that is told of no expiry leaves it to the relay to ask in time.
    const isRenewed = this.#rules.asked("askRefresh", topic) !== "";
    const subscribed = { ...result, ttl: isRenewed ? undefined : ttl, data, form, members };
    const reply = encodeReply(connection, { kind: "subscribed", id, subscribed });
    this.#recovery.commit(read, reply, next);
    // It had the topic already, so nothing is fanned out without it.
    if (begun.length === 0 && membership !== undefined) {
      this.#topics.members.subscribed(connection, topic);
    }
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
    this.#topics.members.leave(connection, topic);
    session.topics.delete(topic);
    return true;
  }

  /** Takes a session out of a topic for the relay's or the backend's reason, and tells its client. */
  unsubscribeByServer(connection: Connection, topic: string, code: number, reason: string): void {
    const { protocol } = connection;
    if (!this.unsubscribe(connection, topic) || protocol.kind !== "session") return;
    const push = protocol.encodePush({ kind: "unsubscribed", topic, code, reason });
    if (push.length > 0) this.#connections.send(connection, push);
  }

  /**
   * Subscribes a session for its backend, and tells its client. Refuses `invalid_topic`, `already_subscribed`,
   * `too_many_topics` and what `Topics.checkRoom` does. Rejects with EngineUnavailable.
   */
  subscribeByServer(
    connection: Connection,
    { topic, info, data, hidden, ttl, since }: ServerSubscription,
  ): Maybe<Refusal | undefined> {
    const { session, subscriptions, protocol } = connection;
    if (session === undefined || subscriptions === undefined) return undefined;
    const refusal =
      this.#checkName(topic) ??
      this.#checkRoom(session, topic) ??
      this.#topics.checkRoom(connection, new Set([topic]));
    if (refusal !== undefined) return refusal;
    const expiresAt = expiryOf(ttl, this.#now());
    const isFromToken = false;
    session.topics.set(topic, { info, member: undefined, hidden, expiresAt, isFromToken });
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
    return then(all(added), () => undefined);
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
      return alreadySubscribed();
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

function alreadySubscribed(): Refusal {
  return new Refusal("already_subscribed", "The connection already has this topic.");
}
