// What the names of the Pusher protocol say about a topic, as rules: who is in it is known, and its last event is kept.
import type { RulesByPrefix, TopicRule } from "../../relay/contracts/topic-rules";
import { CACHE_PREFIXES, isCache, kindOf, PRESENCE_PREFIX } from "./channels";

/** How long the last event of a cache channel is kept: as on Pusher. */
const CACHE_TTL_MS = 1_800_000;

/** The last event of a backend may have as many of clients behind it. */
const CACHE_SIZE_MIN = 100;

/**
 * The rules of a relay with these names. Who is in a presence channel is always known; what an operator's rules for cache channels say
 * about their histories counts. `historySize` is that of topics without a rule.
 */
export function withPusherRules(
  rules: RulesByPrefix,
  { historySize }: Pick<TopicRule, "historySize">,
): RulesByPrefix {
  const cache = { historySize: Math.max(historySize, CACHE_SIZE_MIN), historyTtlMs: CACHE_TTL_MS };
  const prefixes = new Set([PRESENCE_PREFIX, ...CACHE_PREFIXES, ...Object.keys(rules)]);
  const entries = [...prefixes].map((prefix) => {
    const nearest = nearestOf(rules, prefix);
    const given = rules[nearest];
    const isGiven = !isCache(prefix) || isCache(nearest);
    const history = isCache(prefix) ? cache : {};
    const rule = isGiven ? { ...history, ...given } : { ...given, ...history };
    const isPresence = kindOf(prefix) === "presence";
    return [prefix, isPresence ? { ...rule, presence: true } : rule] as const;
  });
  return Object.fromEntries(entries);
}

/** The longest prefix with a rule that holds for topics with this one; "" where there is none. */
function nearestOf(rules: RulesByPrefix, prefix: string): string {
  const fitting = Object.keys(rules).filter((one) => prefix.startsWith(one));
  return fitting.reduce((longest, one) => (one.length > longest.length ? one : longest), "");
}
