// A Kafka topic as a source.
import { Admin, Consumer, Producer } from "@platformatic/kafka";
import type { KafkaServer } from "../brokers/kafka-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

/** A broker that has just been started does not answer everything yet. */
const PATIENT = { retries: 50, retryDelay: 200 };

export class KafkaTopic implements SourceServer {
  readonly #topic = crypto.randomUUID();
  readonly #deadTopic = `${this.#topic}.dead`;
  readonly #server: KafkaServer;
  readonly #producer: Producer;
  readonly #group: Consumer;

  private constructor(server: KafkaServer) {
    this.#server = server;
    const base = { clientId: "test", bootstrapBrokers: [server.broker], ...PATIENT };
    this.#producer = new Producer(base);
    this.#group = new Consumer({ ...base, groupId: this.#topic });
    this.#group.topics.track(this.#topic);
  }

  /** Makes one with one partition. */
  static async make(server: KafkaServer): Promise<KafkaTopic> {
    const topic = new KafkaTopic(server);
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [server.broker], ...PATIENT });
    const topics = [topic.#topic, topic.#deadTopic];
    await admin.createTopics({ topics, partitions: 1, replicas: 1 });
    await admin.close();
    return topic;
  }

  get declaration() {
    return {
      kind: "kafka",
      brokers: [this.#server.broker],
      kafka_topics: [this.#topic],
      group: this.#topic,
      dead_letters: this.#deadTopic,
    };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    await this.#send(records.map((record) => JSON.stringify(record)));
  }

  async addPoison(text: string): Promise<void> {
    await this.#send([text]);
  }

  async #send(texts: readonly string[]): Promise<void> {
    const messages = texts.map((text) => ({
      topic: this.#topic,
      partition: 0,
      value: Buffer.from(text),
    }));
    await this.#producer.send({ messages, acks: -1 });
  }

  async waiting(): Promise<number> {
    const partitions = [0];
    const committed = await this.#group.listCommittedOffsets({
      topics: [{ topic: this.#topic, partitions }],
    });
    const ends = await this.#group.listOffsets({ topics: [this.#topic] });
    const [done = -1n] = committed.get(this.#topic) ?? [];
    const [end = 0n] = ends.get(this.#topic) ?? [];
    return done < 0n ? Number.NaN : Number(end - done);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    const ends = await this.#group.listOffsets({ topics: [this.#deadTopic] });
    const count = Number(ends.get(this.#deadTopic)?.[0] ?? 0n);
    const letters: DeadLetter[] = [];
    if (count === 0) return letters;
    const reader = new Consumer({
      clientId: "test",
      groupId: crypto.randomUUID(),
      bootstrapBrokers: [this.#server.broker],
      autocommit: false,
      ...PATIENT,
    });
    const stream = await reader.consume({ topics: [this.#deadTopic], mode: "earliest" });
    for await (const { headerEntries, value } of stream) {
      const code = headerEntries.findLast(([name]) => String(name) === "baton_code");
      letters.push({ code: String(code?.[1]), record: String(value ?? "") });
      if (letters.length === count) break;
    }
    await reader.close(true);
    return letters;
  }

  async kill(): Promise<void> {
    await this.#server.kill();
  }

  async run(): Promise<void> {
    await this.#server.run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [this.#producer, this.#group];
    await Promise.all(clients.map((client) => client.close().catch(() => {})));
  }
}
