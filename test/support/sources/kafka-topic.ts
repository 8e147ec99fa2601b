// A Kafka topic as a source, on a broker of its own.
import { Admin, Consumer, type MessageToProduce, Producer } from "@platformatic/kafka";
import { KafkaServer } from "../brokers/kafka-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

const TOPIC = "orders";
const DEAD_TOPIC = "orders.dead";

/** What the source orders calls its group. */
const GROUP = "baton-orders";

/** A broker that has just been started does not answer everything yet. */
const PATIENT = { retries: 50, retryDelay: 200 };

type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>;

export class KafkaTopic implements SourceServer {
  readonly server: KafkaServer;
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #group: Consumer;

  private constructor(server: KafkaServer) {
    this.server = server;
    const base = { clientId: "test", bootstrapBrokers: [server.broker], ...PATIENT };
    this.#admin = new Admin(base);
    this.#producer = new Producer(base);
    this.#group = new Consumer({ ...base, groupId: GROUP });
    this.#group.topics.track(TOPIC);
  }

  /** The topic has one partition, unless there are to be more. */
  static async start(partitions = 1): Promise<KafkaTopic> {
    const topic = new KafkaTopic(await KafkaServer.start());
    await topic.make(partitions);
    await topic.#admin.createTopics({ topics: [DEAD_TOPIC], partitions: 1, replicas: 1 });
    return topic;
  }

  async make(partitions = 1): Promise<void> {
    await this.#admin.createTopics({ topics: [TOPIC], partitions, replicas: 1 });
  }

  async remove(): Promise<void> {
    await this.#admin.deleteTopics({ topics: [TOPIC] });
  }

  get declaration() {
    return {
      kind: "kafka",
      brokers: [this.server.broker],
      kafka_topics: [TOPIC],
      dead_letters: DEAD_TOPIC,
    };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    await this.send(records.map((record) => ({ value: Buffer.from(JSON.stringify(record)) })));
  }

  async addPoison(text: string): Promise<void> {
    await this.send([{ value: Buffer.from(text) }]);
  }

  /** Resolves when the broker has them. */
  async send(
    messages: readonly Omit<Message, "topic">[],
    compression: "none" | "gzip" | "snappy" | "lz4" | "zstd" = "none",
  ): Promise<void> {
    const all = messages.map((message) => ({ partition: 0, ...message, topic: TOPIC }));
    await this.#producer.send({ messages: all, acks: -1, compression });
  }

  async waiting(): Promise<number> {
    const partitions = [0];
    const committed = await this.#group.listCommittedOffsets({
      topics: [{ topic: TOPIC, partitions }],
    });
    const ends = await this.#group.listOffsets({ topics: [TOPIC] });
    const [done = -1n] = committed.get(TOPIC) ?? [];
    const [end = 0n] = ends.get(TOPIC) ?? [];
    return done < 0n ? Number.NaN : Number(end - done);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    const ends = await this.#group.listOffsets({ topics: [DEAD_TOPIC] });
    const count = Number(ends.get(DEAD_TOPIC)?.[0] ?? 0n);
    const letters: DeadLetter[] = [];
    if (count === 0) return letters;
    const reader = new Consumer({
      clientId: "test",
      groupId: crypto.randomUUID(),
      bootstrapBrokers: [this.server.broker],
      autocommit: false,
      ...PATIENT,
    });
    const stream = await reader.consume({ topics: [DEAD_TOPIC], mode: "earliest" });
    for await (const { headerEntries, value } of stream) {
      const code = headerEntries.findLast(([name]) => String(name) === "baton_code");
      letters.push({ code: String(code?.[1]), record: String(value ?? "") });
      if (letters.length === count) break;
    }
    await reader.close(true);
    return letters;
  }

  async kill(): Promise<void> {
    await this.server.kill();
  }

  async run(): Promise<void> {
    await this.server.run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [this.#admin, this.#producer, this.#group];
    await Promise.all(clients.map((client) => client.close().catch(() => {})));
    await this.server[Symbol.asyncDispose]();
  }
}
