// Rules for topics: what holds for all names with a prefix. The longest prefix that fits decides.

export interface TopicRule {
  /** Publications kept; 0 for no history. */
  readonly historySize: number;
  /** How long each is kept; 0 for no history. */
  readonly historyTtlMs: number;
}

/** By prefix; what a rule does not say is as for all other topics. */
export type RulesByPrefix = Readonly<Record<string, Partial<TopicRule>>>;

export class TopicRules {
  readonly #others: TopicRule;
  /** Longest prefix first. */
  readonly #rules: (readonly [prefix: string, rule: TopicRule])[];

  constructor(others: TopicRule, byPrefix: RulesByPrefix = {}) {
    this.#others = others;
    this.#rules = Object.entries(byPrefix)
      .map(([prefix, rule]) => [prefix, { ...others, ...rule }] as const)
      .toSorted(([a], [b]) => b.length - a.length);
  }

  /** Cost: the number of rules. */
  of(topic: string): TopicRule {
    for (const [prefix, rule] of this.#rules) if (topic.startsWith(prefix)) return rule;
    return this.#others;
  }
}
