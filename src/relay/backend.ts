// What the backend asks of connections, and does to them: by user, by client, or both.

import type { Engine, HistoryPage, HistoryRange } from "./contracts/engine";
import { type CloseName, notAvailable, Refusal, shuttingDown } from "./contracts/errors";
import type { Limits } from "./contracts/limits";
import type { ClientInfo, Published } from "./contracts/publication";
import type { TopicRules } from "./contracts/topic-rules";
import { type PublishCommand, toPublications } from "./publishing/acceptance";
import type { Publisher } from "./publishing/publisher";
import type { Sessions } from "./sessions/sessions";
import type { ServerSubscription } from "./sessions/subscriptions";
import type { Cluster } from "./state/cluster";
import type { Connection } from "./state/connection";
import type { Connections } from "./state/registry";
import { checkTopic, fitsBytes } from "./text/checks";
import type { PresenceCounts } from "./topics/presence";
import type { Topics } from "./topics/topics";

/** Whose connections; what is given must all fit. With nothing given it is nobody's. */
export interface ConnectionSelector {
  readonly user?: string | undefined;
  /** An id of a connection, or what presence calls it. */
  readonly client?: string | undefined;
  /** The secret of a session over a stream. */
  readonly session?: string | undefined;
}

/** How connections are ended. */
export interface DisconnectReason {
  readonly code: number;
  readonly reason: string;
}

/** Of the reason in a close frame (RFC 6455, 5.5): 125 bytes, two of them the code. */
const REASON_BYTES_MAX = 123;

/** Refuses (`invalid_body`) what a backend cannot end connections with. Reasons are never empty: SDKs read no code then. */
export function closeOf(code = 3503, reason = ""): DisconnectReason | Refusal {
  if (code < 3000 || code > 4999) {
    return new Refusal("invalid_body", "A code is from 3000 to 4999.");
  }
  if (!fitsBytes(reason, REASON_BYTES_MAX)) {
    return new Refusal("invalid_body", "A reason has at most 123 bytes of UTF-8.");
  }
  return { code, reason: reason || "force disconnect" };
}

/** An open connection, as the backend sees it. */
export interface ConnectionView {
  readonly id: string;
  readonly user: string;
  readonly protocol: string;
  readonly topics: readonly string[];
  /** How long it has been open, in ms. */
  readonly ageMs: number;
  /** What waits in this process for the client to read. */
  readonly waitingBytes: number;
}

/** A node, as the backend sees it. */
export interface NodeView {
  readonly node: string;
  readonly connections: number;
  /** Users with open connections here. */
  readonly users: number;
  readonly topics: number;
  readonly subscriptions: number;
  /** How long it has been there, in ms. */
  readonly ageMs: number;
}

export interface BackendOptions {
  readonly registry: Connections;
  readonly topics: Topics;
  readonly sessions: Sessions;
  readonly cluster: Cluster;
  /** This node's own name. */
  readonly node: string;
  readonly engine: Engine;
  readonly intake: Publisher;
  readonly rules: TopicRules;
  readonly limits: Limits;
  readonly now: () => number;
  readonly isShuttingDown: () => boolean;
  readonly end: (connection: Connection, why: CloseName) => void;
  readonly closed: (connection: Connection) => void;
}

/** Everything here is done on all nodes, and rejects with EngineUnavailable where they are out of reach. */
export class Backend {
  readonly #options: BackendOptions;
  readonly #begun: number;

  constructor(options: BackendOptions) {
    this.#options = options;
    this.#begun = options.now();
    const { cluster } = options;
    cluster.handle("connections", (who: ConnectionSelector) => this.#connections(who));
    cluster.handle("disconnect", ({ who, close, spared }: DisconnectBody) =>
      this.#disconnect(who, close, spared),
    );
    cluster.handle(
      "subscribe",
      ({ who, gift }: { who: ConnectionSelector; gift: ServerSubscription }) =>
        this.#subscribe(who, gift),
    );
    cluster.handle("unsubscribe", ({ who, topic }: { who: ConnectionSelector; topic: string }) =>
      this.#unsubscribe(who, topic),
    );
    cluster.handle("refresh", ({ who, ttl }: { who: ConnectionSelector; ttl?: number | "now" }) =>
      this.#refresh(who, ttl),
    );
    cluster.handle("topic sizes", () => options.topics.sizes());
    cluster.handle("node", () => this.#node());
  }

  /** Cost: the user's connections. */
  async connections(who: ConnectionSelector): Promise<readonly ConnectionView[]> {
    const others = await this.#ask<readonly ConnectionView[]>("connections", who);
    return [...this.#connections(who), ...others.flat()];
  }

  /** Ends connections and their registrations; answers how many. */
  async disconnect(
    who: ConnectionSelector,
    close: DisconnectReason,
    spared: readonly string[] = [],
  ): Promise<number> {
    const here = this.#disconnect(who, close, spared);
    const others = await this.#ask<number>("disconnect", { who, close, spared });
    return others.reduce((sum, count) => sum + count, here);
  }

  /** Brings sessions into a topic; those that have it keep it as it is. */
  async subscribe(who: ConnectionSelector, gift: ServerSubscription): Promise<Refusal | undefined> {
    const refusal = checkTopic(gift.topic);
    if (refusal !== undefined) return refusal;
    const here = await this.#subscribe(who, gift);
    const others = await this.#ask<Refusal | undefined>("subscribe", { who, gift });
    const refused = here ?? others.find((other) => other !== undefined && other !== null);
    return refused && new Refusal(refused.code, refused.message);
  }

  /** Takes sessions out of a topic, or with "" out of all, and tells them. */
  async unsubscribe(who: ConnectionSelector, topic: string): Promise<void> {
    this.#unsubscribe(who, topic);
    await this.#ask("unsubscribe", { who, topic });
  }

  /** Tokens of sessions end in so many seconds, undefined for never, or now. */
  async refresh(who: ConnectionSelector, ttl: number | undefined | "now"): Promise<void> {
    this.#refresh(who, ttl);
    await this.#ask("refresh", { who, ttl });
  }

  /** Refuses (`unknown_topic`) what no rule names, where only that shall be. */
  checkKnown(topic: string): Refusal | undefined {
    return this.#options.rules.check(topic);
  }

  /** Who is in a topic; refuses (`not_available`) where its rule asks for no presence. Cost: those. */
  async presence(topic: string): Promise<readonly ClientInfo[] | Refusal> {
    return this.#noPresence(topic) ?? this.#options.topics.presence.clients(topic);
  }

  /** How many are; in constant time where there is one node. */
  async presenceCounts(topic: string): Promise<PresenceCounts | Refusal> {
    return this.#noPresence(topic) ?? this.#options.topics.presence.counts(topic);
  }

  /** Publishes the same to each of many topics, in their order. Answers like Relay.publish. */
  broadcast(
    topics: readonly string[],
    command: Omit<PublishCommand, "topic">,
  ): (Published | Refusal | Promise<Published | Refusal>)[] {
    if (this.#options.isShuttingDown()) return topics.map(shuttingDown);
    const { intake, limits, rules } = this.#options;
    return toPublications(topics, command, limits.messageBytes).map((publication) =>
      publication instanceof Refusal
        ? publication
        : (rules.check(publication.topic) ?? intake.publish(publication, command.idempotency_key)),
    );
  }

  /** A part of a topic's history, for the backend: publications to single users too. Rejects if the engine fails. */
  history(topic: string, range: HistoryRange): HistoryPage | Refusal | Promise<HistoryPage> {
    return checkTopic(topic) ?? this.#options.engine.history(topic, range);
  }

  /** Removes what a topic's history keeps; its epoch and offset stay. Rejects if the engine fails. */
  forgetHistory(topic: string): Refusal | undefined | Promise<undefined> {
    return checkTopic(topic) ?? this.#options.engine.forget(topic);
  }

  /** All nodes, this one first. Cost: the topics of each. */
  async nodes(): Promise<readonly NodeView[]> {
    return [this.#node(), ...(await this.#ask<NodeView>("node", {}))];
  }

  /** The topics with their subscriptions. Cost: all topics. */
  async topicSizes(): Promise<ReadonlyMap<string, number>> {
    const others = await this.#ask<readonly [string, number][]>("topic sizes", {});
    const sizes = new Map(this.#options.topics.sizes());
    for (const [name, size] of others.flat()) sizes.set(name, (sizes.get(name) ?? 0) + size);
    return sizes;
  }

  #node(): NodeView {
    const { node, registry, topics, now } = this.#options;
    const sizes = topics.sizes();
    return {
      node,
      connections: registry.size,
      users: registry.users,
      topics: sizes.length,
      subscriptions: sizes.reduce((sum, [, size]) => sum + size, 0),
      ageMs: now() - this.#begun,
    };
  }

  #ask<Answer>(kind: string, body: unknown): Promise<readonly Answer[]> {
    return this.#options.cluster.request<Answer>(kind, body);
  }

  #connections(who: ConnectionSelector): readonly ConnectionView[] {
    const now = this.#options.now();
    return this.#of(who).map((connection) => ({
      id: connection.id,
      user: connection.user,
      protocol: connection.protocol.name,
      topics: connection.topics.map(({ name }) => name),
      ageMs: Math.max(0, now - connection.openedAt),
      waitingBytes: connection.socket?.getBufferedAmount() ?? 0,
    }));
  }

  #disconnect(
    who: ConnectionSelector,
    { code, reason }: DisconnectReason,
    spared: readonly string[],
  ): number {
    const isSpared = (id: string) => spared.includes(id);
    const found = this.#of(who).filter((one) => !isSpared(one.id) && !isSpared(one.publicId));
    for (const connection of found) {
      const { socket, protocol } = connection;
      this.#options.closed(connection);
      const last = protocol.session?.encodeDisconnect(code, reason) ?? "";
      if (last !== "") socket?.send(last);
      socket?.close(code, reason);
    }
    return found.length;
  }

  async #subscribe(
    who: ConnectionSelector,
    gift: ServerSubscription,
  ): Promise<Refusal | undefined> {
    const { subscribing } = this.#options.sessions;
    const given = this.#of(who).map((connection) => subscribing.give(connection, gift));
    for (const answer of await Promise.all(given)) {
      if (answer instanceof Refusal && answer.code !== "already_subscribed") return answer;
    }
    return undefined;
  }

  #unsubscribe(who: ConnectionSelector, topic: string): void {
    for (const connection of this.#of(who)) {
      const names = topic === "" ? [...(connection.session?.topics.keys() ?? [])] : [topic];
      for (const name of names) {
        this.#options.sessions.subscribing.takeOut(connection, name, 2000, "server unsubscribe");
      }
    }
  }

  #refresh(who: ConnectionSelector, ttl: number | undefined | "now"): void {
    for (const connection of this.#of(who)) {
      if (connection.session === undefined) continue;
      if (ttl === "now") this.#options.end(connection, "expired");
      else this.#options.sessions.prolong(connection.session, ttl);
    }
  }

  #noPresence(topic: string): Refusal | undefined {
    const refusal = checkTopic(topic);
    if (refusal !== undefined || this.#options.rules.of(topic).presence) return refusal;
    return notAvailable();
  }

  #of({ user = "", client = "", session = "" }: ConnectionSelector): readonly Connection[] {
    const { registry, sessions } = this.#options;
    const bySession = session === "" ? undefined : sessions.bySecret(session);
    const byClient = registry.connection(client) ?? registry.named(client);
    const found = bySession ?? byClient;
    const some =
      found === undefined
        ? registry.ofUser(user).slice()
        : registry.connection(found.id) === found
          ? [found]
          : [];
    return some.filter(
      (connection) =>
        (user === "" || connection.user === user) &&
        (client === "" || connection.id === client || connection.publicId === client) &&
        (session === "" || connection.session?.secret === session),
    );
  }
}

interface DisconnectBody {
  readonly who: ConnectionSelector;
  readonly close: DisconnectReason;
  readonly spared: readonly string[];
}
