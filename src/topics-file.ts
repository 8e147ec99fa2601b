// The file of BATON_TOPICS_FILE: rules for topics by the prefix of their names, such as
// {"news:": {"history_size": 1000, "history_ttl_ms": 3600000}, "typing:": {"history_size": 0}}.
import { readFileSync } from "node:fs";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { RulesByPrefix, TopicRule } from "./relay/rules";
import { LARGE } from "./setting";

const Rule = Type.Object(
  {
    history_size: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
    history_ttl_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: LARGE })),
  },
  { additionalProperties: false },
);

// Not a Record: its pattern for keys passes over those with U+2028 in them, whatever their values.
const TopicsFile = Type.Object({}, { additionalProperties: Rule });

/** The rules in the file, or a sentence that says what is wrong with it. */
export function readTopicsFile(path: string): RulesByPrefix | string {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return `it cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}.`;
  }
  const wrong = Value.Errors(TopicsFile, value).First();
  if (wrong !== undefined) {
    return `at ${wrong.path || "/"} it has ${JSON.stringify(wrong.value)}: ${wrong.message}. It takes an object of prefixes, each with history_size (0 to 1000000) and history_ttl_ms (0 to ${LARGE}).`;
  }
  return Object.fromEntries(
    Object.entries(value as Record<string, Static<typeof Rule>>).map(([prefix, rule]) => [
      prefix,
      toRule(rule),
    ]),
  );
}

function toRule(rule: Static<typeof Rule>): Partial<TopicRule> {
  return {
    ...(rule.history_size !== undefined && { historySize: rule.history_size }),
    ...(rule.history_ttl_ms !== undefined && { historyTtlMs: rule.history_ttl_ms }),
  };
}
