// The topics that somebody on this node is subscribed to or on the way into, and how many connections each has.
// A topic lives exactly as long as it has a subscriber or a follower here.

import type { Push } from "../contracts/commands";
import type { Engine } from "../contracts/engine";
import type { Publication } from "../contracts/publication";
import type { TopicRules } from "../contracts/topic-rules";
import type { Cluster } from "../state/cluster";
import type { Connection, Socket, Transport } from "../state/connection";
import { type Audience, Topic } from "../state/topic";
import { Presence } from "./presence";

type JoinLeave = Extract<Push, { kind: "join" | "leave" }>;

export interface TopicsOptions {
  readonly outlet: Transport;
  readonly rules: TopicRules;
  readonly engine: Engine;
  readonly cluster: Cluster;
  /** Gives a connection the id that others may know. */
  readonly name: (connection: Connection) => void;
}

export class Topics {
  readonly #options: TopicsOptions;
  readonly #topics = new Map<string, Topic>();
  /** Who is in those topics that are watched. */
  readonly presence: Presence;

  constructor(options: TopicsOptions) {
    this.#options = options;
    this.presence = new Presence(options);
    options.cluster.handle("push", (push: JoinLeave) => {
      const topic = this.#topics.get(push.topic);
      if (topic !== undefined) this.#push(push, topic);
    });
  }

  get size(): number {
    return this.#topics.size;
  }

  /** Each topic with its subscriptions. */
  sizes(): [string, number][] {
    return [...this.#topics.values()].map(({ name, audiences }) => [
      name,
      audiences.reduce((sum, { size }) => sum + size, 0),
    ]);
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** Begins to record what is delivered to the topic, until `unfollow`. */
  follow(name: string): Topic {
    const topic = this.#have(name);
    topic.followers++;
    return topic;
  }

  unfollow(topic: Topic): void {
    topic.followers--;
    if (topic.followers === 0) topic.tail.clear();
    this.#dropIfUnused(topic);
  }

  /** Subscribes an open connection, natively; it must not be subscribed yet. */
  join(connection: Connection, topic: Topic): void {
    const audience = topic.audience(connection.protocol);
    audience.size++;
    connection.topics.push(topic);
    connection.socket?.subscribe(audience.native);
    if (!topic.isWatched) return;
    const info = this.presence.joined(connection, topic);
    if (topic.rule.joinLeave) this.#announce({ kind: "join", topic: topic.name, info }, topic);
  }

  /** Ends a subscription of an open connection. Cost: its topics. */
  leave(connection: Connection, topic: Topic): void {
    connection.topics.splice(connection.topics.indexOf(topic), 1);
    connection.socket?.unsubscribe(topic.audience(connection.protocol).native);
    this.#left(topic, connection);
  }

  /**
   * Makes `names` the topics of an open connection; the names have been checked and stand once each.
   * New ones are joined before old ones are left. Cost: old times new names, not subscribers.
   */
  replace(connection: Connection, names: ReadonlySet<string>): void {
    const before = connection.topics.slice();
    for (const name of names) {
      const topic = this.#have(name);
      if (!before.includes(topic)) this.join(connection, topic);
    }
    for (const topic of before) if (!names.has(topic.name)) this.leave(connection, topic);
  }

  /** Forgets a connection that has ended; its socket left native fan-out when it closed. */
  remove(connection: Connection): void {
    const { topics } = connection;
    connection.topics = [];
    for (const topic of topics) this.#left(topic, connection);
  }

  /**
   * Native fan-out of one publication to all subscribers of its topic: one encoding for each protocol.
   * `except` is one of them that does not get it.
   */
  publish(topic: Topic, publication: Publication, except?: Connection): number {
    let delivered = 0;
    for (const audience of topic.audiences) {
      if (audience.size === 0) continue;
      const { protocol } = audience;
      const not = except?.protocol === protocol ? except.socket : undefined;
      this.#send(audience, protocol.encodePublication(publication), not);
      delivered += audience.size;
    }
    return except === undefined ? delivered : delivered - 1;
  }

  #announce(push: JoinLeave, topic: Topic): void {
    this.#push(push, topic);
    this.#options.cluster.notify("push", push);
  }

  /** Native fan-out of a push to all of a topic's subscribers that have sessions. */
  #push(push: Push, { audiences }: Topic): void {
    for (const { size, protocol, native } of audiences) {
      if (size === 0 || protocol.session === undefined) continue;
      this.#options.outlet.publish(native, protocol.session.encodePush(push));
    }
  }

  #send(audience: Audience, frame: string, except: Socket | undefined): void {
    if (except === undefined) this.#options.outlet.publish(audience.native, frame);
    else this.#options.outlet.publish(audience.native, frame, except);
  }

  #have(name: string): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = new Topic(name, this.#options.rules.of(name));
      this.#topics.set(name, topic);
      this.#options.engine.follow(name);
    }
    return topic;
  }

  #left(topic: Topic, connection: Connection): void {
    topic.audience(connection.protocol).size--;
    if (topic.isWatched) {
      const info = this.presence.left(connection, topic);
      if (topic.rule.joinLeave) this.#announce({ kind: "leave", topic: topic.name, info }, topic);
    }
    this.#dropIfUnused(topic);
  }

  #dropIfUnused(topic: Topic): void {
    if (topic.followers > 0 || topic.audiences.some((audience) => audience.size > 0)) return;
    this.#topics.delete(topic.name);
    this.#options.engine.unfollow(topic.name);
  }
}
