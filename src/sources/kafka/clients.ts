// The connections of a source to a Kafka cluster: one as a member of the group, one that fetches records, one that writes dead letters.
//
// A broker answers the requests of a connection one after the other, and one for records may wait for seconds: an acknowledgement
// must not wait behind it.
import { Consumer, type ConsumerOptions, Producer } from "@platformatic/kafka";
import { certificatesOf } from "../tls";
import type { KafkaOptions } from "./options";

type GroupConsumer = Consumer<Buffer, Buffer, Buffer, Buffer>;

const CONNECT_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 20_000;

/** After so long without a sign of life the group gives the partitions of this member to another. */
const SESSION_MS = 10_000;
const HEARTBEAT_MS = 2_000;
const REBALANCE_MS = 30_000;

/** How often joining is tried: the group may be changing, or its coordinator may have moved. */
const JOIN_ATTEMPTS = 10;
const JOIN_PAUSE_MS = 200;

export class KafkaClients {
  readonly group: GroupConsumer;
  readonly fetcher: GroupConsumer;
  readonly producer: Producer;
  #isClosed = false;

  constructor(source: string, { brokers, group = `baton-${source}`, ...options }: KafkaOptions) {
    const { tls = false, sasl, kafka_topics } = options;
    const base = {
      clientId: `baton-${source}`,
      bootstrapBrokers: [...brokers],
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      timeout: REQUEST_TIMEOUT_MS / 2,
      // What fails is begun again by whoever runs the reader. The client's own retries would commit for partitions that the
      // group has given to another member meanwhile.
      retries: 0,
      ...(tls && { tls: certificatesOf(options) ?? {} }),
      ...(sasl !== undefined && { sasl: { ...sasl } }),
    };
    const member: ConsumerOptions<Buffer, Buffer, Buffer, Buffer> = {
      ...base,
      groupId: group,
      autocommit: false,
      // A fixed name: a reader that comes after one that died takes its place at once.
      groupInstanceId: `baton-${source}`,
      sessionTimeout: SESSION_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_MS,
    };
    this.group = new Consumer(member);
    this.fetcher = new Consumer(member);
    this.producer = new Producer(base);
    for (const topic of kafka_topics) {
      this.group.topics.track(topic);
      this.fetcher.topics.track(topic);
    }
  }

  /** Becomes a member of the group, or a member again. */
  async join(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.group.joinGroup({});
        return;
      } catch (error) {
        if (attempt === JOIN_ATTEMPTS || this.#isClosed) throw error;
        await Bun.sleep(JOIN_PAUSE_MS);
      }
    }
  }

  /** Leaves the group and ends the connections. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const clients = [this.group, this.fetcher, this.producer];
    await Promise.all(clients.map((client) => client.close().catch(() => {})));
  }
}
