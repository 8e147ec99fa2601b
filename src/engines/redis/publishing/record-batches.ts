// Records of a source on their way to one Redis server: in their order, in calls of a bounded size, one after the other, since
// what a later call publishes would make an earlier one count as published.
import type { RecordsOutcome, SourceRecord } from "../../../relay/contracts/store";
import { fingerprint, nameOf } from "../../idempotency-key";
import type { EngineOptions } from "../../options";
import type { FollowedTopics } from "../following/followed-topics";
import type { ServerClock } from "../server/clock";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { bodyOf } from "../server/wire";
import {
  BATCH_CHARACTERS_MAX,
  PUBLICATIONS_MAX,
  PublishCalls,
  type RecordsPublish,
} from "./publish-script";

/** Nobody counts to how many connections a record was delivered: no node has this name. */
const NO_PUBLISH = "records.0";

interface RecordBatchesOptions
  extends Pick<EngineOptions, "rules" | "newEpoch" | "idempotencyMs" | "idempotencyMax"> {
  readonly link: RedisLink;
  readonly keys: Keys;
  readonly clock: ServerClock;
  readonly followed: Pick<FollowedTopics, "ready">;
  /** As PublishBatches.mayPack. */
  readonly mayPack: () => boolean;
  readonly answered: (count: number, forgottenAgeMs: number) => void;
  readonly failed: (error: unknown) => void;
  /** So many records of the partition have the keys of other publications. */
  readonly conflicted: (partition: string, count: number) => void;
}

/** The records of a call for one topic. */
interface TopicRecords {
  /** Its place among the topics of the call. */
  readonly place: number;
  readonly bodies: string[];
  readonly keys: { index: number; name: string; fingerprint: string }[];
}

/** What one call carries. */
interface Batch {
  readonly topics: Map<string, TopicRecords>;
  readonly positions: RecordsPublish["positions"][number][];
  /** Of idempotency keys. The script sees only keys of earlier calls. */
  readonly names: Set<string>;
  count: number;
  characters: number;
}

export class RecordBatches {
  readonly #options: RecordBatchesOptions;
  readonly #calls: PublishCalls;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: RecordBatchesOptions) {
    this.#options = options;
    this.#calls = new PublishCalls(options.link, options.keys);
  }

  /**
   * Publishes the records of a partition that belong to this server. `upTo` is the position up to which it has all of them then.
   * Rejects with EngineUnavailable.
   */
  publish(
    partition: string,
    records: readonly SourceRecord[],
    upTo: string | undefined,
  ): Promise<RecordsOutcome> {
    const outcome = this.#publish(partition, records, upTo);
    this.#underWay.add(outcome);
    const done = () => void this.#underWay.delete(outcome);
    outcome.then(done, done);
    return outcome;
  }

  /** Resolves when no records are under way. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  async #publish(
    partition: string,
    records: readonly SourceRecord[],
    upTo: string | undefined,
  ): Promise<RecordsOutcome> {
    for (const topic of new Set(records.map(({ publication }) => publication.topic))) {
      // Connections that are in the topic must get the publications.
      const ready = this.#options.followed.ready(topic);
      if (ready !== undefined) await ready;
    }
    let published = 0;
    const batches = this.#batchesOf(records);
    for (const [i, batch] of batches.entries()) {
      published += await this.#send(partition, batch, i === batches.length - 1 ? upTo : undefined);
    }
    return { published, repeated: records.length - published };
  }

  #batchesOf(records: readonly SourceRecord[]): Batch[] {
    const mayPack = this.#options.mayPack();
    const batches: Batch[] = [];
    let batch = newBatch();
    for (const record of records) {
      const { publication, position, key } = record;
      const name = position === undefined && key !== undefined ? nameOf(publication, key) : "";
      const body = bodyOf(publication);
      const isFull =
        batch.count >= PUBLICATIONS_MAX ||
        (batch.count > 0 && batch.characters + body.length > BATCH_CHARACTERS_MAX) ||
        batch.names.has(name) ||
        (!mayPack && batch.topics.has(publication.topic));
      if (isFull) {
        batches.push(batch);
        batch = newBatch();
      }
      add(batch, record, body, name);
    }
    batches.push(batch);
    return batches;
  }

  /** Answers how many were published. */
  async #send(partition: string, batch: Batch, upTo: string | undefined): Promise<number> {
    const { rules, newEpoch, clock, idempotencyMs, idempotencyMax } = this.#options;
    const topics = Array.from(batch.topics, ([topic, { bodies, keys }]) => {
      const { keepsHistory, historySize, historyTtlMs } = rules.of(topic);
      return {
        topic,
        publishId: NO_PUBLISH,
        bodies,
        historySize: keepsHistory ? historySize : 0,
        historyTtlMs,
        epochCandidate: newEpoch(),
        keys,
      };
    });
    const { positions } = batch;
    const now = clock.micros;
    const idempotency = { idempotencyMs, idempotencyMax };
    try {
      const answer = await this.#calls.publishRecords({
        ...{ partition, topics, positions, upTo, now },
        ...idempotency,
      });
      this.#options.answered(answer.count, answer.forgottenAgeMs);
      const keys = answer.topics.flatMap((topic) => topic.keys);
      const conflicts = keys.filter(({ outcome }) => outcome === "conflict").length;
      this.#options.conflicted(partition, conflicts);
      return answer.published;
    } catch (error) {
      this.#options.failed(error);
      throw error;
    }
  }
}

function newBatch(): Batch {
  return { topics: new Map(), positions: [], names: new Set(), count: 0, characters: 0 };
}

function add(
  batch: Batch,
  { publication, position }: SourceRecord,
  body: string,
  name: string,
): void {
  const { topics, positions, names } = batch;
  const place = topics.size;
  const topic = topics.getOrInsertComputed(publication.topic, () => ({
    place,
    bodies: [],
    keys: [],
  }));
  const index = topic.bodies.length;
  if (position !== undefined) positions.push({ topic: topic.place, index, position });
  if (name !== "") {
    names.add(name);
    topic.keys.push({ index, name, fingerprint: String(fingerprint(publication)) });
  }
  topic.bodies.push(body);
  batch.count++;
  batch.characters += body.length;
}
