// `baton sources ddl`: the tables that a source in PostgreSQL needs.
import { outboxDdl } from "../../sources/postgresql/ddl";
import { CommandFailure, EXIT } from "../failure";
import { print } from "../output";

/** A name that needs no quotation marks, in a schema or not. */
const TABLE = /^([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]{0,50}$/;

/** Throws CommandFailure for a name that would have to be quoted. */
export function ddl(table: string): void {
  if (!TABLE.test(table)) {
    throw new CommandFailure(
      "The name of the table must have lower-case letters, digits and _ only, with a schema before a dot or not, such as shop.baton_outbox.",
      EXIT.misused,
    );
  }
  print(outboxDdl(table).trimEnd());
}
