// A message of a JetStream stream, as a record of a source.
import type { Msg } from "@nats-io/transport-node";
import type { InboundRecord } from "../contract";

/** Enough for any number of a stream. */
const DIGITS = 20;

export class NatsRecord implements InboundRecord {
  readonly partition: string;
  readonly message: Msg;
  readonly #sequence: string;
  readonly #bodyBytesMax: number;

  constructor(partition: string, sequence: string, message: Msg, bodyBytesMax: number) {
    this.partition = partition;
    this.message = message;
    this.#sequence = sequence;
    this.#bodyBytesMax = bodyBytesMax;
  }

  get position(): string {
    return this.#sequence.padStart(DIGITS, "0");
  }

  get body(): Uint8Array | undefined {
    return this.size > this.#bodyBytesMax ? undefined : this.message.data;
  }

  get size(): number {
    return this.message.data.length;
  }

  get attributes(): Readonly<Record<string, string>> {
    const { subject, headers } = this.message;
    const attributes: Record<string, string> = { subject };
    for (const [name] of headers ?? []) attributes[`header.${name}`] = headers?.last(name) ?? "";
    return attributes;
  }
}

/** The numbers of a message, in the subject that acknowledges it; undefined where it is a word of the server. */
export function numbersOf({ reply }: Msg): { sequence: string; delivered: number } | undefined {
  if (!reply?.startsWith("$JS.ACK.")) return undefined;
  const words = reply.split(".");
  // Behind a domain and an account, newer servers write two words more.
  const shift = words.length >= 11 ? 2 : 0;
  return { sequence: words[5 + shift] as string, delivered: Number(words[6 + shift]) };
}
