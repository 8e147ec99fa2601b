// What BATON_SOURCES_FILE says of such a source.
import { type Static, Type } from "@sinclair/typebox";
import { TLS } from "../tls";

/** As long as AMQP allows it. */
const Name = (description: string) => Type.String({ minLength: 1, maxLength: 255, description });

export const Options = Type.Object({
  url: Type.String({
    pattern: "^amqps?://",
    maxLength: 1_024,
    description:
      "An address such as amqp://baton:${RABBITMQ_PASSWORD}@rabbitmq.example.com:5672/vhost, or amqps:// with TLS.",
  }),
  ...TLS,
  queue: Type.Optional(Name("The queue that is read, classic or quorum.")),
  stream: Type.Optional(Name("In place of a queue: the stream that is read.")),
  from: Type.Optional(
    Type.Union([Type.Literal("first"), Type.Literal("next")], {
      description:
        "With a stream of which nothing was published: begin with the first message (the default) or with the next.",
    }),
  ),
  dead_letters: Name("The queue for dead letters or, with an exchange, their routing key."),
  dead_letters_exchange: Type.Optional(Name("The exchange that gets dead letters.")),
  prefetch: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: "How many messages are fetched ahead at most, 250 by default.",
    }),
  ),
});

export type RabbitmqOptions = Static<typeof Options>;
