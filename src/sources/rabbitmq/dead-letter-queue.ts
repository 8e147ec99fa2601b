// The queue that gets the messages which cannot be published: as they were, with the reason in their headers.
import type { ChannelModel, ConfirmChannel, Message } from "amqplib";
import type { DeadRecord } from "../contract";
import type { RabbitmqOptions } from "./options";
import type { RabbitmqRecord } from "./record";

export class DeadLetterQueue {
  readonly #channel: ConfirmChannel;
  readonly #exchange: string;
  readonly #key: string;
  /** Messages that no queue took. */
  #returned = 0;

  private constructor(channel: ConfirmChannel, exchange: string, key: string) {
    this.#channel = channel;
    this.#exchange = exchange;
    this.#key = key;
    channel.on("error", () => {});
    channel.on("return", () => {
      this.#returned++;
    });
  }

  /** Rejects with an Error that says so when there is no such queue or exchange. */
  static async open(
    connection: ChannelModel,
    { dead_letters, dead_letters_exchange = "" }: RabbitmqOptions,
  ): Promise<DeadLetterQueue> {
    const channel = await connection.createConfirmChannel();
    const queue = new DeadLetterQueue(channel, dead_letters_exchange, dead_letters);
    const found =
      dead_letters_exchange === ""
        ? channel.checkQueue(dead_letters)
        : channel.checkExchange(dead_letters_exchange);
    await found.catch((error) => {
      if (error.code !== 404) throw error;
      throw new Error(
        dead_letters_exchange === ""
          ? `there is no queue ${dead_letters} for dead_letters`
          : `there is no exchange ${dead_letters_exchange} for dead_letters`,
      );
    });
    return queue;
  }

  /** Resolves when the server has them all, and rejects when a queue took one not. */
  async add(dead: readonly DeadRecord<RabbitmqRecord>[]): Promise<void> {
    if (dead.length === 0) return;
    this.#returned = 0;
    for (const { record, reason } of dead) {
      const { content, properties, fields } = record.message as Message;
      const { headers, contentType, contentEncoding, correlationId, messageId, type, appId } =
        properties;
      this.#channel.publish(this.#exchange, this.#key, content, {
        ...{ contentType, contentEncoding, correlationId, messageId, type, appId },
        // What no queue takes is returned before it is confirmed.
        mandatory: true,
        persistent: true,
        headers: {
          ...headers,
          baton_code: reason.code,
          baton_message: reason.message,
          baton_exchange: fields.exchange,
          baton_routing_key: fields.routingKey,
        },
      });
    }
    await this.#channel.waitForConfirms();
    if (this.#returned > 0) throw new Error("no queue takes the messages for dead_letters");
  }
}
