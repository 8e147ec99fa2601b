// What BATON_SOURCES_FILE says of such a source.
import { type Static, Type } from "@sinclair/typebox";
import { TLS } from "../tls";

const Text = (description: string) => Type.String({ minLength: 1, maxLength: 8_192, description });

export const Options = Type.Object({
  servers: Type.Array(
    Type.String({
      pattern: "^((nats|tls)://)?[^\\s/@]+$",
      maxLength: 1_024,
      description:
        "An address such as nats://nats.example.com:4222, or tls:// with TLS. A user and a password have fields of their own.",
    }),
    {
      minItems: 1,
      maxItems: 16,
      description: "A list of servers; of a cluster, some.",
    },
  ),
  user: Type.Optional(Text("With a password.")),
  password: Type.Optional(Text("That of the user.")),
  token: Type.Optional(Text("In place of a user.")),
  credentials: Type.Optional(Text("The text of a credentials file, with a JWT and a seed in it.")),
  nkey: Type.Optional(Text("The seed of an nkey, which begins with SU.")),
  ...TLS,
  stream: Type.String({ minLength: 1, maxLength: 255, description: "The name of the stream." }),
  subjects: Type.Optional(
    Type.Array(Text("A subject, which may have wildcards."), {
      minItems: 1,
      maxItems: 64,
      description: "Only messages to these subjects are read.",
    }),
  ),
  consumer: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9_-]{1,64}$",
      description:
        "How the names of its consumers on the server begin, of letters, digits, _ and -. By default baton- and the name of the source.",
    }),
  ),
  from: Type.Optional(
    Type.Union([Type.Literal("first"), Type.Literal("next")], {
      description:
        "Where it begins when the server knows no consumer of it: with the first message of the stream (the default) or with the next.",
    }),
  ),
  dead_letters: Type.String({
    pattern: "^[^*>\\s]{1,255}$",
    description: "The subject for dead letters, which has no wildcards and a stream takes.",
  }),
});

export type NatsOptions = Static<typeof Options>;

/** Whether the connection must have TLS. Without that it has when the server asks for it. */
export function asksForTls({ servers, ca, cert }: NatsOptions): boolean {
  const isNamed = servers.some((server) => server.startsWith("tls://"));
  return isNamed || ca !== undefined || cert !== undefined;
}
