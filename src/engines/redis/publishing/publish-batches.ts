// Publications on their way to one Redis server. Those that come while the server works leave together at the end of the turn, in
// one call of a script: what a call costs, in Redis and here, is shared by all of them. A publication that comes while
// nothing is under way leaves at once.
import { keyConflict, type Refusal } from "../../../relay/contracts/errors";
import type { Publication, Published } from "../../../relay/contracts/publication";
import type { EngineOptions } from "../../options";
import type { FollowedTopics } from "../following/followed-topics";
import type { ServerClock } from "../server/clock";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { bodyOf } from "../server/wire";
import type { DeliveryCounts } from "./delivery-counts";
import {
  BATCH_CHARACTERS_MAX,
  PUBLICATIONS_MAX,
  PublishCalls,
  type TopicAnswer,
  type TopicPublications,
} from "./publish-script";

/** An idempotency key, and what was published with it. */
interface KeyedPublish {
  readonly name: string;
  readonly fingerprint: string;
}

interface PublishBatchesOptions
  extends Pick<EngineOptions, "rules" | "node" | "newEpoch" | "idempotencyMs" | "idempotencyMax"> {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly clock: ServerClock;
  readonly followed: Pick<FollowedTopics, "receives" | "ready">;
  readonly counts: DeliveryCounts;
  /** A batch was answered: how many publications the server has taken, and the age of a key forgotten before its time, or -1. */
  readonly answered: (count: number, forgottenAgeMs: number) => void;
  /** A batch has failed. */
  readonly failed: (error: unknown) => void;
}

interface PendingPublish {
  readonly keyed: KeyedPublish | undefined;
  readonly resolve: (published: Published | Refusal) => void;
  readonly reject: (error: unknown) => void;
}

/** The publications of a batch to one topic. */
interface TopicBatch {
  readonly bodies: string[];
  readonly pending: PendingPublish[];
  readonly keys: { index: number; name: string; fingerprint: string }[];
  /** The number of the first publish; 0 until the batch is sent. */
  firstNumber: number;
  /** What is published comes back, and with it the counts of deliveries. */
  isCounted: boolean;
}

export class PublishBatches {
  readonly #options: PublishBatchesOptions;
  readonly #calls: PublishCalls;
  /**
   * Whether several publications to a topic may be one entry and one message. Otherwise a batch has one for each topic: a file
   * that ends amid a script must not leave several entries of a topic.
   */
  mayPack = false;
  /** What the next call carries. */
  #batch = new Map<string, TopicBatch>();
  #batchCount = 0;
  #batchCharacters = 0;
  #isScheduled = false;
  #callsUnderWay = 0;
  #publishes = 0;
  /** Publications that are not settled. */
  #unsettled = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: PublishBatchesOptions) {
    this.#options = options;
    this.#calls = new PublishCalls(options.link, options.keys);
  }

  /** Resolves after the publication was delivered on this node. Rejects with EngineUnavailable. */
  publish(publication: Publication, keyed: KeyedPublish | undefined): Promise<Published | Refusal> {
    const { promise, resolve, reject } = Promise.withResolvers<Published | Refusal>();
    this.#unsettled++;
    const pending = { keyed, resolve, reject };
    // Connections that are in the topic must get the publication.
    const ready = this.#options.followed.ready(publication.topic);
    if (ready === undefined) this.#add(publication, pending);
    else {
      ready.then(
        () => this.#add(publication, pending),
        (error) => this.#reject(pending, error),
      );
    }
    return promise;
  }

  /** Resolves when all publications are settled. */
  async settled(): Promise<void> {
    if (this.#unsettled === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  #add(publication: Publication, pending: PendingPublish): void {
    const { topic } = publication;
    const body = bodyOf(publication);
    let batch = this.#batch.get(topic);
    const isFull =
      this.#batchCount >= PUBLICATIONS_MAX ||
      (this.#batchCount > 0 && this.#batchCharacters + body.length > BATCH_CHARACTERS_MAX) ||
      (batch !== undefined && !this.mayPack);
    if (isFull) {
      this.#send();
      batch = undefined;
    }
    if (batch === undefined) {
      batch = { bodies: [], pending: [], keys: [], firstNumber: 0, isCounted: false };
      this.#batch.set(topic, batch);
    }
    if (pending.keyed !== undefined) {
      batch.keys.push({ index: batch.bodies.length, ...pending.keyed });
    }
    batch.bodies.push(body);
    batch.pending.push(pending);
    this.#batchCount++;
    this.#batchCharacters += body.length;
    if (this.#callsUnderWay === 0) this.#send();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => {
        this.#isScheduled = false;
        this.#send();
      });
    }
  }

  #send(): void {
    if (this.#batchCount === 0) return;
    const batch = this.#batch;
    this.#batch = new Map();
    this.#batchCount = 0;
    this.#batchCharacters = 0;
    const topics: TopicPublications[] = [];
    for (const [topic, each] of batch) topics.push(this.#prepare(topic, each));
    const { clock, idempotencyMs, idempotencyMax } = this.#options;
    this.#callsUnderWay++;
    this.#calls.publish({ now: clock.micros, topics, idempotencyMs, idempotencyMax }).then(
      ({ count, forgottenAgeMs, topics: answers }) => {
        this.#callsUnderWay--;
        this.#options.answered(count, forgottenAgeMs);
        let i = 0;
        for (const [topic, each] of batch) this.#settle(topic, each, answers[i++] as TopicAnswer);
      },
      (error) => {
        this.#callsUnderWay--;
        this.#options.failed(error);
        for (const each of batch.values()) this.#fail(each, error);
      },
    );
  }

  /** Numbers the publishes to a topic, and expects the counts of their deliveries. */
  #prepare(topic: string, batch: TopicBatch): TopicPublications {
    const { rules, node, newEpoch, followed, counts } = this.#options;
    const { bodies, keys } = batch;
    batch.firstNumber = this.#publishes + 1;
    this.#publishes += bodies.length;
    batch.isCounted = followed.receives(topic);
    if (batch.isCounted) {
      for (let i = 0; i < bodies.length; i++) counts.expect(batch.firstNumber + i);
    }
    const { keepsHistory, historySize, historyTtlMs } = rules.of(topic);
    return {
      topic,
      publishId: `${node}.${batch.firstNumber}`,
      bodies,
      historySize: keepsHistory ? historySize : 0,
      historyTtlMs,
      epochCandidate: newEpoch(),
      keys,
    };
  }

  #settle(topic: string, batch: TopicBatch, { offset, epoch, failure, keys }: TopicAnswer): void {
    if (failure !== undefined) {
      const error = this.#options.link.refused("EVALSHA", failure);
      this.#options.failed(error);
      this.#fail(batch, error);
      return;
    }
    const { counts } = this.#options;
    let published = 0;
    let key = 0;
    for (const pending of batch.pending) {
      const answer = pending.keyed === undefined ? undefined : keys[key++];
      if (answer === undefined || answer.outcome === "") {
        const count = batch.isCounted ? counts.countOf(topic, batch.firstNumber + published) : 0;
        const its = offset === undefined ? undefined : offset + published;
        published++;
        if (typeof count === "number") this.#resolve(pending, publishedAs(count, its, epoch));
        else void count.then((later) => this.#resolve(pending, publishedAs(later, its, epoch)));
      } else if (answer.outcome === "conflict") this.#resolve(pending, keyConflict());
      else this.#resolve(pending, publishedAs(0, answer.offset, answer.epoch));
    }
    // Those that were not new have had no number.
    if (batch.isCounted) this.#cancel(batch, published);
  }

  #fail(batch: TopicBatch, error: unknown): void {
    if (batch.isCounted) this.#cancel(batch, 0);
    for (const pending of batch.pending) this.#reject(pending, error);
  }

  #cancel({ firstNumber, bodies }: TopicBatch, from: number): void {
    for (let i = from; i < bodies.length; i++) this.#options.counts.cancel(firstNumber + i);
  }

  #resolve(pending: PendingPublish, answer: Published | Refusal): void {
    pending.resolve(answer);
    this.#done();
  }

  #reject(pending: PendingPublish, error: unknown): void {
    pending.reject(error);
    this.#done();
  }

  #done(): void {
    if (--this.#unsettled > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}

function publishedAs(delivered: number, offset: number | undefined, epoch: string): Published {
  if (offset === undefined) return { delivered, scope: "node" };
  return { delivered, scope: "node", offset, epoch };
}
