// One Redis server: publishes there, reads, and follows topics. Calls and subscriptions use different connections, so nothing relies
// on what only one of them has received.
import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import type { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import type { RecordsOutcome, SourceRecord } from "../../relay/contracts/store";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import { HistoryReads } from "../history-reads";
import { fingerprint, nameOf } from "../idempotency-key";
import { IdempotencyWindow } from "../idempotency-window";
import type { EngineOptions } from "../options";
import { RecordConflicts } from "../source-records";
import { FollowedTopics, type FollowedTopicsOptions } from "./following/followed-topics";
import { GROUP_SCRIPTS } from "./groups/group-scripts";
import { DeliveryCounts } from "./publishing/delivery-counts";
import { PublishBatches } from "./publishing/publish-batches";
import { PUBLISH_SCRIPTS } from "./publishing/publish-script";
import { RecordBatches } from "./publishing/record-batches";
import { ServerClock } from "./server/clock";
import { checkUnsubscribe, runIdOf } from "./server/diagnosis";
import { isForbidden } from "./server/error-answers";
import { RedisLink } from "./server/link";
import { checkPermissions, PROBE_SCRIPTS } from "./server/permissions";
import { REGISTRATION_SCRIPTS } from "./server/registration-scripts";
import { SERVER_SCRIPTS, ServerCalls } from "./server/server-scripts";
import {
  type PositionAnswer,
  type PositionQuery,
  TOPIC_SCRIPTS,
  TopicCalls,
} from "./server/topic-scripts";
import { QUEUE_SCRIPTS } from "./store/queues";
import { RECORD_SCRIPTS } from "./store/records";

/** Errors of a server that is full, cannot write its file, or has too few replicas for a write. */
const REFUSES_WRITES = /[ -](OOM|MISCONF|NOREPLICAS) /;

/** What the histories that are being read may bring. Redis and the network work on a few pages at once, not on a thousand. */
const READS_CHARACTERS_MAX = 4_194_304;

/** The version of what is kept on a server. A newer Baton that keeps what this one cannot read writes a greater one. */
const FORMAT = 1;

interface ShardOptions
  extends EngineOptions,
    Pick<FollowedTopicsOptions, "keys" | "onPermanentMessage" | "historyReset"> {
  readonly url: string;
  /** The channel to which all nodes are subscribed on this server, and that of this node alone, if it has one here. */
  readonly nodesChannel: string;
  readonly inbox: string | undefined;
  /** The next publication of a topic; answers to how many connections of this node it was delivered. */
  readonly onPublication: (publication: Publication) => number;
  /** The server can be used, for the first time or again. */
  readonly onUp: () => void;
}

interface PublishUnderWay {
  readonly fingerprint: string;
  readonly answer: Promise<Published | Refusal>;
}

export class Shard {
  readonly link: RedisLink;
  readonly clock: ServerClock;
  readonly #options: ShardOptions;
  readonly #topicCalls: TopicCalls;
  readonly #serverCalls: ServerCalls;
  readonly #followed: FollowedTopics;
  readonly #counts = new DeliveryCounts((topic) => this.#followed.receives(topic));
  readonly #reads = new HistoryReads(READS_CHARACTERS_MAX);
  /** Publishes with an idempotency key: another one with the same key gets the same answer. */
  readonly #keyed = new Map<string, PublishUnderWay>();
  readonly #window: IdempotencyWindow;
  readonly #batches: PublishBatches;
  readonly #recordBatches: RecordBatches;
  /** The server's run, "" until it is known, and how many publications this node knows the server to have taken. */
  #runId = "";
  #count = 0;
  /** The server can be reached, but has refused a publication. */
  #refusesWrites = false;
  #hasWarnedOfInfo = false;
  /** What a call that publishes says when it ends. */
  readonly #outcomes = {
    answered: (count: number, forgottenAgeMs: number) => {
      this.#countIs(count);
      if (forgottenAgeMs >= 0) this.#window.shortened(forgottenAgeMs);
    },
    failed: (error: unknown) => {
      this.#refusesWrites = this.link.isUp && REFUSES_WRITES.test(String(error));
    },
  };

  constructor(options: ShardOptions) {
    this.#options = options;
    const { idempotencyMs, idempotencyMax, now, warn } = options;
    this.#window = new IdempotencyWindow({
      ttlMs: idempotencyMs,
      keysMax: idempotencyMax,
      now,
      warn,
    });
    this.clock = new ServerClock(options.now);
    this.link = new RedisLink({
      url: options.url,
      setUp: (link) => this.#setUp(link),
      onUp: () => {
        this.#followed.up();
        options.onUp();
      },
      onDown: () => {
        this.#refusesWrites = false;
        this.#batches.mayPack = false;
        this.#followed.down(this.link.unavailable);
        this.#counts.clear();
      },
      report: options.warn,
    });
    this.#topicCalls = new TopicCalls(this.link, options.keys);
    this.#serverCalls = new ServerCalls(this.link, options.keys);
    const { keys, node, nodesChannel, inbox, onPermanentMessage, historyReset } = options;
    this.#followed = new FollowedTopics({
      keys,
      node,
      permanentChannels: [nodesChannel, keys.packs, ...(inbox === undefined ? [] : [inbox])],
      onPermanentMessage,
      historyReset,
      now: () => this.clock.earliestMicros,
      positions: (queries) => this.#positions(queries),
      read: (topic, range) => this.#read(topic, range),
      inOrder: ({ publication, publish }) =>
        this.#counts.record(publish, options.onPublication(publication)),
      discarded: ({ publish }) => this.#counts.record(publish, 0),
      onCount: (count) => this.#countIs(count),
    });
    const { link, clock } = this;
    const sent = { ...options, ...this.#outcomes, link, clock, followed: this.#followed };
    this.#batches = new PublishBatches({ ...sent, counts: this.#counts });
    const conflicts = new RecordConflicts(options);
    this.#recordBatches = new RecordBatches({
      ...sent,
      mayPack: () => this.#batches.mayPack,
      conflicted: (partition, count) => conflicts.found(partition, count),
    });
  }

  /** Whether the server can be reached and takes publications. */
  get healthy(): boolean {
    return this.link.isUp && !this.#refusesWrites;
  }

  follow(topic: string): void {
    this.#followed.follow(topic);
  }

  unfollow(topic: string): void {
    this.#followed.unfollow(topic);
    this.#counts.left(topic);
  }

  rulesChanged(before: TopicRules): void {
    const { rules } = this.#options;
    this.#followed.restart(
      (topic) => before.of(topic).keepsHistory !== rules.of(topic).keepsHistory,
    );
  }

  /** As Engine.publish. */
  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    if (!this.link.isUp) return Promise.reject(this.link.unavailable);
    if (key === undefined) return this.#batches.publish(publication, undefined);
    const keyed = { name: nameOf(publication, key), fingerprint: String(fingerprint(publication)) };
    const underWay = this.#keyed.get(keyed.name);
    if (underWay !== undefined) {
      if (underWay.fingerprint === keyed.fingerprint) return underWay.answer;
      // It is either a conflict or what was published first, and the publish that is under way is the conflict.
      const next = () => this.publish(publication, key);
      return underWay.answer.then(next, next);
    }
    const answer = this.#batches.publish(publication, keyed);
    this.#keyed.set(keyed.name, { fingerprint: keyed.fingerprint, answer });
    const done = () => this.#keyed.delete(keyed.name);
    answer.then(done, done);
    return answer;
  }

  /** Publishes the records that belong here; from then on all are published up to this position, as far as they belong here. */
  publishRecords(
    partition: string,
    records: readonly SourceRecord[],
    upTo: string | undefined,
  ): Promise<RecordsOutcome> {
    if (!this.link.isUp) return Promise.reject(this.link.unavailable);
    return this.#recordBatches.publish(partition, records, upTo);
  }

  async positionOf(partition: string): Promise<string | undefined> {
    const position = this.#options.keys.position(partition);
    return (await this.link.call<string | null>("GET", [position])) ?? undefined;
  }

  /** The partition has this position here, unless it has one. "" is before all. */
  async beginAt(partition: string, position: string): Promise<void> {
    await this.link.call("SET", [this.#options.keys.position(partition), position, "NX"]);
  }

  /** As Engine.history. */
  async history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    if (!this.link.isUp) throw this.link.unavailable;
    await this.#followed.ready(topic);
    const page = await this.#read(topic, range);
    // What is on its way to this node must be delivered before the answer.
    if (page.top !== undefined) await this.#followed.reached(topic, page.top);
    if (!this.link.isUp) throw this.link.unavailable;
    return page;
  }

  async forget(topic: string): Promise<undefined> {
    await this.link.call("DEL", [this.#options.keys.history(topic)]);
  }

  /** What is due now and then: to be called about once a second. */
  maintain(): void {
    if (!this.link.isUp) return;
    this.#followed.checkPositions();
    void this.clock.refresh(this.link);
    if (this.#refusesWrites) this.#tryWrite();
    if (!this.#batches.mayPack) this.#checkNodes().catch(() => {});
  }

  /** Resolves when every publish is answered. */
  async settled(): Promise<void> {
    await Promise.all([this.#batches.settled(), this.#recordBatches.settled()]);
  }

  #countIs(count: number): void {
    this.#count = Math.max(this.#count, count);
  }

  /**
   * While nodes of an older version are there, which are being replaced, publications are written as those read them. An older
   * node that comes later cannot be used.
   */
  async #checkNodes(): Promise<void> {
    const { keys, nodesChannel } = this.#options;
    const mayPack = await this.#serverCalls.allSubscribed(keys.packs, nodesChannel);
    this.#batches.mayPack = mayPack;
  }

  #tryWrite(): void {
    this.#serverCalls.tryWrite().then(
      () => {
        this.#refusesWrites = false;
      },
      () => {},
    );
  }

  async #read(topic: string, range: HistoryRange): Promise<HistoryPage> {
    const { rules, newEpoch } = this.#options;
    const { keepsHistory, historySize, historyTtlMs } = rules.of(topic);
    if (!keepsHistory) return { top: undefined, publications: [] };
    return this.#reads.run(range.size, () => {
      const now = this.clock.micros;
      const epochCandidate = newEpoch();
      const options = { topic, now, historySize, historyTtlMs, epochCandidate, range };
      return this.#topicCalls.read(options);
    });
  }

  async #positions(
    queries: readonly PositionQuery[],
  ): Promise<readonly (PositionAnswer | undefined)[]> {
    const { rules, newEpoch } = this.#options;
    const kept = queries.flatMap((query) => {
      const { keepsHistory, historyTtlMs } = rules.of(query.topic);
      return keepsHistory ? [{ ...query, historyTtlMs }] : [];
    });
    if (kept.length === 0) return [];
    const answers = await this.#topicCalls.positions(kept, this.clock.micros, newEpoch());
    const found = new Map(kept.map(({ topic }, i) => [topic, answers[i]]));
    return queries.map(({ topic }) => found.get(topic));
  }

  /** Both connections are there, and nothing else was asked of them yet. */
  async #setUp(link: RedisLink): Promise<void> {
    const runId = await this.#readRunId(link);
    const all = Object.values({
      ...PUBLISH_SCRIPTS,
      ...TOPIC_SCRIPTS,
      ...SERVER_SCRIPTS,
      ...REGISTRATION_SCRIPTS,
      ...GROUP_SCRIPTS,
      ...RECORD_SCRIPTS,
      ...QUEUE_SCRIPTS,
      ...PROBE_SCRIPTS,
    });
    await Promise.all(all.map(({ text }) => link.call("EVAL", [text, "0"])));
    const { url, keys } = this.#options;
    await Promise.all([checkPermissions(link, keys), checkUnsubscribe(url, keys.probe)]);
    await this.#checkFormat(link);
    await this.clock.read(link);
    const { hasLostData, count } = await this.#serverCalls.join({
      runId,
      knownCount: this.#runId === "" ? undefined : this.#count,
      isSameRun: this.#runId === runId,
      newGeneration: this.#options.newEpoch(),
      // There are fewer claims than microseconds.
      greaterTerm: this.clock.micros,
    });
    if (hasLostData) {
      this.#options.warn(`Redis at ${link.address} has lost data: histories begin again`);
    }
    this.#runId = runId;
    this.#count = count;
    await this.#followed.setUp(link);
    await this.#checkNodes();
  }

  /** Rejects where a newer Baton keeps its data there, which this one would misread. */
  async #checkFormat(link: RedisLink): Promise<void> {
    const format = Number(await link.call<string | null>("GET", [this.#options.keys.format]));
    if (format <= FORMAT) return;
    throw new Error("its data is of a newer Baton");
  }

  /**
   * The server's run. Where it does not say that, each connection counts as another run, in which a loss of data is noticed
   * only by a node that knows of more publications than the server does then.
   */
  async #readRunId(link: RedisLink): Promise<string> {
    let reason = "its INFO does not name its run";
    try {
      const runId = runIdOf(await link.call<string>("INFO", ["server"]));
      if (runId !== undefined) return runId;
    } catch (error) {
      if (!isForbidden(String(error))) throw error;
      reason = (error as Error).message.replace(/^Redis at \S+: /, "");
    }
    if (!this.#hasWarnedOfInfo) {
      const loss = "a loss of its data may go unnoticed";
      this.#options.warn(`Redis at ${link.address}: ${reason}. Without it, ${loss}`);
    }
    this.#hasWarnedOfInfo = true;
    return `unknown ${this.#options.newEpoch()}`;
  }
}
