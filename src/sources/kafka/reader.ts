// Reads topics of Kafka as a member of a consumer group, each record once: its offset in its partition is its position.
//
// It fetches when it needs records, in place of the client's own stream: that one buffers far more than it is asked to, and goes on with
// the records of a partition that the group has given to another member.
import type { Consumer, FetchOptions } from "@platformatic/kafka";
import { Arrivals } from "../arrivals";
import { BATCH_BYTES_MAX, type DeadRecord, type Reader, type SourceContext } from "../contract";
import { KafkaClients } from "./clients";
import { bury } from "./dead-letters";
import type { KafkaOptions } from "./options";
import { type KafkaPartition, type RecordInPartition, recordsFrom } from "./record";

/** How long a broker waits for records, how much it sends at once, and how much of one partition. A larger batch comes alone. */
const FETCH_WAIT_MS = 5_000;
const FETCH_BYTES = BATCH_BYTES_MAX;
const PARTITION_BYTES = 1_048_576;

/** What stands for the first offset of a partition and for the one after its last, as Kafka's protocol has it. */
const EARLIEST = -2n;
const LATEST = -1n;

/** How long an acknowledgement waits for a group that is being divided anew. */
const REBALANCE_WAIT_MS = 60_000;

type FetchRequestTopic = FetchOptions<Buffer, Buffer, Buffer, Buffer>["topics"][number];
type FetchResponse = Awaited<ReturnType<Consumer["fetch"]>>;

/** A partition that is this member's own. */
interface Assigned extends KafkaPartition {
  /** The offset to fetch from. */
  next: bigint;
  /** The offset after its last record, as of the last fetch. */
  end: bigint;
}

export class KafkaReader implements Reader<RecordInPartition> {
  readonly #options: KafkaOptions;
  readonly #context: SourceContext;
  readonly #clients: KafkaClients;
  /** The ids of the topics when the reader was opened, and how many partitions they had. */
  readonly #topics: string;
  /** By topic and partition. */
  #assigned = new Map<string, Assigned>();
  /** The group has been divided anew: which partitions are this member's own is to be looked up. */
  #isStale = true;
  /** Settles when this member belongs to the group again. */
  #joining: Promise<void> | undefined;
  readonly #arrivals = new Arrivals<RecordInPartition>();
  #held: readonly RecordInPartition[] = [];
  /** The brokers that have been asked for records and have not answered yet. */
  readonly #asked = new Set<number>();
  /** Counts the divisions of the group: what was asked for before the last one is dropped. */
  #division = 0;

  /** Connects and joins the group. Rejects with an Error that says what is wrong, without a secret. */
  static async open(options: KafkaOptions, context: SourceContext): Promise<KafkaReader> {
    const clients = new KafkaClients(context.name, options);
    try {
      for (const topic of [...options.kafka_topics, options.dead_letters]) {
        await clients.group.metadata({ topics: [topic] }).catch((error) => {
          if (!/Unknown topic/.test(error.message)) throw error;
          throw new Error(`there is no topic ${topic}`);
        });
      }
      const topics = await topicsOf(clients, options);
      const reader = new KafkaReader(options, context, clients, topics);
      await clients.join();
      return reader;
    } catch (error) {
      await clients.close();
      throw new Error(sentenceOf(error));
    }
  }

  private constructor(
    options: KafkaOptions,
    context: SourceContext,
    clients: KafkaClients,
    topics: string,
  ) {
    this.#options = options;
    this.#context = context;
    this.#clients = clients;
    this.#topics = topics;
    const { group, fetcher, producer } = clients;
    group.on("consumer:group:join", () => {
      this.#isStale = true;
      this.#arrivals.wake();
    });
    // The client has tried to join again and could not.
    group.on("error", () => this.#rejoin());
    fetcher.on("error", (error: Error) => this.#fail(error));
    producer.on("error", (error: Error) => this.#fail(error));
  }

  #rejoin(): void {
    this.#joining ??= this.#clients
      .join()
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#joining = undefined;
      });
  }

  async read(): Promise<readonly RecordInPartition[]> {
    await this.#joining;
    try {
      if (this.#isStale && !this.#arrivals.hasFailed) await this.#divide();
      this.#ask();
    } catch (error) {
      this.#fail(error as Error);
    }
    await this.#arrivals.waited();
    // What has arrived may belong to another member by now.
    if (this.#isStale) return [];
    this.#held = this.#arrivals.take();
    // The next ones may come while these are published.
    this.#ask();
    return this.#held;
  }

  /** Looks up which partitions are this member's own, and where to begin in them. */
  async #divide(): Promise<void> {
    const { group } = this.#clients;
    this.#isStale = false;
    this.#division++;
    this.#arrivals.clear();
    const assigned = new Map<string, Assigned>();
    const assignments = (group.assignments ?? []).filter(({ partitions }) => partitions.length > 0);
    if (assignments.length > 0) {
      const topics = assignments.map(({ topic }) => topic);
      const [metadata, committed, first, end] = await Promise.all([
        group.metadata({ topics: [...topics] }),
        group.listCommittedOffsets({ topics: assignments }),
        group.listOffsets({ topics: [...topics], timestamp: EARLIEST }),
        group.listOffsets({ topics: [...topics], timestamp: LATEST }),
      ]);
      for (const { topic, partitions } of assignments) {
        const topicId = metadata.topics.get(topic)?.id ?? topic;
        for (const partition of partitions) {
          const at = (offsets: Map<string, bigint[]>) => offsets.get(topic)?.[partition] ?? -1n;
          assigned.set(keyOf(topic, partition), {
            topic,
            topicId,
            partition,
            name: `${topic}/${partition}@${topicId}`,
            next: this.#beginning(topic, partition, at(committed), at(first), at(end)),
            end: at(end),
          });
        }
      }
      // From now on the group remembers where this source began, also where that was the end.
      const begun = [...assigned.values()].filter(
        ({ topic, partition }) => (committed.get(topic)?.[partition] ?? -1n) < 0n,
      );
      if (begun.length > 0) await this.#commit(begun.map((one) => ({ ...one, offset: one.next })));
    }
    this.#assigned = assigned;
  }

  #beginning(
    topic: string,
    partition: number,
    committed: bigint,
    first: bigint,
    end: bigint,
  ): bigint {
    if (committed < 0n) return this.#options.from === "next" ? end : first;
    if (committed < first) {
      this.#context.lost(
        Number(first - committed),
        `${first - committed} records of partition ${partition} of ${topic} were removed by Kafka before they were read`,
      );
      return first;
    }
    // The newest records were lost, so that their offsets come again: what was published before is dropped by its position.
    return committed > end ? first : committed;
  }

  /** Asks the brokers for records, unless there are some that are not read yet. */
  #ask(): void {
    if (this.#arrivals.count > 0 || this.#arrivals.hasFailed || this.#isStale) return;
    const { currentMetadata } = this.#clients.group;
    const byNode = new Map<number, Map<string, FetchRequestTopic>>();
    for (const { topic, topicId, partition, next } of this.#assigned.values()) {
      const node = currentMetadata?.topics.get(topic)?.partitions[partition]?.leader ?? -1;
      if (this.#asked.has(node)) continue;
      const topics = byNode.getOrInsertComputed(node, () => new Map());
      const asked = topics.getOrInsertComputed(topicId, () => ({ topicId, partitions: [] }));
      asked.partitions.push({
        partition,
        fetchOffset: next,
        currentLeaderEpoch: -1,
        lastFetchedEpoch: -1,
        partitionMaxBytes: PARTITION_BYTES,
      });
    }
    for (const [node, topics] of byNode) void this.#fetch(node, [...topics.values()]);
  }

  async #fetch(node: number, topics: FetchRequestTopic[]): Promise<void> {
    this.#asked.add(node);
    const division = this.#division;
    try {
      const response = await this.#clients.fetcher.fetch({
        node,
        topics,
        maxWaitTime: FETCH_WAIT_MS,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
      });
      if (division === this.#division) this.#take(response);
    } catch (error) {
      if (division === this.#division) this.#fail(error as Error);
    }
    this.#asked.delete(node);
    this.#ask();
  }

  #take({ responses }: FetchResponse): void {
    for (const { topicId, partitions } of responses) {
      for (const fetched of partitions) {
        const assigned = [...this.#assigned.values()].find(
          (one) => one.topicId === topicId && one.partition === fetched.partitionIndex,
        );
        if (assigned === undefined) continue;
        const { bodyBytesMax } = this.#context;
        const { records, next } = recordsFrom(assigned, fetched, assigned.next, bodyBytesMax);
        assigned.next = next;
        assigned.end = fetched.highWatermark;
        for (const record of records) this.#arrivals.add(record);
      }
    }
  }

  async acknowledge(dead: readonly DeadRecord<RecordInPartition>[]): Promise<void> {
    await bury(this.#clients.producer, this.#options.dead_letters, dead);
    await this.#untilJoined();
    const own = new Set(
      (this.#clients.group.assignments ?? []).flatMap(({ topic, partitions }) =>
        partitions.map((partition) => keyOf(topic, partition)),
      ),
    );
    const last = new Map<string, RecordInPartition>();
    for (const record of this.#held) last.set(keyOf(record.in.topic, record.in.partition), record);
    // What another member has by now, it acknowledges itself.
    const done = [...last].filter(([key]) => own.has(key)).map(([, record]) => record);
    if (done.length > 0) {
      await this.#commit(
        done.map(({ in: { topic, partition }, offset, leaderEpoch }) => ({
          topic,
          partition,
          offset: offset + 1n,
          leaderEpoch,
        })),
      );
    }
    this.#held = [];
  }

  async #untilJoined(): Promise<void> {
    const deadline = performance.now() + REBALANCE_WAIT_MS;
    while (this.#joining !== undefined || !this.#clients.group.isActive()) {
      await this.#joining;
      this.#arrivals.check();
      if (performance.now() > deadline) throw new Error("the group does not take this member back");
      await Bun.sleep(20);
    }
  }

  async #commit(
    offsets: readonly { topic: string; partition: number; offset: bigint; leaderEpoch?: number }[],
  ): Promise<void> {
    await this.#clients.group
      .commit({
        offsets: offsets.map(({ topic, partition, offset, leaderEpoch = -1 }) => ({
          topic,
          partition,
          offset,
          leaderEpoch,
        })),
      })
      .catch((error) => {
        throw new Error(sentenceOf(error));
      });
  }

  async lag(): Promise<number | undefined> {
    // A topic may have got more partitions, or have been made anew.
    if ((await topicsOf(this.#clients, this.#options)) !== this.#topics) {
      throw new Error("the topics have changed, and are looked up again");
    }
    let waiting = this.#arrivals.count;
    for (const { next, end } of this.#assigned.values()) waiting += Math.max(Number(end - next), 0);
    return waiting;
  }

  async close(): Promise<void> {
    this.#fail(new Error("the reader is closed"));
    await this.#clients.close();
  }

  #fail(error: Error): void {
    this.#arrivals.fail(new Error(sentenceOf(error)));
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/** The ids of the topics and how many partitions they have, as a text to be compared. */
async function topicsOf({ group }: KafkaClients, { kafka_topics }: KafkaOptions): Promise<string> {
  const { topics } = await group.metadata({ topics: [...kafka_topics], forceUpdate: true });
  return kafka_topics
    .map((topic) => `${topics.get(topic)?.id} ${topics.get(topic)?.partitionsCount}`)
    .join();
}

/** A broker says no more to a client that does not do what it asks for at once. */
const CLOSED = "Connection closed";

/** What went wrong, of an error that may have its cause in others. */
function sentenceOf(error: unknown): string {
  const messages = new Set<string>();
  let next = error as Partial<AggregateError> | undefined;
  for (; next?.message !== undefined; next = next.errors?.[0] ?? next.cause) {
    messages.add(next.message.replace(/\.$/, ""));
  }
  if (messages.has(CLOSED)) messages.add("a broker does so where it asks for tls, sasl or a cert");
  return [...messages].join(": ");
}
