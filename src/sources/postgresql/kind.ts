// The kind of source that is a table of PostgreSQL, an outbox: whoever publishes inserts a row in a transaction of its own, and Baton
// deletes the rows that it has published.
import type { SourceKind } from "../contract";
import { Options } from "./options";

export const POSTGRESQL: SourceKind<typeof Options> = {
  options: Options,
  isRow: true,
  async open(options, context) {
    const { PostgresqlReader } = await import("./reader");
    return PostgresqlReader.open(options, context);
  },
};
