// The kind of source that is a member of a consumer group, which reads topics of Kafka. Brokers 2.8 or newer.
import type { SourceKind } from "../contract";
import { tlsProblem } from "../tls";
import { Options } from "./options";

export const KAFKA: SourceKind<typeof Options> = {
  options: Options,
  problem: ({ kafka_topics, dead_letters, tls = false, ...options }) => {
    if (kafka_topics.includes(dead_letters)) {
      return "dead_letters has a topic that kafka_topics has too: dead letters would be read again";
    }
    return tlsProblem(options, { isAsked: tls, by: '"tls": true' });
  },
  async open(options, context) {
    const { KafkaReader } = await import("./reader");
    return KafkaReader.open(options, context);
  },
};
