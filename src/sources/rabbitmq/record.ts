// A message of RabbitMQ, as a record of a source.
import type { ConsumeMessage } from "amqplib";
import type { InboundRecord } from "../contract";

/** The place of a message in its stream. */
export interface StreamPlace {
  readonly partition: string;
  readonly offset: number;
}

/** Enough for any offset that is a number, and for a digest. */
const OFFSET_DIGITS = 16;
const DIGEST_DIGITS = 20;

export class RabbitmqRecord implements InboundRecord {
  readonly message: ConsumeMessage;
  readonly #place: StreamPlace | undefined;
  readonly #bodyBytesMax: number;

  constructor(message: ConsumeMessage, place: StreamPlace | undefined, bodyBytesMax: number) {
    this.message = message;
    this.#place = place;
    this.#bodyBytesMax = bodyBytesMax;
  }

  get partition(): string {
    return this.#place?.partition ?? "";
  }

  get position(): string | undefined {
    return this.#place && positionOf(this.message, this.#place.offset);
  }

  /** A message of a queue has no number: only its sender can say that two are the same. */
  get key(): string | undefined {
    return this.#place === undefined ? this.message.properties.messageId : undefined;
  }

  get body(): Uint8Array | undefined {
    return this.size > this.#bodyBytesMax ? undefined : this.message.content;
  }

  get size(): number {
    return this.message.content.length;
  }

  /** Headers that are not texts are written as JSON. */
  get attributes(): Readonly<Record<string, string>> {
    const { fields, properties } = this.message;
    const { messageId, type, appId, headers = {} } = properties;
    const attributes: Record<string, string> = {
      routing_key: fields.routingKey,
      exchange: fields.exchange,
      ...(messageId !== undefined && { message_id: messageId }),
      ...(type !== undefined && { type }),
      ...(appId !== undefined && { app_id: appId }),
    };
    for (const [name, value] of Object.entries(headers)) {
      attributes[`header.${name}`] = typeof value === "string" ? value : JSON.stringify(value);
    }
    return attributes;
  }
}

/** Where a message stands in its stream. */
export function offsetOf({ properties }: ConsumeMessage): number {
  return Number(properties.headers?.["x-stream-offset"]);
}

/** The offset, and behind it a digest of the body: a stream that is made anew has other messages at the same offsets. */
export function positionOf({ content }: ConsumeMessage, offset: number): string {
  const digest = String(Bun.hash(content)).padStart(DIGEST_DIGITS, "0");
  return String(offset).padStart(OFFSET_DIGITS, "0") + digest;
}

/** The offset in a position. */
export function offsetIn(position: string): number {
  return Number(position.slice(0, OFFSET_DIGITS));
}
