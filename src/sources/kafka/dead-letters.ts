// The topic that gets the records which cannot be published: as they were, with the reason and where they stood in their headers.
import type { MessageToProduce, Producer } from "@platformatic/kafka";
import type { DeadRecord } from "../contract";
import type { RecordInPartition } from "./record";

/** Every replica that is in step has it before it counts as written. */
const ALL_IN_STEP = -1;

/** What is kept of a record for which the topic has no room. */
const SHORTENED_BYTES = 4_096;
const TOO_LARGE = /MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE/;

type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>;

/** Resolves when the topic has them. */
export async function bury(
  producer: Producer,
  topic: string,
  dead: readonly DeadRecord<RecordInPartition>[],
): Promise<void> {
  for (const one of dead) {
    try {
      await send(producer, letter(topic, one));
    } catch (error) {
      if (!TOO_LARGE.test(namesIn(error))) throw error;
      await send(producer, letter(topic, one, SHORTENED_BYTES));
    }
  }
}

function send(producer: Producer, message: Message): Promise<unknown> {
  return producer.send({ messages: [message], acks: ALL_IN_STEP });
}

function letter(
  topic: string,
  { record, reason }: DeadRecord<RecordInPartition>,
  bytesMax = Number.POSITIVE_INFINITY,
): Message {
  const { key, value, headers } = record.raw;
  const isShortened = value !== null && value.length > bytesMax;
  const added = {
    baton_code: reason.code,
    baton_message: reason.message,
    baton_topic: record.in.topic,
    baton_partition: String(record.in.partition),
    baton_offset: String(record.offset),
    ...(isShortened && { baton_shortened_from: String(value.length) }),
  };
  // Its keys are compared as objects, so that names which come twice stay twice.
  const all = new Map<Buffer, Buffer>();
  for (const [name, content] of headers) all.set(Buffer.from(name ?? ""), content as Buffer);
  for (const [name, content] of Object.entries(added))
    all.set(Buffer.from(name), Buffer.from(content));
  return {
    topic,
    headers: all,
    ...(key != null && { key }),
    ...(value != null && { value: isShortened ? value.subarray(0, bytesMax) : value }),
  };
}

/** The names that Kafka gives to what went wrong, of an error with others in it. */
function namesIn(error: unknown): string {
  const { apiId = "", errors = [] } = error as { apiId?: string; errors?: readonly unknown[] };
  return [apiId, ...errors.map(namesIn)].join(" ");
}
