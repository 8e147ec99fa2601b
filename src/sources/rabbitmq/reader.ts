// Reads a queue or a stream of RabbitMQ. What the engine has not taken stays unacknowledged and is never handed back: a quorum queue
// counts what comes back, and drops it in the end.
import type { ChannelModel, ConfirmChannel, ConsumeMessage } from "amqplib";
import { Arrivals } from "../arrivals";
import type { DeadRecord, Reader, SourceContext } from "../contract";
import { answered } from "../silence";
import { ANSWER_TIMEOUT_MS, connected, ended } from "./connection";
import { DeadLetterQueue } from "./dead-letter-queue";
import type { RabbitmqOptions } from "./options";
import { RabbitmqRecord } from "./record";
import { offsetNearEnd } from "./stream-end";
import { StreamLife } from "./stream-life";

const PREFETCH = 250;

/**
 * AMQP bounds what is fetched ahead in messages and not in bytes. With so many bytes the reader fails, and those that come after it fetch fewer.
 * The prefetch of a consumer is never changed: what a quorum queue sends while one is ended would be lost with it.
 */
const HELD_BYTES_MAX = 134_217_728;
const CAREFUL_PREFETCH = 8;

export class RabbitmqReader implements Reader<RabbitmqRecord> {
  readonly #options: RabbitmqOptions;
  readonly #context: SourceContext;
  readonly #connection: ChannelModel;
  readonly #channel: ConfirmChannel;
  readonly #deadLetters: DeadLetterQueue;
  /** Sources that had messages too large for the usual prefetch. */
  static readonly #careful = new Set<string>();
  readonly #prefetch: number;
  /** Of a stream. */
  #life: StreamLife | undefined;
  #consumer = "";
  #consumers = 0;
  readonly #arrivals = new Arrivals<RabbitmqRecord>();
  #held: readonly RabbitmqRecord[] = [];
  #hasWarned = false;

  /** Connects and begins to consume. Rejects with an Error that says what is wrong, without a secret. */
  static async open(options: RabbitmqOptions, context: SourceContext): Promise<RabbitmqReader> {
    const connection = await connected(options);
    const opening = async () => {
      const deadLetters = await DeadLetterQueue.open(connection, options);
      const channel = await connection.createConfirmChannel();
      const reader = new RabbitmqReader(options, context, connection, channel, deadLetters);
      await reader.#begin();
      return reader;
    };
    try {
      return await answered(opening(), ANSWER_TIMEOUT_MS);
    } catch (error) {
      await ended(connection);
      throw error;
    }
  }

  private constructor(
    options: RabbitmqOptions,
    context: SourceContext,
    connection: ChannelModel,
    channel: ConfirmChannel,
    deadLetters: DeadLetterQueue,
  ) {
    this.#options = options;
    this.#context = context;
    this.#connection = connection;
    this.#channel = channel;
    this.#deadLetters = deadLetters;
    const prefetch = options.prefetch ?? PREFETCH;
    const isCareful = RabbitmqReader.#careful.has(context.name);
    this.#prefetch = isCareful ? Math.min(prefetch, CAREFUL_PREFETCH) : prefetch;
    connection.on("close", (error) =>
      this.#fail(error ?? new Error("the connection to the server has ended")),
    );
    channel.on("error", (error) => this.#fail(error));
    channel.on("close", () => this.#fail(new Error("the server has ended the reading")));
  }

  async #begin(): Promise<void> {
    const { queue, stream = "" } = this.#options;
    await this.#checked(queue ?? stream);
    if (queue === undefined) this.#life = await StreamLife.open(this.#options, this.#context);
    await this.#consume();
  }

  async #checked(queue: string): Promise<void> {
    // What is not there ends the channel that asks.
    const channel = await this.#connection.createChannel();
    channel.on("error", () => {});
    await channel.checkQueue(queue).catch((error) => {
      throw error.code === 404 ? new Error(`there is no queue ${queue}`) : error;
    });
    await channel.close();
  }

  async #consume(): Promise<void> {
    const { queue, stream = "" } = this.#options;
    const name = queue ?? stream;
    const number = ++this.#consumers;
    const take = (message: ConsumeMessage | null) => {
      if (message === null) this.#fail(new Error(`there is no queue ${name} any more`));
      // What still comes of a stream's consumer before this one comes again. Of a queue's it does not.
      else if (number === this.#consumers || queue !== undefined) this.#take(message);
    };
    await this.#channel.prefetch(this.#prefetch);
    const options =
      this.#life === undefined ? {} : { arguments: { "x-stream-offset": this.#life.beginning } };
    this.#consumer = (await this.#channel.consume(name, take, options)).consumerTag;
  }

  #take(message: ConsumeMessage): void {
    if (this.#arrivals.hasFailed) return;
    const place = this.#life?.placeOf(message);
    if (place === "done") return;
    if (this.#life !== undefined && place === undefined) {
      this.#consumers++;
      this.#consumeAnew().catch((error) => this.#fail(error));
      return;
    }
    this.#warnWithoutId(message);
    this.#arrivals.add(new RabbitmqRecord(message, place, this.#context.bodyBytesMax));
    if (this.#arrivals.bytes > HELD_BYTES_MAX && this.#prefetch > CAREFUL_PREFETCH) {
      RabbitmqReader.#careful.add(this.#context.name);
      this.#fail(new Error("the messages are large, and fewer are fetched at once from now on"));
    }
  }

  /** Another life of the stream is read from its first message. */
  async #consumeAnew(): Promise<void> {
    await this.#channel.cancel(this.#consumer);
    await this.#consume();
  }

  #warnWithoutId({ properties }: ConsumeMessage): void {
    if (this.#hasWarned || this.#life !== undefined || properties.messageId !== undefined) return;
    this.#hasWarned = true;
    this.#context.warn(
      `messages of the queue ${this.#options.queue} have no message_id: one that comes again after a failure is published again`,
    );
  }

  async read(): Promise<readonly RabbitmqRecord[]> {
    await this.#arrivals.waited();
    this.#held = this.#arrivals.take();
    return this.#held;
  }

  async acknowledge(dead: readonly DeadRecord<RabbitmqRecord>[]): Promise<void> {
    this.#arrivals.check();
    await answered(this.#deadLetters.add(dead), ANSWER_TIMEOUT_MS);
    const last = this.#held.at(-1);
    if (last === undefined) return;
    if (last.position !== undefined && dead.at(-1)?.record === last) {
      await this.#context.keepDone(last.partition, last.position);
    }
    this.#channel.ack(last.message, true);
    this.#held = [];
  }

  async lag(): Promise<number | undefined> {
    const { queue, stream = "" } = this.#options;
    if (queue !== undefined) {
      const counted = this.#channel.checkQueue(queue);
      const { messageCount } = await answered(counted, ANSWER_TIMEOUT_MS);
      return messageCount + this.#arrivals.count;
    }
    const end = await offsetNearEnd(this.#connection, stream);
    const missing = end === undefined ? undefined : this.#life?.missingBefore(end);
    return missing === undefined ? undefined : missing + this.#arrivals.count;
  }

  async close(): Promise<void> {
    this.#fail(new Error("the reader is closed"));
    await ended(this.#connection);
  }

  #fail(error: Error): void {
    this.#arrivals.fail(error);
  }
}
