// A queue or stream of RabbitMQ as a source.
import { type ChannelModel, type ConfirmChannel, connect } from "amqplib";
import type { RabbitmqServer } from "../brokers/rabbitmq-server";
import { until, within } from "../wait";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

type QueueType = "classic" | "quorum" | "stream";

export class RabbitmqQueue implements SourceServer {
  readonly #server: RabbitmqServer;
  readonly #type: QueueType;
  readonly #queue = crypto.randomUUID();
  readonly #deadQueue = `${this.#queue}.dead`;
  #connection!: ChannelModel;
  #channel!: ConfirmChannel;
  #added = 0;
  /** Those that were taken out of their queue. */
  readonly #letters: DeadLetter[] = [];

  private constructor(server: RabbitmqServer, type: QueueType) {
    this.#server = server;
    this.#type = type;
  }

  static async make(server: RabbitmqServer, type: QueueType): Promise<RabbitmqQueue> {
    const queue = new RabbitmqQueue(server, type);
    await queue.#connect();
    await queue.#channel.assertQueue(queue.#deadQueue);
    // Order outlives the death of the server only where one consumer is active at a time.
    const active = type === "stream" ? {} : { "x-single-active-consumer": true };
    await queue.#channel.assertQueue(queue.#queue, {
      arguments: { "x-queue-type": type, ...active },
    });
    return queue;
  }

  async #connect(): Promise<void> {
    const connecting = connect(this.#server.url, { timeout: 60_000 });
    this.#connection = await within("RabbitMQ to take a connection", connecting);
    this.#connection.on("error", () => {});
    this.#channel = await this.#connection.createConfirmChannel();
    this.#channel.on("error", () => {});
  }

  get declaration() {
    return {
      kind: "rabbitmq",
      url: this.#server.url,
      [this.#type === "stream" ? "stream" : "queue"]: this.#queue,
      dead_letters: this.#deadQueue,
    };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    for (const record of records) this.#send(JSON.stringify(record));
    await this.#channel.waitForConfirms();
  }

  async addPoison(text: string): Promise<void> {
    this.#send(text);
    await this.#channel.waitForConfirms();
  }

  #send(text: string): void {
    this.#channel.sendToQueue(this.#queue, Buffer.from(text), {
      persistent: true,
      contentType: "application/json",
      messageId: `id${this.#added++}`,
    });
  }

  /** Of a queue those that nobody has fetched, of a stream none: the server says no more over AMQP. */
  async waiting(): Promise<number> {
    if (this.#type === "stream") return 0;
    return (await this.#channel.checkQueue(this.#queue)).messageCount;
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    for (;;) {
      const letter = await this.#channel.get(this.#deadQueue, { noAck: true });
      if (letter === false) return this.#letters;
      const code = letter.properties.headers?.baton_code;
      this.#letters.push({ code, record: letter.content.toString() });
    }
  }

  async kill(): Promise<void> {
    await this.#server.kill();
  }

  /** Resolves when the queue is there again too: before that, the server confirms what it gives to no queue. */
  async run(): Promise<void> {
    await this.#server.run();
    await this.#connect();
    await until("the queue", () => this.#isThere());
  }

  async #isThere(): Promise<boolean> {
    const channel = await this.#connection.createChannel();
    channel.on("error", () => {});
    const found = await channel.checkQueue(this.#queue).catch(() => undefined);
    if (found !== undefined) await channel.close();
    return found !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within("RabbitMQ to end a connection", this.#connection.close()).catch(() => {});
  }
}
