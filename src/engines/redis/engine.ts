// The engine for several nodes. What is published goes through Redis, which numbers it, keeps it for a while, and passes it to the
// nodes that follow its topic. With several servers each topic belongs to one of them; one has the registrations.
import {
  type Engine,
  type EngineEvents,
  EngineUnavailable,
  type Groups,
  type HistoryPage,
  type HistoryRange,
  type Registrations,
} from "../../relay/contracts/engine";
import type { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import type { Queues, Records, RecordsOutcome, SourceRecord } from "../../relay/contracts/store";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import type { EngineOptions } from "../options";
import { checkRecords, isAbove, sumOf } from "../source-records";
import { SENDER } from "./groups/group-scripts";
import { RedisGroups } from "./groups/groups";
import { RedisRegistrations } from "./registrations";
import { isFinal } from "./server/error-answers";
import { Keys } from "./server/keys";
import { Shard } from "./shard";
import { ShardMap } from "./shard-map";
import { RedisQueues } from "./store/queues";
import { RedisRecords } from "./store/records";

/** Which server has the registrations: that of this name. */
const REGISTRATIONS_NAME = "registrations";

/** Healthy while all its servers can be reached and take publications. */
export class RedisEngine implements Engine {
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly records: Records;
  readonly queues: Queues;
  readonly #node: string;
  readonly #warn: (sentence: string) => void;
  readonly #keys: Keys;
  readonly #shards: ShardMap<Shard>;
  /** The server that has the registrations, groups, records and queues, and carries messages between nodes. */
  readonly #homeShard: Shard;
  readonly #registrations: RedisRegistrations;
  readonly #groups: RedisGroups;
  #events: EngineEvents | undefined;
  /** Partitions that have a position on each server. */
  readonly #begun = new Set<string>();
  /** Warnings that wait until the start has succeeded; undefined after that. */
  #heldWarnings: string[] | undefined = [];

  /** `addresses` are URLs, separated by commas. */
  constructor(options: EngineOptions, addresses: string) {
    this.#node = options.node;
    this.#warn = options.warn;
    this.#keys = new Keys(options.prefix);
    const keys = this.#keys;
    const urls = addresses.split(",");
    const homeUrl = new ShardMap(urls, (url) => url).of(REGISTRATIONS_NAME);
    const shard = (url: string): Shard =>
      new Shard({
        ...options,
        url,
        keys,
        warn: (sentence) => {
          if (this.#heldWarnings === undefined) this.#warn(sentence);
          else this.#heldWarnings.push(sentence);
        },
        nodesChannel: url === homeUrl ? keys.allNodes : keys.silence,
        inbox: url === homeUrl ? keys.inbox(this.#node) : undefined,
        onPermanentMessage: (text) => this.#onNodeMessage(text),
        onPublication: (publication) => this.#events?.deliver(publication) ?? 0,
        historyReset: (topic) => this.#events?.historyReset(topic),
        onUp: () => {
          if (url !== homeUrl) return;
          this.#registrations.reconnected();
          this.#groups.reconnected();
        },
      });
    this.#shards = new ShardMap(urls, shard);
    this.#homeShard = this.#shards.of(REGISTRATIONS_NAME);
    this.#registrations = new RedisRegistrations({
      ...options,
      keys,
      link: this.#homeShard.link,
      clock: this.#homeShard.clock,
      revoked: (id, term) => this.#events?.registrationRevoked(id, term),
    });
    this.registrations = this.#registrations;
    this.#groups = new RedisGroups({
      ...options,
      keys,
      link: this.#homeShard.link,
      clock: this.#homeShard.clock,
      events: {
        groupChanged: (change) => this.#events?.groupChanged(change),
        groupsUnsure: () => this.#events?.groupsUnsure(),
      },
    });
    this.groups = this.#groups;
    const { link, clock } = this.#homeShard;
    this.records = new RedisRecords({ keys, link, clock });
    this.queues = new RedisQueues({ keys, link, clock });
  }

  /** Resolves whether or not the servers can be reached. When that is hopeless, rejects with an Error of one sentence. */
  async start(events: EngineEvents): Promise<void> {
    this.#events = events;
    await Promise.all(this.#shards.all.map(({ link }) => link.start()));
    for (const { link } of this.#shards.all) {
      const { message } = link.unavailable;
      if (link.isUp || !isFinal(message)) continue;
      this.#stop();
      throw new Error(`BATON_ENGINE: ${message.replace(/\.?$/, ".")}`);
    }
    for (const sentence of this.#heldWarnings ?? []) this.#warn(sentence);
    this.#heldWarnings = undefined;
  }

  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    if (this.#events === undefined) return Promise.reject(new EngineUnavailable("not started"));
    return this.#shards.of(publication.topic).publish(publication, key);
  }

  /** Each server has a position of its own, and gets the newest though it may get no record: so all is published up to the least. */
  async publishRecords(
    partition: string,
    records: readonly SourceRecord[],
  ): Promise<RecordsOutcome> {
    checkRecords(records);
    if (this.#events === undefined) throw new EngineUnavailable("not started");
    await this.#begin(partition);
    const shards = records.map(({ publication }) => this.#shards.of(publication.topic));
    let upTo: string | undefined;
    for (const { position } of records) {
      if (position !== undefined && isAbove(position, upTo)) upTo = position;
    }
    const outcomes = this.#shards.all.flatMap((shard) => {
      const its = records.filter((_, i) => shards[i] === shard);
      if (its.length === 0 && upTo === undefined) return [];
      return [shard.publishRecords(partition, its, upTo)];
    });
    return sumOf(await Promise.all(outcomes));
  }

  async positionOf(partition: string): Promise<string | undefined> {
    return leastOf(await this.#positionsOf(partition)) || undefined;
  }

  history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    if (this.#events === undefined) return Promise.reject(new EngineUnavailable("not started"));
    return this.#shards.of(topic).history(topic, range);
  }

  forget(topic: string): Promise<undefined> {
    return this.#shards.of(topic).forget(topic);
  }

  follow(topic: string): void {
    this.#shards.of(topic).follow(topic);
  }

  unfollow(topic: string): void {
    this.#shards.of(topic).unfollow(topic);
  }

  /** A message to all nodes also comes back to this one, which ignores it by the node's name in front. */
  async sendToNodes(message: string, to?: string): Promise<number> {
    const { allNodes } = this.#keys;
    const channel = to === undefined ? allNodes : this.#keys.inbox(to);
    const text = `${this.#node}\n${message}`;
    const receivers = await this.#homeShard.link.call<number>("PUBLISH", [channel, text]);
    // Without any receiver, the subscription of this node has just broken.
    return Math.max(0, to === undefined ? receivers - 1 : receivers);
  }

  rulesChanged(before: TopicRules): void {
    for (const shard of this.#shards.all) shard.rulesChanged(before);
  }

  sweep(): void {
    for (const shard of this.#shards.all) shard.maintain();
    if (!this.#homeShard.link.isUp) return;
    this.#registrations.renew();
    this.#groups.renew();
  }

  healthy(): boolean {
    return this.#events !== undefined && this.#shards.all.every((shard) => shard.healthy);
  }

  async close(): Promise<void> {
    if (this.#events === undefined) return;
    // Publishes that were accepted are still delivered.
    await Promise.all(this.#shards.all.map((shard) => shard.settled()));
    await this.#groups.close();
    await this.#registrations.close();
    this.#stop();
  }

  #positionsOf(partition: string): Promise<readonly (string | undefined)[]> {
    return Promise.all(this.#shards.all.map((shard) => shard.positionOf(partition)));
  }

  /**
   * Before anything of a partition is published, each of several servers has a position. So one without any is new in the list, and
   * begins where all is published, since the source may begin far before that.
   */
  async #begin(partition: string): Promise<void> {
    const { all } = this.#shards;
    if (all.length === 1 || this.#begun.has(partition)) return;
    const positions = await this.#positionsOf(partition);
    const first = leastOf(positions) ?? "";
    await Promise.all(
      all.map((shard, i) => {
        return positions[i] === undefined ? shard.beginAt(partition, first) : undefined;
      }),
    );
    this.#begun.add(partition);
  }

  #stop(): void {
    this.#events = undefined;
    for (const { link } of this.#shards.all) link.stop();
  }

  #onNodeMessage(text: string): void {
    const end = text.indexOf("\n");
    if (end === SENDER.length && text.startsWith(SENDER)) {
      this.#groups.receive(text.slice(end + 1));
      return;
    }
    // Every message has a sender, but for those that only count the nodes.
    if (end > 0 && text.slice(0, end) !== this.#node)
      this.#events?.messageReceived(text.slice(end + 1));
  }
}

/** The least of those that there are; "" is before all. */
function leastOf(positions: readonly (string | undefined)[]): string | undefined {
  let least: string | undefined;
  for (const position of positions) {
    if (position === undefined) continue;
    if (least === undefined || isAbove(least, position)) least = position;
  }
  return least;
}
