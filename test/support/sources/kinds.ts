// The sources that the contract suite runs with: a row for each kind. All tests of a file share the servers, and each has a source of its own.
import { KafkaServer } from "../brokers/kafka-server";
import { NatsServer } from "../brokers/nats-server";
import { RabbitmqServer } from "../brokers/rabbitmq-server";
import { RedisServer } from "../engines/redis-server";
import { KafkaTopic } from "./kafka-topic";
import { NatsStream } from "./nats-stream";
import { Outbox } from "./outbox";
import { PostgresServer } from "./postgres-server";
import { RabbitmqQueue } from "./rabbitmq-queue";
import { RedisStream } from "./redis-stream";
import type { SourceServer } from "./source-server";

/** A server that starts when a test needs it, since that takes seconds, and starts again when a test has left it dead. */
class SharedServer<Server extends AsyncDisposable & { run(): Promise<void> }> {
  readonly #start: () => Promise<Server>;
  #started: Promise<Server> | undefined;

  constructor(start: () => Promise<Server>) {
    this.#start = start;
  }

  async get(): Promise<Server> {
    this.#started ??= this.#start();
    const server = await this.#started;
    await server.run();
    return server;
  }

  async stop(): Promise<void> {
    const server = await this.#started;
    this.#started = undefined;
    await server?.[Symbol.asyncDispose]();
  }
}

const POSTGRESQL = new SharedServer(() => PostgresServer.start());
// Not at each write: the tests add a hundred thousand.
const REDIS = new SharedServer(() =>
  RedisServer.start({ durable: true, args: ["--appendfsync", "no"] }),
);
const KAFKA = new SharedServer(() => KafkaServer.start());
const NATS = new SharedServer(() => NatsServer.start());
const RABBITMQ = new SharedServer(() => RabbitmqServer.start());

const rabbitmq = (type: "classic" | "quorum" | "stream") => async () =>
  RabbitmqQueue.make(await RABBITMQ.get(), type);

export const SOURCE_KINDS: readonly (readonly [
  kind: string,
  /** Makes a source with nothing in it. */
  make: () => Promise<SourceServer>,
])[] = [
  ["postgresql", async () => Outbox.make(await POSTGRESQL.get())],
  ["redis", async () => new RedisStream(await REDIS.get())],
  ["kafka", async () => KafkaTopic.make(await KAFKA.get())],
  ["nats", async () => NatsStream.make(await NATS.get())],
  ["rabbitmq with a classic queue", rabbitmq("classic")],
  ["rabbitmq with a quorum queue", rabbitmq("quorum")],
  ["rabbitmq with a stream", rabbitmq("stream")],
];

/** For the end of a file. */
export async function stopSourceServers(): Promise<void> {
  await Promise.all([POSTGRESQL, REDIS, KAFKA, NATS, RABBITMQ].map((server) => server.stop()));
}
