// The servers that the contract suite of sources runs with: a row for each kind.
import { KafkaTopic } from "./kafka-topic";
import { NatsStream } from "./nats-stream";
import { Outbox } from "./outbox";
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
];
