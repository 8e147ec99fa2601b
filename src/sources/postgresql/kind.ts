// The kind of source that is a table of PostgreSQL, an outbox: whoever publishes inserts a row in a transaction of its own, and Baton
// deletes the rows that it has published.
import type { SourceKind } from "../contract";
import { tlsProblem } from "../tls";
import { Options } from "./options";

/** Of the modes of PostgreSQL, those that Bun's client knows. */
const MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"];

export const POSTGRESQL: SourceKind<typeof Options> = {
  options: Options,
  isRow: true,
  problem: ({ url, ...options }) => {
    const mode = new URL(url).searchParams.get("sslmode") ?? "";
    if (mode !== "" && !MODES.includes(mode))
      return `url must have as sslmode one of ${MODES.join(", ")}`;
    const isPlain = mode === "disable" || mode === "prefer";
    return tlsProblem(options, { isAsked: !isPlain, by: "sslmode=verify-full in url" });
  },
  async open(options, context) {
    const { PostgresqlReader } = await import("./reader");
    return PostgresqlReader.open(options, context);
  },
};
