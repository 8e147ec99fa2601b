// One Redis server: publishes there, reads, and follows topics. Calls and subscriptions use different connections, so nothing relies
// on what only one of them has received.
import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import { keyConflict, type Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { fingerprint, nameOf } from "../idempotency-key";
import { IdempotencyWindow } from "../idempotency-window";
import type { EngineOptions } from "../options";
import { DeliveryCounts } from "./following/delivery-counts";
import { FollowedTopics, type FollowedTopicsOptions } from "./following/followed-topics";
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
  type PublishAnswer,
  TOPIC_SCRIPTS,
  TopicCalls,
} from "./server/topic-scripts";
import { bodyOf } from "./server/wire";

/** Errors of a server that is full, cannot write its file, or has too few replicas for a write. */
const REFUSES_WRITES = /[ -](OOM|MISCONF|NOREPLICAS) /;

interface ShardOptions
  extends EngineOptions,
    Pick<
      FollowedTopicsOptions,
      "keys" | "batcher" | "permanentChannels" | "onPermanentMessage" | "historyReset"
    > {
  readonly url: string;
  /** The next publication of a topic; answers to how many connections of this node it was delivered. */
  readonly onPublication: (publication: Publication) => number;
  /** The server can be used, for the first time or again. */
  readonly onUp: () => void;
}

/** An idempotency key, and what was published with it. */
interface KeyedPublish {
  readonly name: string;
  readonly fingerprint: string;
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
  readonly #counts = new DeliveryCounts();
  /** Publishes with an idempotency key: another one with the same key gets the same answer. */
  readonly #keyed = new Map<string, PublishUnderWay>();
  readonly #window: IdempotencyWindow;
  #publishes = 0;
  /** The server's run, "" until it is known, and how many publications this node knows the server to have taken. */
  #runId = "";
  #count = 0;
  /** The server can be reached, but has refused a publication. */
  #refusesWrites = false;
  #hasWarnedOfInfo = false;

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
        this.#followed.down(this.link.unavailable);
        this.#counts.clear();
      },
      report: options.warn,
    });
    this.#topicCalls = new TopicCalls(this.link, options.keys);
    this.#serverCalls = new ServerCalls(this.link, options.keys);
    const { keys, batcher, permanentChannels, onPermanentMessage, historyReset } = options;
    this.#followed = new FollowedTopics({
      keys,
      batcher,
      permanentChannels,
      onPermanentMessage,
      historyReset,
      now: () => this.clock.earliestMicros,
      positions: (queries) => this.#positions(queries),
      read: (topic, range) => this.#read(topic, range),
      inOrder: ({ publication, publishId }) =>
        this.#counts.record(publishId, options.onPublication(publication)),
      discarded: ({ publishId }) => this.#counts.record(publishId, 0),
      onCount: (count) => {
        this.#count = Math.max(this.#count, count);
      },
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
  }

  /** As Engine.publish. */
  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    if (!this.link.isUp) return Promise.reject(this.link.unavailable);
    if (key === undefined) return this.#publish(publication);
    const keyed = { name: nameOf(publication, key), fingerprint: String(fingerprint(publication)) };
    const underWay = this.#keyed.get(keyed.name);
    if (underWay !== undefined) {
      const isSame = underWay.fingerprint === keyed.fingerprint;
      return isSame ? underWay.answer : Promise.resolve(keyConflict());
    }
    const answer = this.#publish(publication, keyed);
    this.#keyed.set(keyed.name, { fingerprint: keyed.fingerprint, answer });
    const done = () => this.#keyed.delete(keyed.name);
    answer.then(done, done);
    return answer;
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
    this.#counts.expire();
    if (!this.link.isUp) return;
    this.#followed.checkPositions();
    void this.clock.refresh(this.link);
    if (this.#refusesWrites) this.#tryWrite();
  }

  async #publish(publication: Publication, keyed?: KeyedPublish): Promise<Published | Refusal> {
    const { topic } = publication;
    // Connections that are in the topic must get the publication.
    const ready = this.#followed.ready(topic);
    if (ready !== undefined) await ready;
    const publishId = `${this.#options.node}.${++this.#publishes}`;
    if (this.#followed.has(topic)) this.#counts.expect(publishId);
    let answer: PublishAnswer;
    try {
      answer = await this.#sendPublish(publication, publishId, keyed);
    } catch (error) {
      this.#counts.cancel(publishId);
      this.#refusesWrites = this.link.isUp && REFUSES_WRITES.test(String(error));
      throw error;
    }
    const [outcome, offset, epoch, count, forgottenAge] = answer;
    if (outcome !== "") this.#counts.cancel(publishId);
    if (outcome === "conflict") return keyConflict();
    if (outcome === "") {
      this.#count = Math.max(this.#count, count);
      if (forgottenAge >= 0) this.#window.shortened(forgottenAge);
    }
    const delivered = outcome === "" ? await this.#counts.countOf(publishId) : 0;
    if (offset === "") return { delivered, scope: "node" };
    return { delivered, scope: "node", offset: Number(offset), epoch };
  }

  #sendPublish(
    publication: Publication,
    publishId: string,
    keyed: KeyedPublish | undefined,
  ): Promise<PublishAnswer> {
    const { topic } = publication;
    const { rules, newEpoch, idempotencyMs, idempotencyMax } = this.#options;
    const { keepsHistory, historySize, historyTtlMs } = rules.of(topic);
    return this.#topicCalls.publish({
      topic,
      now: this.clock.micros,
      publishId,
      body: bodyOf(publication),
      historySize: keepsHistory ? historySize : 0,
      historyTtlMs,
      epochCandidate: newEpoch(),
      idempotency: keyed && {
        name: keyed.name,
        fingerprint: keyed.fingerprint,
        ttlMs: idempotencyMs,
        keysMax: idempotencyMax,
      },
    });
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
    const now = this.clock.micros;
    const epochCandidate = newEpoch();
    const options = { topic, now, historySize, historyTtlMs, epochCandidate, range };
    return this.#topicCalls.read(options);
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
      ...TOPIC_SCRIPTS,
      ...SERVER_SCRIPTS,
      ...REGISTRATION_SCRIPTS,
      ...PROBE_SCRIPTS,
    });
    await Promise.all(all.map(({ text }) => link.call("EVAL", [text, "0"])));
    const { url, keys } = this.#options;
    await Promise.all([checkPermissions(link, keys), checkUnsubscribe(url, keys.probe)]);
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
