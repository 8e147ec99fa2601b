// Which records of what a Kafka broker sends are read: not those of transactions that were aborted, nor those before the offset.
import { expect, test } from "bun:test";
import type { RecordsBatch } from "@platformatic/kafka";
import { recordsFrom } from "../../src/sources/kafka/record";

const PARTITION = { topic: "t", topicId: "id", partition: 0, name: "t/0@id" };
const TRANSACTIONAL = 0b10000;
const CONTROL = 0b110000;
const MEGABYTE = 1_048_576;

interface BatchOptions {
  readonly attributes?: number;
  readonly producerId?: bigint;
  readonly leaderEpoch?: number;
}

/** A batch with a record for each text; null is a tombstone. */
function batch(
  firstOffset: bigint,
  texts: readonly (string | null)[],
  { attributes = 0, producerId = -1n, leaderEpoch = 0 }: BatchOptions = {},
): RecordsBatch {
  const records = texts.map((text, offsetDelta) => ({
    length: 0,
    attributes: 0,
    timestampDelta: BigInt(offsetDelta),
    offsetDelta,
    key: null,
    value: text === null ? null : Buffer.from(text),
    headers: [] as [Buffer | null, Buffer | null][],
  }));
  return {
    firstOffset,
    length: 0,
    partitionLeaderEpoch: leaderEpoch,
    magic: 2,
    crc: 0,
    attributes,
    lastOffsetDelta: texts.length - 1,
    firstTimestamp: 1_000n,
    maxTimestamp: 9_000n,
    producerId,
    producerEpoch: 0,
    firstSequence: 0,
    records,
  };
}

/** What is read of these batches from this offset on. */
function read(
  records: RecordsBatch[],
  from = 0n,
  abortedTransactions: { producerId: bigint; firstOffset: bigint }[] = [],
) {
  const fetched = { partitionIndex: 0, abortedTransactions, records } as unknown;
  const found = recordsFrom(
    PARTITION,
    fetched as Parameters<typeof recordsFrom>[1],
    from,
    MEGABYTE,
  );
  const texts = found.records.map(({ body }) => body && Buffer.from(body).toString());
  return { ...found, texts };
}

test("records before the offset that was asked for are left out, and the next offset is the one after the last batch", () => {
  const { texts, next } = read([batch(0n, ["a", "b", "c"]), batch(5n, ["d"])], 2n);
  expect(texts).toEqual(["c", "d"]);
  expect(next).toBe(6n);
});

test("records of an aborted transaction are left out, also where its end is not there yet, and those around it are read", () => {
  const of = { attributes: TRANSACTIONAL, producerId: 7n };
  const other = { attributes: TRANSACTIONAL, producerId: 8n };
  const batches = [batch(0n, ["a"], of), batch(1n, ["other"], other), batch(2n, ["b"], of)];
  const aborted = [{ producerId: 7n, firstOffset: 0n }];
  expect(read(batches, 0n, aborted).texts).toEqual(["other"]);
  expect(read(batches, 0n, aborted).next).toBe(3n);
  const end = batch(3n, [null], { attributes: CONTROL, producerId: 7n });
  expect(read([...batches, end, batch(4n, ["committed"], of)], 0n, aborted).texts).toEqual([
    "other",
    "committed",
  ]);
});

test("two aborted transactions of one producer are both left out, and the one between them is read", () => {
  const of = { attributes: TRANSACTIONAL, producerId: 7n };
  const end = { attributes: CONTROL, producerId: 7n };
  const batches = [
    batch(0n, ["a"], of),
    batch(1n, [null], end),
    batch(2n, ["committed"], of),
    batch(3n, [null], end),
    batch(4n, ["b"], of),
    batch(5n, [null], end),
  ];
  const aborted = [
    { producerId: 7n, firstOffset: 4n },
    { producerId: 7n, firstOffset: 0n },
  ];
  expect(read(batches, 0n, aborted).texts).toEqual(["committed"]);
  expect(read(batches, 0n, aborted).next).toBe(6n);
});

test("positions rise with the offsets, and a record of a later leader is above one that it replaced", () => {
  const { records } = read([batch(9n, ["a", "b"], { leaderEpoch: 3 })]);
  const [later] = read([batch(9n, ["c"], { leaderEpoch: 4 })]).records;
  const positions = [...records, later].map((record) => record?.position);
  expect(positions).toEqual([
    "00000000030000000000000000009",
    "00000000030000000000000000010",
    "00000000040000000000000000009",
  ]);
});

test("a tombstone has no size, and a body that is too large has one but is not there", () => {
  const { records } = read([batch(0n, [null, "x".repeat(MEGABYTE + 1), ""])]);
  expect(records.map(({ size }) => size)).toEqual([undefined, MEGABYTE + 1, 0]);
  expect(records.map(({ body }) => body?.length)).toEqual([undefined, undefined, 0]);
});

test("keys and headers are texts for a mapping, whatever bytes they are, and of two headers with a name the last one counts", () => {
  const one = batch(4n, ["a"]);
  Object.assign(one.records[0] as object, {
    key: Buffer.from([0x6b, 0xff]),
    headers: [
      [Buffer.from("h"), Buffer.from("1")],
      [Buffer.from("h"), Buffer.from("2")],
      [Buffer.from("none"), null],
    ],
  });
  expect(read([one]).records[0]?.attributes).toEqual({
    topic: "t",
    partition: "0",
    offset: "4",
    timestamp: "1000",
    key: "k\ufffd",
    "header.h": "2",
    "header.none": "",
  });
});
