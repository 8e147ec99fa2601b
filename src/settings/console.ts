// The settings of what operators look at and type, of the table in definitions.ts.
import { choice, publicUrl, text, whole } from "./kinds";

export const CONSOLE = {
  console: choice({
    variable: "BATON_CONSOLE",
    default: "on",
    values: ["on", "off"],
    description:
      "Whether the page /console is there. What it shows needs an API key. A relay without keys has it only where it listens on loopback.",
  }),
  journalMax: whole({
    variable: "BATON_JOURNAL_MAX",
    default: 4_096,
    min: 0,
    max: 1_000_000,
    description:
      "How many ends of connections, and as many resumptions, each process remembers for GET /explain. An entry takes about 400 bytes where the connection had three topics. 0 remembers none.",
  }),
};

/** Of the commands that call a relay. A relay itself does not use them. */
export const COMMAND_LINE = {
  commandUrl: publicUrl({
    variable: "BATON_URL",
    description:
      "The relay that `baton publish`, `subscribe`, `explain`, `bench` and `health` call. If it is not set, they call this machine, at the port of PORT.",
  }),
  commandKey: text({
    variable: "BATON_API_KEY",
    secret: "text",
    allowed: "a key without spaces",
    accepts: (value) => /^[\x21-\x7e]{1,512}$/.test(value),
    description:
      "The API key that these commands send. If it is not set, they send the first of BATON_API_KEYS.",
  }),
};
