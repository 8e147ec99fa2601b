// Rules for topics: what holds for all names with a prefix. The longest prefix that fits decides.

/** What clients can be allowed to do with a topic. */
export type Action = "subscribe" | "publish" | "presence" | "history";

/** Who may: a known user, one that is subscribed, and whether "" (the anonymous user) may like them. */
export type Allowed = readonly ("client" | "subscriber" | "anonymous")[];

export interface TopicRule {
  /** Publications kept; 0 for no history. */
  readonly historySize: number;
  /** How long each is kept; 0 for no history. */
  readonly historyTtlMs: number;
  /** Whether it is known who is in the topic. */
  readonly presence: boolean;
  /** Whether those in it are told who comes and goes. */
  readonly joinLeave: boolean;
  /** What clients may do; what is not named, nobody may. */
  readonly allow: Readonly<Partial<Record<Action, Allowed>>>;
}

/** By prefix; what a rule does not say is as for all other topics. */
export type RulesByPrefix = Readonly<Record<string, Partial<TopicRule>>>;

export class TopicRules {
  readonly #others: TopicRule;
  /** Longest prefix first. */
  readonly #rules: (readonly [prefix: string, rule: TopicRule])[];

  /** `others` are the topics that no rule is for. */
  constructor(
    others: Pick<TopicRule, "historySize" | "historyTtlMs"> & Partial<TopicRule>,
    byPrefix: RulesByPrefix = {},
  ) {
    this.#others = { presence: false, joinLeave: false, allow: {}, ...others };
    this.#rules = Object.entries(byPrefix)
      .map(([prefix, rule]) => [prefix, { ...this.#others, ...rule }] as const)
      .toSorted(([a], [b]) => b.length - a.length);
  }

  /** Cost: the number of rules. */
  of(topic: string): TopicRule {
    for (const [prefix, rule] of this.#rules) if (topic.startsWith(prefix)) return rule;
    return this.#others;
  }
}
