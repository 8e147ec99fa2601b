// The consumer of a source on a JetStream server: it remembers up to where the messages are acknowledged, in the order of the stream.
//
// A consumer that a dead reader has left redelivers what that one had in hand only after a time, behind what is newer. So each
// reader makes a consumer of its own, which begins after the last acknowledged message, and only then removes the one before:
// of the two names that they take in turn, one is there at any moment.
import type { ConsumerConfig, ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import type { NatsOptions } from "./options";

/** What is delivered and not acknowledged at most. It bounds what a reader holds, together with the bytes that it asks for. */
const UNACKNOWLEDGED_MAX = 4_000;

/** In ns. Nothing is to be redelivered while the reader lives, however long the engine is away. */
const ACKNOWLEDGE_WITHIN_NS = 30 * 24 * 3_600_000 * 1e6;

/** What JetStream's manager throws where there is no such consumer or stream. */
const NO_CONSUMER = 10_014;
const NO_STREAM = 10_059;

/** A stream in one of its lives: when it is made anew, its numbers begin again. */
export interface OpenedConsumer {
  readonly name: string;
  readonly created: string;
  /** Whether an acknowledgement holds for all messages before. In a work queue each message needs its own. */
  readonly acknowledges: "all" | "one";
}

/** Makes the consumer for a new reader. Rejects with an Error that says what is wrong. */
export async function openConsumer(
  manager: JetStreamManager,
  source: string,
  { stream, subjects, from = "first", consumer = `baton-${source}` }: NatsOptions,
): Promise<OpenedConsumer> {
  const { config, created } = await manager.streams.info(stream).catch((error) => {
    if (error.code === NO_STREAM) throw new Error(`there is no stream ${stream}`);
    throw error;
  });
  const isQueue = config.retention === "workqueue";
  const names = [`${consumer}-a`, `${consumer}-b`];
  const before = await Promise.all(names.map((name) => infoOf(manager, stream, name)));
  const [a, b] = before.map(acknowledgedUpTo);
  const last = b !== undefined && (a === undefined || b > a) ? 1 : 0;
  const position = last === 0 ? a : b;
  const [old, name] = [names[last] as string, names[1 - last] as string];
  const remove = (which: string) =>
    before[names.indexOf(which)] === undefined
      ? undefined
      : manager.consumers.delete(stream, which);
  await remove(name);
  // A work queue has one consumer at most, and forgets what is acknowledged.
  if (isQueue) await remove(old);
  await manager.consumers.add(stream, {
    ...beginning(isQueue ? undefined : position, isQueue ? "first" : from),
    ...filter(subjects),
    durable_name: name,
    ack_policy: isQueue ? "explicit" : "all",
    ack_wait: ACKNOWLEDGE_WITHIN_NS,
    max_ack_pending: UNACKNOWLEDGED_MAX,
    description: `Baton reads it for its source ${source}`,
  });
  if (!isQueue) await remove(old);
  return { name, created: String(created), acknowledges: isQueue ? "one" : "all" };
}

async function infoOf(
  manager: JetStreamManager,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  return manager.consumers.info(stream, name).catch((error) => {
    if (error.code === NO_CONSUMER) return undefined;
    throw error;
  });
}

/** The number of the last message that is acknowledged; one that has acknowledged nothing began after it. */
function acknowledgedUpTo(info: ConsumerInfo | undefined): number | undefined {
  if (info === undefined) return undefined;
  const { ack_floor, config } = info;
  return Math.max(ack_floor.stream_seq, (config.opt_start_seq ?? 1) - 1);
}

function beginning(
  position: number | undefined,
  from: NonNullable<NatsOptions["from"]>,
): Pick<ConsumerConfig, "deliver_policy" | "opt_start_seq"> {
  if (position !== undefined) {
    return { deliver_policy: "by_start_sequence", opt_start_seq: position + 1 };
  }
  return { deliver_policy: from === "first" ? "all" : "new" };
}

function filter(subjects: readonly string[] | undefined): Partial<ConsumerConfig> {
  if (subjects === undefined) return {};
  const [first = "", ...others] = subjects;
  // Servers before 2.10 know only one.
  return others.length === 0 ? { filter_subject: first } : { filter_subjects: [...subjects] };
}
