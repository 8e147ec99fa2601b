// The settings about what operators look at, of the table in definitions.ts.
import { whole } from "./kinds";

export const CONSOLE = {
  journalMax: whole({
    variable: "BATON_JOURNAL_MAX",
    default: 4_096,
    min: 0,
    max: 1_000_000,
    description:
      "How many ends of connections, and as many resumptions, each process remembers for GET /explain. An entry takes about 400 bytes where the connection had three topics. 0 remembers none.",
  }),
};
