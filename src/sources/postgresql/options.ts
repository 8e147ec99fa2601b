// What BATON_SOURCES_FILE says of such a source.
import { type Static, Type } from "@sinclair/typebox";
import { TLS } from "../tls";

const TableName = (description: string) =>
  Type.String({ pattern: '^[^\\0"]{1,128}$', description });

export const Options = Type.Object({
  url: Type.String({
    pattern: "^postgres(ql)?://",
    description:
      "An address such as postgres://baton:${ORDERS_PASSWORD}@db.example.com/app?sslmode=verify-full. Not that of a pooler which gives each transaction another session.",
  }),
  ...TLS,
  table: Type.Optional(
    TableName("The outbox: baton_outbox by default, as `baton sources ddl` prints it."),
  ),
  id: Type.Optional(
    TableName("The column that tells rows apart and orders those of one commit: id by default."),
  ),
  progress: Type.Optional(TableName("The table of what is being published: baton_progress.")),
  dead_letters: Type.Optional(TableName("The table of dead letters: baton_dead_letters.")),
  channel: Type.Optional(
    TableName("The channel on which commits are notified: baton_outbox by default."),
  ),
});

export type PostgresqlOptions = Static<typeof Options>;
