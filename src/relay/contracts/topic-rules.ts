// Rules for topics: what holds for all names with a prefix. The longest prefix that fits decides.
import { Refusal } from "./errors";

/** What clients can be allowed to do with a topic. */
export type Action = "subscribe" | "publish" | "presence" | "history";

/** Who may: a known user, one that is subscribed, and whether "" (the anonymous user) may like them. */
type Allowed = readonly ("client" | "subscriber" | "anonymous")[];

export interface TopicRule {
  /** Publications kept; 0 for no history. */
  readonly historySize: number;
  /** How long each is kept; 0 for no history. */
  readonly historyTtlMs: number;
  /** Whether any publication is kept at all. */
  readonly keepsHistory: boolean;
  /** Whether it is known who is in the topic. */
  readonly presence: boolean;
  /** Whether those in it are told who comes and goes. */
  readonly joinLeave: boolean;
  /** What clients may do; what is not named, nobody may. */
  readonly allow: Readonly<Partial<Record<Action, Allowed>>>;
}

/** What a rule says; the rest follows from it. */
type RuleSettings = Omit<TopicRule, "keepsHistory">;

/** By prefix; what a rule does not say is as for all other topics. */
export type RulesByPrefix = Readonly<Record<string, Partial<RuleSettings>>>;

export class TopicRules {
  readonly #others: TopicRule;
  readonly #namedOnly: boolean;
  /** Longest prefix first. */
  readonly #rules: (readonly [prefix: string, rule: TopicRule])[];

  /** `others` are the topics that no rule is for; with `namedOnly` those of them with a ":" are unknown. */
  constructor(
    others: Pick<RuleSettings, "historySize" | "historyTtlMs"> & Partial<RuleSettings>,
    byPrefix: RulesByPrefix = {},
    namedOnly = false,
  ) {
    this.#namedOnly = namedOnly;
    this.#others = topicRule({ presence: false, joinLeave: false, allow: {}, ...others });
    this.#rules = Object.entries(byPrefix)
      .map(([prefix, rule]) => [prefix, topicRule({ ...this.#others, ...rule })] as const)
      .toSorted(([a], [b]) => b.length - a.length);
  }

  /** That of "news:" is for "$news:a" too, unless "$" begins the prefix of another. Cost: the number of rules. */
  of(topic: string): TopicRule {
    const named = this.#named(topic);
    if (named !== undefined) return named;
    const all = this.#rules.at(-1);
    return all?.[0] === "" ? all[1] : this.#others;
  }

  /** Refuses (`unknown_topic`) a topic whose prefix no rule names, where only those shall be. Cost: as `of`. */
  check(topic: string): Refusal | undefined {
    if (!this.#namedOnly || !topic.includes(":") || this.#named(topic) !== undefined) {
      return undefined;
    }
    return new Refusal("unknown_topic", "No rule of BATON_TOPICS_FILE names its prefix.");
  }

  /** The rule that names a prefix of it. */
  #named(topic: string): TopicRule | undefined {
    const fits = (name: string) =>
      this.#rules.find(([prefix]) => prefix !== "" && name.startsWith(prefix))?.[1];
    return fits(topic) ?? (topic.startsWith("$") ? fits(topic.slice(1)) : undefined);
  }
}

function topicRule(rule: RuleSettings): TopicRule {
  return { ...rule, keepsHistory: rule.historySize > 0 && rule.historyTtlMs > 0 };
}
