// The servers that the contract suite of sources runs with: a row for each kind.
import { KafkaTopic } from "./kafka-topic";
import { NatsStream } from "./nats-stream";
import { Outbox } from "./outbox";
import { RabbitmqQueue } from "./rabbitmq-queue";
import { RedisStream } from "./redis-stream";
import type { SourceServer } from "./source-server";

export const SOURCE_SERVERS: readonly (readonly [
  kind: string,
  start: () => Promise<SourceServer>,
])[] = [
  ["postgresql", () => Outbox.start()],
  ["redis", () => RedisStream.start()],
  ["kafka", () => KafkaTopic.start()],
  ["nats", () => NatsStream.start()],
  ["rabbitmq with a classic queue", () => RabbitmqQueue.start("classic")],
  ["rabbitmq with a quorum queue", () => RabbitmqQueue.start("quorum")],
  ["rabbitmq with a stream", () => RabbitmqQueue.start("stream")],
];
