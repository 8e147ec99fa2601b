// What BATON_SOURCES_FILE says of such a source.
import { type Static, Type } from "@sinclair/typebox";
import { TLS } from "../tls";

const Name = (description: string) => Type.String({ minLength: 1, maxLength: 512, description });

export const Options = Type.Object({
  url: Type.String({
    pattern: "^rediss?://",
    description: "An address such as redis://:${REDIS_PASSWORD}@redis.example.com:6379/0.",
  }),
  ...TLS,
  stream: Name("The key of the stream."),
  group: Type.Optional(Name("The consumer group, baton by default. Each relay needs its own.")),
  from: Type.Optional(
    Type.Union([Type.Literal("first"), Type.Literal("next")], {
      description:
        "Where a group that this source makes begins: with the first entry of the stream (the default) or with the next that is added.",
    }),
  ),
  field: Type.Optional(
    Name("The field that has the body as JSON. By default the fields themselves are topic, data…"),
  ),
  delete: Type.Optional(
    Type.Boolean({ description: "Whether entries are deleted when they are published." }),
  ),
  dead_letters: Type.Optional(
    Name("The key of the stream for dead letters: that of the stream and :dead by default."),
  ),
  dead_letters_max: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000_000,
      description: "About how many dead letters are kept, 100000 by default. The oldest go first.",
    }),
  ),
});

export type RedisOptions = Static<typeof Options>;
