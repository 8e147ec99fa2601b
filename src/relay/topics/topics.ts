// The topics that connections of this node are subscribed or subscribing to.
// A topic lives exactly as long as it has a subscriber or a follower here, and the engine follows it as long.
import type { Attendance } from "../attendance/attendance";
import type { MemberPush, Push, SubscriptionForm } from "../contracts/commands";
import { Refusal } from "../contracts/errors";
import type { RelayOptions } from "../contracts/options";
import type { ClientInfo } from "../contracts/publication";
import type { Cluster } from "../state/cluster";
import { type Connection, chargeForReceivers, hiddenIn } from "../state/connection";
import type { Connections } from "../state/connections";
import type { DeltaBases } from "../state/fan-out/delta-audiences";
import { HeldFrames } from "../state/fan-out/held-frames";
import { Topic } from "../state/fan-out/topic";
import type { Waves } from "../state/fan-out/waves";
import { Members } from "./members";
import { Presence } from "./presence";
import { Scans } from "./scans";

type JoinLeave = Extract<Push, { kind: "join" | "leave" }>;

export class Topics {
  readonly #options: Pick<RelayOptions, "engine" | "rules" | "transports" | "tally">;
  readonly #topicsMax: number;
  readonly #subscriptionsMax: number;
  readonly #connections: Connections;
  readonly #cluster: Cluster;
  readonly #waves: Waves;
  readonly #topics = new Map<string, Topic>();
  /** Of all connections here, those that are still subscribing included. */
  #subscriptions = 0;
  readonly #bases: DeltaBases = { bytes: 0 };
  /** What is fanned out to them and shares frames. */
  readonly held = new HeldFrames();
  readonly scans: Scans;
  /** Who is in those topics whose rule asks for it. */
  readonly presence: Presence;
  /** Users who are in topics, over all nodes. */
  readonly members: Members;
  /** Undefined where nobody wants to know who comes and goes. */
  readonly #attendance: Attendance | undefined;

  constructor(
    options: RelayOptions,
    connections: Connections,
    cluster: Cluster,
    waves: Waves,
    attendance: Attendance | undefined,
  ) {
    this.#options = options;
    this.#topicsMax = options.limits.topicsMax || Number.POSITIVE_INFINITY;
    this.#subscriptionsMax = options.limits.subscriptionsMax || Number.POSITIVE_INFINITY;
    this.#connections = connections;
    this.#cluster = cluster;
    this.#waves = waves;
    this.scans = new Scans(options.later);
    this.presence = new Presence(options, connections, cluster);
    cluster.handle("push", (push: JoinLeave) => this.#fanOutPush(push));
    connections.onEnd((connection) => this.#unsubscribeAll(connection));
    this.#attendance = attendance;
    const fanOut = (push: MemberPush) => this.#fanOutMember(push);
    this.members = new Members(options, connections, attendance, fanOut);
  }

  get size(): number {
    return this.#topics.size;
  }

  /** Each topic with the number of its subscribers. */
  sizes(): [string, number][] {
    return [...this.#topics.values()].map(({ name, subscribers }) => [name, subscribers]);
  }

  names(): IterableIterator<string> {
    return this.#topics.keys();
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /**
   * The rules have changed: every topic takes its new one. What has been delivered stays as it was, and so do subscriptions. Cost: the
   * topics, and all connections if presence begins in some of them.
   */
  rulesChanged(): void {
    this.#waves.flushAll();
    const begun = new Set<Topic>();
    for (const topic of this.#topics.values()) {
      const before = topic.rule;
      topic.rule = this.#options.rules.of(topic.name);
      if (!topic.rule.keepsHistory) topic.forgetPosition();
      if (before.presence && !topic.rule.presence) this.presence.forget(topic);
      if (topic.hasPresence && !before.presence) begun.add(topic);
    }
    if (begun.size === 0) return;
    for (const connection of this.#connections.all()) {
      for (const topic of connection.topics) {
        if (begun.has(topic)) this.#present(connection, topic);
      }
    }
  }

  /**
   * Refuses (`too_many_relay_topics`, `too_many_subscriptions`) what there is no room for in this process: a connection that
   * would have these topics, those included that it has. Constant cost while there is much room, else the names.
   */
  checkRoom(connection: Connection, names: ReadonlySet<string>): Refusal | undefined {
    const topicsLeft = this.#topicsMax - this.#topics.size;
    const subscriptionsLeft = this.#subscriptionsMax - this.#subscriptions;
    if (names.size <= topicsLeft && names.size <= subscriptionsLeft) return undefined;
    const before = new Set(connection.topics.map(({ name }) => name));
    for (const { topic } of connection.subscriptions?.pending ?? []) before.add(topic.name);
    const added = [...names].filter((name) => !before.has(name));
    if (added.length > subscriptionsLeft) {
      return new Refusal(
        "too_many_subscriptions",
        `There may be at most ${this.#subscriptionsMax} subscriptions (BATON_SUBSCRIPTIONS_MAX). Try again later.`,
      );
    }
    const created = added.filter((name) => !this.#topics.has(name));
    if (created.length <= topicsLeft) return undefined;
    return new Refusal(
      "too_many_relay_topics",
      `At most ${this.#topicsMax} topics may have subscribers (BATON_TOPICS_MAX). Try again later, or choose topics that have some.`,
    );
  }

  /** Begins to record what is delivered to the topic, until `unfollow`. */
  follow(name: string): Topic {
    this.#waves.flush(name);
    const topic = this.#getOrCreate(name);
    topic.followers++;
    this.#subscriptions++;
    return topic;
  }

  unfollow(topic: Topic): void {
    topic.followers--;
    this.#subscriptions--;
    if (topic.followers === 0) topic.tail.clear();
    this.#deleteIfUnused(topic);
  }

  /** Subscribes an open connection, natively; it must not be subscribed yet. */
  subscribe(connection: Connection, topic: Topic, form: SubscriptionForm = "plain"): void {
    connection.topics.push(topic);
    this.#subscriptions++;
    topic.subscribe(connection, form);
    this.#attendance?.subscribed(topic);
    this.members.subscribed(connection, topic.name);
    if (!topic.hasPresence) return;
    const info = this.#present(connection, topic);
    this.#announce({ kind: "join", topic: topic.name, info }, topic, connection);
  }

  /** Ends a subscription of an open connection. Cost: its topics. */
  unsubscribe(connection: Connection, topic: Topic): void {
    this.#waves.flush(topic.name);
    connection.topics.splice(connection.topics.indexOf(topic), 1);
    this.#left(topic, connection);
  }

  /**
   * Makes `names` the topics of an open connection that cannot resume; each name has been checked and occurs once.
   * New topics are subscribed to before old ones are left. Cost: old times new names, not subscribers.
   */
  replace(connection: Connection, names: ReadonlySet<string>): void {
    const before = connection.topics.slice();
    for (const name of names) {
      this.#waves.flush(name);
      const topic = this.#getOrCreate(name);
      if (!before.includes(topic)) this.subscribe(connection, topic);
    }
    for (const topic of before) if (!names.has(topic.name)) this.unsubscribe(connection, topic);
  }

  /** The connection has ended; its socket left native fan-out when it closed. */
  #unsubscribeAll(connection: Connection): void {
    const { topics } = connection;
    connection.topics = [];
    for (const topic of topics) this.#left(topic, connection);
  }

  #left(topic: Topic, connection: Connection): void {
    topic.unsubscribe(connection);
    this.#attendance?.unsubscribed(connection, topic);
    this.#subscriptions--;
    if (topic.hasPresence) {
      const info = this.presence.left(connection, topic);
      this.#announce({ kind: "leave", topic: topic.name, info }, topic, connection);
    }
    this.#deleteIfUnused(topic);
  }

  #present(connection: Connection, topic: Topic): ClientInfo {
    const info = this.presence.joined(connection, topic);
    this.#attendance?.joined(connection, topic.name, info.user);
    return info;
  }

  #announce(push: JoinLeave, topic: Topic, connection: Connection): void {
    if (!topic.rule.joinLeave || hiddenIn(connection, topic.name)?.joinLeave === true) return;
    chargeForReceivers(connection, topic.subscribers);
    this.#fanOutPush(push);
    this.#cluster.notify("push", push);
  }

  #fanOutPush(push: JoinLeave): void {
    this.#waves.flush(push.topic);
    this.#topics.get(push.topic)?.fanOutPush(push);
  }

  #fanOutMember(push: MemberPush): void {
    this.#waves.flush(push.topic);
    this.#topics.get(push.topic)?.fanOutMember(push);
  }

  #getOrCreate(name: string): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      const { rules, transports, engine, tally } = this.#options;
      topic = new Topic(name, rules.of(name), {
        transports,
        tally,
        bases: this.#bases,
        held: this.held,
      });
      this.#topics.set(name, topic);
      engine.follow(name);
    }
    return topic;
  }

  #deleteIfUnused(topic: Topic): void {
    if (!topic.isUnused) return;
    this.#topics.delete(topic.name);
    this.#options.engine.unfollow(topic.name);
  }
}
