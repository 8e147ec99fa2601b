// Rules for topics: what holds for all topics with a prefix. Of several prefixes that fit, the longest decides.
import { Refusal } from "./errors";
import type { PushContent } from "./publication";

/** What a client of a session can be allowed to do with a topic. */
export type Action = "subscribe" | "publish" | "presence" | "history";

/** Who may do it: any client, or clients that are subscribed; and whether the anonymous user ("") may do it as they may. */
type Allowed = readonly ("client" | "subscriber" | "anonymous")[];

export interface TopicRule {
  /** How many publications are kept; 0 means no history. */
  readonly historySize: number;
  /** How long each publication is kept; 0 means no history. */
  readonly historyTtlMs: number;
  /** Whether any publication is kept at all. */
  readonly keepsHistory: boolean;
  /** Whether clients and the backend can ask who is in the topic. */
  readonly presence: boolean;
  /** Whether sessions in the topic are told who joins and leaves. */
  readonly joinLeave: boolean;
  /** Whether clients of sessions may get patches in place of whole publications. */
  readonly delta: boolean;
  /** At most one wave leaves in so many ms; 0: publications never wait. Undefined: as for all topics (BATON_WAVE_MS). */
  readonly waveMs?: number | undefined;
  /**
   * Whom the relay asks before a client subscribes or publishes, when its subscription expires, and what a client calls with a method
   * whose name begins with the prefix. "": nobody.
   */
  readonly askSubscribe: string;
  readonly askPublish: string;
  readonly askRefresh: string;
  readonly askCall: string;
  /** What devices show of publications to one user that no connection takes; texts may name parts of the publication: {{data.text}}. */
  readonly push?: PushContent | undefined;
  /** What clients of sessions may do; what is not named here, none of them may. */
  readonly allow: Readonly<Partial<Record<Action, Allowed>>>;
}

/** What a rule says; the rest of a TopicRule follows from it. */
type RuleSettings = Omit<TopicRule, "keepsHistory">;

/** Rules by prefix. What a rule leaves out is as for topics without a rule. */
export type RulesByPrefix = Readonly<Record<string, Partial<RuleSettings>>>;

/** Whether all topics are known, or of those with a ":" only the ones whose prefix a rule names. */
type KnownTopics = "all" | "named";

const ASKS = ["askSubscribe", "askPublish", "askRefresh", "askCall"] as const;

/** What a rule names somebody for who is asked about it. */
type Ask = (typeof ASKS)[number];

export class TopicRules {
  #others: TopicRule;
  /** What any rule names somebody for. */
  #asks: ReadonlySet<Ask>;
  #known: KnownTopics;
  /** Longest prefix first. */
  #rules: readonly (readonly [prefix: string, rule: TopicRule])[];

  /** `others` holds for topics without a rule; with "named", those of them whose name has a ":" are unknown. */
  constructor(
    others: Pick<RuleSettings, "historySize" | "historyTtlMs"> & Partial<RuleSettings>,
    byPrefix: RulesByPrefix = {},
    known: KnownTopics = "all",
  ) {
    this.#known = known;
    this.#others = topicRule({
      presence: false,
      joinLeave: false,
      delta: false,
      askSubscribe: "",
      askPublish: "",
      askRefresh: "",
      askCall: "",
      allow: {},
      ...others,
    });
    this.#rules = Object.entries(byPrefix)
      .map(([prefix, rule]) => [prefix, topicRule({ ...this.#others, ...rule })] as const)
      .toSorted(([a], [b]) => b.length - a.length);
    const all = [this.#others, ...this.#rules.map(([, rule]) => rule)];
    this.#asks = new Set(ASKS.filter((ask) => all.some((rule) => rule[ask] !== "")));
  }

  /** Whether any rule names somebody who is asked this. */
  asksAbout(ask: Ask): boolean {
    return this.#asks.has(ask);
  }

  /** Whom the relay asks about a topic, or about a method; "": nobody. Cost: the rules, if any of them names somebody. */
  asked(ask: Ask, name: string): string {
    return this.#asks.has(ask) ? this.of(name)[ask] : "";
  }

  /** Takes the place of these rules, for all who have them. Returns those before. Engine and relay are then to be told. */
  replace(next: TopicRules): TopicRules {
    const before = new TopicRules(this.#others);
    before.#take(this);
    this.#take(next);
    return before;
  }

  #take(other: TopicRules): void {
    this.#others = other.#others;
    this.#known = other.#known;
    this.#asks = other.#asks;
    this.#rules = other.#rules;
  }

  /** The rule for "news:" also holds for "$news:a", unless another rule's prefix fits with the "$". Cost: the rules. */
  of(topic: string): TopicRule {
    const named = this.#named(topic);
    if (named !== undefined) return named;
    const all = this.#rules.at(-1);
    return all?.[0] === "" ? all[1] : this.#others;
  }

  /** The prefix of the rule that holds for a topic; undefined where none does. Cost: the rules. */
  prefixOf(topic: string): string | undefined {
    const rule = this.of(topic);
    return this.#rules.find((one) => one[1] === rule)?.[0];
  }

  /** Refuses (`unknown_topic`) a topic with a ":" whose prefix has no rule, where only known prefixes are allowed. Cost: the rules. */
  check(topic: string): Refusal | undefined {
    if (this.#known === "all" || !topic.includes(":") || this.#named(topic) !== undefined) {
      return undefined;
    }
    return new Refusal("unknown_topic", "No rule of BATON_TOPICS_FILE names its prefix.");
  }

  /** The rule with a non-empty prefix that fits. */
  #named(topic: string): TopicRule | undefined {
    const fits = (name: string) =>
      this.#rules.find(([prefix]) => prefix !== "" && name.startsWith(prefix))?.[1];
    return fits(topic) ?? (topic.startsWith("$") ? fits(topic.slice(1)) : undefined);
  }
}

function topicRule(rule: RuleSettings): TopicRule {
  return { ...rule, keepsHistory: rule.historySize > 0 && rule.historyTtlMs > 0 };
}
