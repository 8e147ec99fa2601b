// A Kafka record as a record of a source, and the records in a fetched part of a partition that are to be read.
import type { Consumer, KafkaRecord, RecordsBatch } from "@platformatic/kafka";
import type { InboundRecord } from "../contract";

/** What a broker sends of one partition. */
type FetchedPartition = Awaited<
  ReturnType<Consumer["fetch"]>
>["responses"][number]["partitions"][number];

/** In the attributes of a batch: its records are part of a transaction; it has the end of one in place of records; the broker set its time. */
const TRANSACTIONAL = 0b10000;
const CONTROL = 0b100000;
const LOG_APPEND_TIME = 0b1000;

/** Enough for any number of 31 and of 63 bits. */
const EPOCH_DIGITS = 10;
const OFFSET_DIGITS = 19;

/** A partition of a topic in one of its lives: a topic that is made anew has another id, and its offsets begin again. */
export interface KafkaPartition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** The name of the partition, for the engine. */
  readonly name: string;
}

export class RecordInPartition implements InboundRecord {
  readonly in: KafkaPartition;
  readonly offset: bigint;
  readonly leaderEpoch: number;
  readonly raw: KafkaRecord;
  readonly #timestamp: bigint;
  readonly #bodyBytesMax: number;

  constructor(
    partition: KafkaPartition,
    batch: RecordsBatch,
    raw: KafkaRecord,
    bodyBytesMax: number,
  ) {
    this.in = partition;
    this.raw = raw;
    this.offset = batch.firstOffset + BigInt(raw.offsetDelta);
    this.leaderEpoch = Math.max(batch.partitionLeaderEpoch, 0);
    this.#timestamp =
      batch.attributes & LOG_APPEND_TIME
        ? batch.maxTimestamp
        : batch.firstTimestamp + raw.timestampDelta;
    this.#bodyBytesMax = bodyBytesMax;
  }

  get partition(): string {
    return this.in.name;
  }

  /**
   * The offset, behind the epoch of the leader that took the record. When a cluster has lost the newest records of a partition, their
   * offsets are given to others, under a leader with a greater epoch.
   */
  get position(): string {
    return (
      String(this.leaderEpoch).padStart(EPOCH_DIGITS, "0") +
      String(this.offset).padStart(OFFSET_DIGITS, "0")
    );
  }

  get body(): Uint8Array | undefined {
    const { value } = this.raw;
    return value == null || value.length > this.#bodyBytesMax ? undefined : value;
  }

  /** Undefined for a tombstone. */
  get size(): number | undefined {
    return this.raw.value?.length;
  }

  /** Keys and headers are bytes: what is not UTF-8 in them is replaced. Of headers with the same name the last one counts. */
  get attributes(): Readonly<Record<string, string>> {
    const { key, headers } = this.raw;
    const attributes: Record<string, string> = {
      topic: this.in.topic,
      partition: String(this.in.partition),
      offset: String(this.offset),
      timestamp: String(this.#timestamp),
    };
    if (key != null) attributes.key = key.toString();
    for (const [name, value] of headers) {
      if (name != null) attributes[`header.${name.toString()}`] = value?.toString() ?? "";
    }
    return attributes;
  }
}

/** The records of a fetched part from this offset on, without those of transactions that were aborted; and the offset after it. */
export function recordsFrom(
  partition: KafkaPartition,
  fetched: FetchedPartition,
  offset: bigint,
  bodyBytesMax: number,
): { readonly records: RecordInPartition[]; readonly next: bigint } {
  const records: RecordInPartition[] = [];
  const aborted = [...(fetched.abortedTransactions ?? [])];
  aborted.sort((one, other) => (one.firstOffset < other.firstOffset ? -1 : 1));
  const aborting = new Set<bigint>();
  let next = offset;
  for (const batch of fetched.records ?? []) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta);
    next = last + 1n > next ? last + 1n : next;
    while (aborted[0] !== undefined && aborted[0].firstOffset <= last) {
      aborting.add((aborted.shift() as (typeof aborted)[number]).producerId);
    }
    if (batch.attributes & CONTROL) {
      aborting.delete(batch.producerId);
      continue;
    }
    if (batch.attributes & TRANSACTIONAL && aborting.has(batch.producerId)) continue;
    for (const raw of batch.records) {
      const record = new RecordInPartition(partition, batch, raw, bodyBytesMax);
      // A batch is sent whole, though it begins before the offset that was asked for.
      if (record.offset >= offset) records.push(record);
    }
  }
  return { records, next };
}
