// What the backend asks about connections and does to them: by user, by client, or both, on all nodes.
import type { Member } from "./contracts/commands";
import type { Engine } from "./contracts/engine";
import { notAvailable, Refusal } from "./contracts/errors";
import type { Maybe } from "./contracts/maybe";
import type { RelayOptions } from "./contracts/options";
import type { ClientInfo } from "./contracts/publication";
import type { TopicRules } from "./contracts/topic-rules";
import type { Sessions } from "./sessions/sessions";
import type { ServerSubscription } from "./sessions/subscriptions";
import type { Cluster } from "./state/cluster";
import type { Connection } from "./state/connection";
import type { Connections } from "./state/connections";
import { checkTopic, fitsBytes } from "./text/checks";
import {
  HISTORY_SIZE_MAX,
  type HistoryRequest,
  type KeptPage,
  type Newest,
  newestOfBackend,
  readHistory,
} from "./topics/history";
import type { PresenceCounts } from "./topics/presence";
import type { Topics } from "./topics/topics";

/** Whose connections. Everything that is given must fit; with nothing given it selects none. */
export interface ConnectionSelector {
  readonly user?: string | undefined;
  /** The id of a connection, or the id by which presence knows it. */
  readonly client?: string | undefined;
  /** The secret of a session over a stream. */
  readonly session?: string | undefined;
}

/** What a client is told when its connection is ended. */
export interface DisconnectReason {
  readonly code: number;
  readonly reason: string;
}

/** A close frame has at most 125 bytes, two of which are the code (RFC 6455, 5.5). */
const REASON_BYTES_MAX = 123;

/**
 * The reason with which a backend ends connections. Refuses `invalid_body`. The reason is never empty: the JavaScript
 * SDK would not read the code then.
 */
export function disconnectReason(code = 3503, reason = ""): DisconnectReason | Refusal {
  if (code < 3000 || code > 4999) {
    return new Refusal("invalid_body", "A disconnect code is from 3000 to 4999.");
  }
  if (!fitsBytes(reason, REASON_BYTES_MAX)) {
    return new Refusal(
      "invalid_body",
      `A disconnect reason has at most ${REASON_BYTES_MAX} bytes of UTF-8.`,
    );
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
interface NodeView {
  readonly node: string;
  readonly connections: number;
  /** Users with open connections here. */
  readonly users: number;
  readonly topics: number;
  readonly subscriptions: number;
  /** How long it has been there, in ms. */
  readonly ageMs: number;
}

/** Bodies of messages between nodes. Their names stay as they are, because nodes of another version may run at the same time. */
interface DisconnectBody {
  readonly who: ConnectionSelector;
  readonly close: DisconnectReason;
  readonly spared: readonly string[];
}

interface SubscribeBody {
  readonly who: ConnectionSelector;
  readonly gift: ServerSubscription;
}

/** Everything here is done on all nodes, and rejects with EngineUnavailable where the other nodes are out of reach. */
export class Backend {
  /** This node's name. */
  readonly #node: string;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #engine: Engine;
  readonly #rules: TopicRules;
  readonly #connections: Connections;
  readonly #topics: Topics;
  readonly #sessions: Sessions;
  readonly #cluster: Cluster;

  constructor(
    options: RelayOptions,
    connections: Connections,
    topics: Topics,
    sessions: Sessions,
    cluster: Cluster,
  ) {
    this.#node = options.node;
    this.#now = options.now;
    this.#startedAt = options.now();
    this.#engine = options.engine;
    this.#rules = options.rules;
    this.#connections = connections;
    this.#topics = topics;
    this.#sessions = sessions;
    this.#cluster = cluster;
    this.#handleRequests();
  }

  /** What other nodes ask of this one. */
  #handleRequests(): void {
    const cluster = this.#cluster;
    cluster.handle("connections", (who: ConnectionSelector) => this.#viewsOf(who));
    cluster.handle("disconnect", ({ who, close, spared }: DisconnectBody) =>
      this.#disconnect(who, close, spared),
    );
    cluster.handle("subscribe", ({ who, gift }: SubscribeBody) => this.#subscribe(who, gift));
    cluster.handle("unsubscribe", ({ who, topic }: { who: ConnectionSelector; topic: string }) =>
      this.#unsubscribe(who, topic),
    );
    cluster.handle("refresh", ({ who, ttl }: { who: ConnectionSelector; ttl?: number | "now" }) =>
      this.#refresh(who, ttl),
    );
    cluster.handle("topic sizes", () => this.#sizesHere());
    cluster.handle("subscriber counts", (topics: readonly string[]) => this.#countsHere(topics));
    cluster.handle("node", () => this.#view());
  }

  /** The connections that are selected, with what they do. Cost: the user's connections. */
  async connections(who: ConnectionSelector): Promise<readonly ConnectionView[]> {
    const others = await this.#cluster.request<readonly ConnectionView[]>("connections", who);
    return [...this.#viewsOf(who), ...others.flat()];
  }

  /** Ends connections and their registrations, but not those with an id in `except`; answers how many. */
  async disconnect(
    who: ConnectionSelector,
    reason: DisconnectReason,
    except: readonly string[] = [],
  ): Promise<number> {
    const here = this.#disconnect(who, reason, except);
    const body: DisconnectBody = { who, close: reason, spared: except };
    const others = await this.#cluster.request<number>("disconnect", body);
    return others.reduce((sum, count) => sum + count, here);
  }

  /** Subscribes sessions to a topic; those that have it keep it as it is. */
  async subscribe(
    who: ConnectionSelector,
    subscription: ServerSubscription,
  ): Promise<Refusal | undefined> {
    const refusal = checkTopic(subscription.topic);
    if (refusal !== undefined) return refusal;
    const here = await this.#subscribe(who, subscription);
    const body: SubscribeBody = { who, gift: subscription };
    const others = await this.#cluster.request<Refusal | undefined>("subscribe", body);
    const refused = here ?? others.find((other) => other !== undefined && other !== null);
    return refused && new Refusal(refused.code, refused.message);
  }

  /** Takes sessions out of a topic, or with "" out of all of theirs, and tells their clients. */
  async unsubscribe(who: ConnectionSelector, topic: string): Promise<void> {
    this.#unsubscribe(who, topic);
    await this.#cluster.request("unsubscribe", { who, topic });
  }

  /** The tokens of sessions expire in so many seconds, or never (undefined), or now. */
  async refresh(who: ConnectionSelector, ttl: number | undefined | "now"): Promise<void> {
    this.#refresh(who, ttl);
    await this.#cluster.request("refresh", { who, ttl });
  }

  /** Refuses (`unknown_topic`) a topic that no rule names, where only those are known. */
  checkKnown(topic: string): Refusal | undefined {
    return this.#rules.check(topic);
  }

  /** Who is in a topic. Refuses `invalid_topic`, `not_available`. Cost: the clients in it. */
  async presence(topic: string): Promise<readonly ClientInfo[] | Refusal> {
    return this.#checkPresence(topic) ?? this.#topics.presence.clients(topic);
  }

  /** How many are in a topic. Refuses `invalid_topic`, `not_available`. Constant cost where there is one node. */
  async presenceCounts(topic: string): Promise<PresenceCounts | Refusal> {
    return this.#checkPresence(topic) ?? this.#topics.presence.counts(topic);
  }

  /** The users who are members of a topic. Refuses `invalid_topic`. Cost: the members. */
  members(topic: string): Maybe<readonly Member[] | Refusal> {
    return checkTopic(topic) ?? this.#topics.members.in(topic);
  }

  /** How many users are members of a topic. Refuses `invalid_topic`. */
  memberCount(topic: string): Maybe<number | Refusal> {
    return checkTopic(topic) ?? this.#topics.members.count(topic);
  }

  /** A part of a topic's history, at most about 4 MiB of it; see `readHistory`. Refuses `invalid_topic`. */
  history(topic: string, request: Omit<HistoryRequest, "size">): Maybe<KeptPage | Refusal> {
    const refusal = checkTopic(topic);
    if (refusal !== undefined) return refusal;
    return readHistory(this.#engine, topic, { ...request, size: HISTORY_SIZE_MAX });
  }

  /** What a new subscriber of a topic could begin with; see `newestOfBackend`. The topic has passed `checkTopic`. */
  newest(topic: string): Maybe<Newest> {
    return newestOfBackend(this.#engine, topic);
  }

  /** Removes what a topic's history holds; its epoch and offset stay. Rejects if the engine fails. */
  forgetHistory(topic: string): Maybe<Refusal | undefined> {
    return checkTopic(topic) ?? this.#engine.forget(topic);
  }

  /** All nodes, this one first. Cost: the topics of each. */
  async nodes(): Promise<readonly NodeView[]> {
    return [this.#view(), ...(await this.#cluster.request<NodeView>("node", {}))];
  }

  /** All topics with the numbers of their subscribers. Cost: all topics. */
  async topicSizes(): Promise<ReadonlyMap<string, number>> {
    const others = await this.#cluster.request<readonly [string, number][]>("topic sizes", {});
    const sizes = new Map(await this.#sizesHere());
    for (const [name, size] of others.flat()) sizes.set(name, (sizes.get(name) ?? 0) + size);
    return sizes;
  }

  #sizesHere(): Promise<[string, number][]> {
    return this.#topics.scans.make(() => this.#topics.sizes());
  }

  /** How many subscribers each of these topics has, in their order. Cost: the topics that are named. */
  async subscriberCounts(topics: readonly string[]): Promise<readonly number[]> {
    const { answers } = await this.#cluster.survey<readonly number[]>("subscriber counts", topics);
    const here = this.#countsHere(topics);
    return here.map((count, i) => answers.reduce((sum, other) => sum + (other[i] ?? 0), count));
  }

  /** Whether a topic has subscribers here who have not been told how many there are. */
  hasUncounted(topic: string): boolean {
    return this.#topics.get(topic)?.isCounted === false;
  }

  /** Tells the subscribers of a topic that are here how many there are on all nodes. */
  tellCount(topic: string, count: number): void {
    this.#topics.get(topic)?.fanOutCount(count);
  }

  #countsHere(topics: readonly string[]): readonly number[] {
    return topics.map((topic) => this.#topics.get(topic)?.subscribers ?? 0);
  }

  #view(): NodeView {
    const sizes = this.#topics.sizes();
    return {
      node: this.#node,
      connections: this.#connections.size,
      users: this.#connections.users,
      topics: sizes.length,
      subscriptions: sizes.reduce((sum, [, size]) => sum + size, 0),
      ageMs: this.#now() - this.#startedAt,
    };
  }

  #viewsOf(who: ConnectionSelector): readonly ConnectionView[] {
    const now = this.#now();
    return this.#select(who).map((connection) => ({
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
    except: readonly string[],
  ): number {
    const found = this.#select(who).filter(
      ({ id, publicId }) => !except.includes(id) && !except.includes(publicId),
    );
    for (const connection of found) this.#connections.disconnect(connection, code, reason);
    return found.length;
  }

  async #subscribe(
    who: ConnectionSelector,
    subscription: ServerSubscription,
  ): Promise<Refusal | undefined> {
    const { subscriptions } = this.#sessions;
    const answers = this.#select(who).map((connection) =>
      subscriptions.subscribeByServer(connection, subscription),
    );
    for (const answer of await Promise.all(answers)) {
      if (answer !== undefined && answer.code !== "already_subscribed") return answer;
    }
    return undefined;
  }

  #unsubscribe(who: ConnectionSelector, topic: string): void {
    const { subscriptions } = this.#sessions;
    for (const connection of this.#select(who)) {
      const names = topic === "" ? [...(connection.session?.topics.keys() ?? [])] : [topic];
      for (const name of names) {
        subscriptions.unsubscribeByServer(connection, name, 2000, "server unsubscribe");
      }
    }
  }

  #refresh(who: ConnectionSelector, ttl: number | undefined | "now"): void {
    for (const connection of this.#select(who)) {
      if (connection.session === undefined) continue;
      if (ttl === "now") this.#connections.end(connection, "expired");
      else this.#sessions.setExpiry(connection.session, ttl);
    }
  }

  #checkPresence(topic: string): Refusal | undefined {
    const refusal = checkTopic(topic);
    if (refusal !== undefined || this.#rules.of(topic).presence) return refusal;
    return notAvailable();
  }

  #select({ user = "", client = "", session = "" }: ConnectionSelector): readonly Connection[] {
    const connections = this.#connections;
    const bySession = session === "" ? undefined : this.#sessions.bySecret(session);
    const byClient = connections.byId(client) ?? connections.byPublicId(client);
    const one = bySession ?? byClient;
    // A session that has not said who it is has a secret, but is nobody's yet.
    const isOpen = one !== undefined && connections.byId(one.id) === one;
    const some = one === undefined ? connections.ofUser(user).slice() : isOpen ? [one] : [];
    return some.filter(
      (connection) =>
        (user === "" || connection.user === user) &&
        (client === "" || connection.id === client || connection.publicId === client) &&
        (session === "" || connection.session?.secret === session),
    );
  }
}
