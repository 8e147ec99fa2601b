// The file that BATON_TOPICS_FILE names: rules for topics by the prefix of their names, such as
// {"news:": {"history_size": 1000, "history_ttl_ms": 3600000}, "typing:": {"history_size": 0}}.
import { type Static, Type } from "@sinclair/typebox";
import type { RulesByPrefix, TopicRule } from "../../relay/contracts/topic-rules";
import { shortened } from "../../relay/text/visible";
import { Shape } from "../../shape";
import { INT32_MAX, isWebUrl, SettingError } from "../kinds";
import { readTextFile } from "./text-file";

const FILE_BYTES_MAX = 16_777_216;

/** Its texts may have {{topic}}, {{user}}, {{data}} and {{data.name}} in them. */
const PushTemplate = Type.Object(
  {
    title: Type.String({ minLength: 1 }),
    body: Type.Optional(Type.String()),
    url: Type.Optional(Type.String()),
    ttl: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_419_200 })),
    urgency: Type.Optional(
      Type.Union(
        (["very-low", "low", "normal", "high"] as const).map((urgency) => Type.Literal(urgency)),
      ),
    ),
    topic: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  },
  { additionalProperties: false },
);

const Allowed = Type.Array(
  Type.Union([Type.Literal("client"), Type.Literal("subscriber"), Type.Literal("anonymous")]),
);

/** The longest that a rule may let publications wait for others. */
const WAVE_MS_MAX = 1_000;

/** An address, or none. */
const Asked = Type.Optional(Type.String({ maxLength: 4_096 }));

const ADDRESSES = ["proxy_subscribe", "proxy_publish", "proxy_sub_refresh", "proxy_rpc"] as const;

const Rule = Type.Object(
  {
    history_size: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
    history_ttl_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: INT32_MAX })),
    wave_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: WAVE_MS_MAX })),
    presence: Type.Optional(Type.Boolean()),
    join_leave: Type.Optional(Type.Boolean()),
    delta: Type.Optional(Type.Boolean()),
    allow_subscribe: Type.Optional(Allowed),
    allow_publish: Type.Optional(Allowed),
    allow_presence: Type.Optional(Allowed),
    allow_history: Type.Optional(Allowed),
    proxy_subscribe: Asked,
    proxy_publish: Asked,
    proxy_sub_refresh: Asked,
    proxy_rpc: Asked,
    push: Type.Optional(PushTemplate),
  },
  { additionalProperties: false },
);

// Not a Record: TypeBox's pattern for its keys skips keys that contain U+2028, whatever their values are.
const TOPICS_FILE = new Shape(Type.Object({}, { additionalProperties: Rule }));

const WHAT_IT_TAKES = `It must be an object of prefixes, each with any of history_size (0 to 1000000), history_ttl_ms (0 to ${INT32_MAX}), wave_ms (0 to ${WAVE_MS_MAX}), presence, join_leave and delta (true or false), allow_subscribe, allow_publish, allow_presence and allow_history (lists of "client", "subscriber" and "anonymous"), ${ADDRESSES.join(", ")} (http:// or https:// addresses, or "" where nobody is asked), and push (an object with title, and any of body, url, ttl, urgency and topic).`;

/** The rules in the file. Throws SettingError with the line to show. */
export function readTopicsFile(path: string): RulesByPrefix {
  const refused = (why: string): SettingError =>
    new SettingError(`BATON_TOPICS_FILE=${JSON.stringify(path)} is not allowed: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(readTextFile(path, FILE_BYTES_MAX));
  } catch (error) {
    const { name, message } = error as Error;
    throw refused(
      name === "SyntaxError" ? `it cannot be read as JSON: ${message}.` : `it ${message}.`,
    );
  }
  const wrong = TOPICS_FILE.problemOf(value);
  if (wrong !== undefined) {
    const place = shortened(wrong.path || "/");
    const found = shortened(JSON.stringify(wrong.value) ?? "nothing");
    throw refused(`at ${place} it has ${found}: ${wrong.message}. ${WHAT_IT_TAKES}`);
  }
  const rules = Object.entries(value as Record<string, Static<typeof Rule>>);
  for (const [prefix, rule] of rules) {
    const bad = ADDRESSES.find((name) => rule[name] && !isWebUrl(rule[name]));
    // It may have a password in it, so it is not shown.
    if (bad !== undefined)
      throw refused(`${bad} at ${shortened(prefix)} is no http:// or https:// address.`);
  }
  return Object.fromEntries(rules.map(([prefix, rule]) => [prefix, toRule(rule)]));
}

function toRule(rule: Static<typeof Rule>): Partial<TopicRule> {
  return {
    ...(rule.history_size !== undefined && { historySize: rule.history_size }),
    ...(rule.history_ttl_ms !== undefined && { historyTtlMs: rule.history_ttl_ms }),
    ...(rule.wave_ms !== undefined && { waveMs: rule.wave_ms }),
    ...(rule.presence !== undefined && { presence: rule.presence }),
    ...(rule.join_leave !== undefined && { joinLeave: rule.join_leave }),
    ...(rule.delta !== undefined && { delta: rule.delta }),
    ...(rule.proxy_subscribe !== undefined && { askSubscribe: rule.proxy_subscribe }),
    ...(rule.proxy_publish !== undefined && { askPublish: rule.proxy_publish }),
    ...(rule.proxy_sub_refresh !== undefined && { askRefresh: rule.proxy_sub_refresh }),
    ...(rule.proxy_rpc !== undefined && { askCall: rule.proxy_rpc }),
    ...(rule.push !== undefined && { push: rule.push }),
    allow: {
      ...(rule.allow_subscribe !== undefined && { subscribe: rule.allow_subscribe }),
      ...(rule.allow_publish !== undefined && { publish: rule.allow_publish }),
      ...(rule.allow_presence !== undefined && { presence: rule.allow_presence }),
      ...(rule.allow_history !== undefined && { history: rule.allow_history }),
    },
  };
}
