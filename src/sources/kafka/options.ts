// What BATON_SOURCES_FILE says of such a source.
import { type Static, Type } from "@sinclair/typebox";
import { TLS } from "../tls";

const Text = (description: string) => Type.String({ minLength: 1, maxLength: 1_024, description });

/** As long as Kafka allows it. */
const Name = (description: string) => Type.String({ minLength: 1, maxLength: 249, description });

export const Options = Type.Object({
  brokers: Type.Array(
    Type.String({
      pattern: "^[^\\s/@]+:\\d{1,5}$",
      maxLength: 1_024,
      description: "A broker such as kafka.example.com:9092.",
    }),
    {
      minItems: 1,
      maxItems: 64,
      description: "A list of brokers; of a cluster, some.",
    },
  ),
  kafka_topics: Type.Array(Name("The name of a topic of Kafka."), {
    minItems: 1,
    maxItems: 256,
    description: "A list of the topics of Kafka that are read.",
  }),
  group: Type.Optional(
    Name(
      "The consumer group, by default baton- and the name of the source. Each relay needs its own.",
    ),
  ),
  from: Type.Optional(
    Type.Union([Type.Literal("first"), Type.Literal("next")], {
      description:
        "Where it begins in a partition of which the group knows nothing: with the first record (the default) or with the next.",
    }),
  ),
  dead_letters: Name("The topic of Kafka for dead letters."),
  tls: Type.Optional(Type.Boolean({ description: "Whether the connections have TLS." })),
  ...TLS,
  sasl: Type.Optional(
    Type.Object(
      {
        mechanism: Type.Union([
          Type.Literal("PLAIN"),
          Type.Literal("SCRAM-SHA-256"),
          Type.Literal("SCRAM-SHA-512"),
        ]),
        username: Text("Who Baton is for the brokers."),
        password: Text("Its password."),
      },
      { additionalProperties: false, description: "How Baton says who it is." },
    ),
  ),
});

export type KafkaOptions = Static<typeof Options>;
