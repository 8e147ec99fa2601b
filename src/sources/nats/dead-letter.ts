// A message that cannot be published, as it goes to the subject for dead letters: as it was, with the reason in its headers.
import { headers, type MsgHdrs } from "@nats-io/transport-node";
import type { DeadRecord } from "../contract";
import type { NatsRecord } from "./record";

/** What is kept of a message that is too large with the reason. */
const SHORTENED_BYTES = 4_096;

export interface DeadLetter {
  readonly headers: MsgHdrs;
  readonly data: Uint8Array;
}

export function wholeLetter(dead: DeadRecord<NatsRecord>): DeadLetter {
  const { message } = dead.record;
  const all = reasonOf(dead);
  for (const [name, values] of message.headers ?? []) {
    if (all.has(name)) continue;
    for (const value of values) all.append(name, value);
  }
  return { headers: all, data: message.data };
}

/** For a server that takes no more than the message had without the reason: its first bytes, and none of its own headers. */
export function shortenedLetter(dead: DeadRecord<NatsRecord>): DeadLetter {
  const { data } = dead.record.message;
  const all = reasonOf(dead);
  all.set("baton_shortened_from", String(data.length));
  return { headers: all, data: data.subarray(0, SHORTENED_BYTES) };
}

function reasonOf({ record, reason }: DeadRecord<NatsRecord>): MsgHdrs {
  const added = headers();
  added.set("baton_code", reason.code);
  added.set("baton_message", reason.message);
  added.set("baton_subject", record.message.subject);
  added.set("baton_position", record.position);
  // A stream keeps a message with an id once, however often this is tried.
  added.set("Nats-Msg-Id", `${record.partition}/${record.position}`);
  return added;
}

/** What the server counts of it: the data and the headers, which are a first line, a line for each, and an empty one. */
export function bytesOf({ headers, data }: DeadLetter): number {
  let bytes = data.length + "NATS/1.0\r\n\r\n".length;
  for (const [name, values] of headers) {
    for (const value of values) bytes += Buffer.byteLength(`${name}: ${value}\r\n`);
  }
  return bytes;
}
