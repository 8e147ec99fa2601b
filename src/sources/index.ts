// The list of all kinds of sources. Each loads its client when a source of it is opened.
import type { SourceKind } from "./contract";
import { KAFKA } from "./kafka/kind";
import { NATS } from "./nats/kind";
import { POSTGRESQL } from "./postgresql/kind";
import { RABBITMQ } from "./rabbitmq/kind";
import { REDIS } from "./redis/kind";

/** By what `kind` in BATON_SOURCES_FILE calls them. */
export const SOURCE_KINDS = {
  postgresql: POSTGRESQL,
  redis: REDIS,
  kafka: KAFKA,
  nats: NATS,
  rabbitmq: RABBITMQ,
} as unknown as Readonly<Record<string, SourceKind>>;
