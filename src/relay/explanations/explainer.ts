// Answers "why did it not arrive?": gathers what all nodes know about a user and a topic, and makes findings of it. Costs
// something only when somebody asks.
import type { Denial } from "../contracts/backend/questions";
import { type Engine, isWhole } from "../contracts/engine";
import { Refusal } from "../contracts/errors";
import type { RelayOptions } from "../contracts/options";
import type { Position } from "../contracts/publication";
import type { TopicRules } from "../contracts/topic-rules";
import type { Journal } from "../journal/journal";
import type { Cluster } from "../state/cluster";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { pendingOf } from "../state/subscriptions";
import { checkTopic } from "../text/checks";
import type { Permissions } from "../topics/permissions";
import type { Topics } from "../topics/topics";
import type {
  ConnectionFacts,
  EndFacts,
  Facts,
  NodeFacts,
  PublicationFacts,
  Question,
  RefusalFacts,
  ResumptionFacts,
} from "./facts";
import { type Finding, findingsOf } from "./findings";

/** The most connections, ends and resumptions in an answer, each. */
const ROWS_MAX = 20;

export interface Explanation {
  readonly findings: readonly Finding[];
  readonly facts: Facts;
}

interface ExplainerParts {
  readonly connections: Connections;
  readonly topics: Topics;
  readonly permissions: Permissions;
  readonly cluster: Cluster;
}

export class Explainer {
  readonly #now: () => number;
  readonly #engine: Engine;
  readonly #rules: TopicRules;
  readonly #journal: Journal;
  readonly #parts: ExplainerParts;

  constructor({ now, engine, rules }: RelayOptions, parts: ExplainerParts) {
    this.#now = now;
    this.#engine = engine;
    this.#rules = rules;
    this.#journal = parts.connections.journal;
    this.#parts = parts;
    parts.cluster.handle("explain", (question: Question) => this.#factsOf(question));
  }

  /** Over all nodes. Refuses `invalid_topic`. Rejects with EngineUnavailable. Cost: what is remembered, and the user's connections. */
  async explain(question: Question): Promise<Explanation | Refusal> {
    const { topic, user, position } = question;
    const refusal = checkTopic(topic);
    if (refusal !== undefined) return refusal;
    const publication =
      position === undefined ? undefined : await this.#publication(topic, position);
    const here = this.#factsOf(question);
    const { answers, silent } = await this.#parts.cluster.survey<NodeFacts>("explain", question);
    const obstacle = user === undefined ? undefined : this.#parts.permissions.obstacle(user, topic);
    const facts: Facts = {
      ...together([here, ...answers]),
      nodes: { answered: 1 + answers.length, silent },
      publication,
      obstacle,
      rule: this.#rules.prefixOf(topic),
      isUnknownTopic: this.#rules.check(topic) !== undefined,
    };
    return { findings: findingsOf(question, facts), facts };
  }

  async #publication(topic: string, position: Position): Promise<PublicationFacts> {
    const { epoch, offset } = position;
    const before = { epoch, offset: offset - 1 };
    const page = await this.#engine.history(topic, { since: before.offset, limit: 1, size: 1 });
    const { top } = page;
    if (top === undefined) return { ...position, state: "unnumbered" };
    if (top.epoch !== epoch) return { ...position, state: "other_epoch", top };
    if (offset > top.offset) return { ...position, state: "never_published", top };
    const [publication] = page.publications;
    if (publication === undefined || !isWhole(page, before)) {
      return { ...position, state: "expired", top };
    }
    const { user, except } = publication;
    return { ...position, state: "kept", top, user, except };
  }

  #factsOf({ topic: name, user }: Question): NodeFacts {
    const { connections, topics } = this.#parts;
    const subscribers = topics.get(name)?.subscribers ?? 0;
    const reachMs = this.#journal.reachMs;
    if (user === undefined) {
      return {
        connections: [],
        connectionCount: 0,
        ends: [],
        resumptions: [],
        refusals: [],
        subscribers,
        reachMs,
      };
    }
    const all = connections.ofUser(user);
    return {
      connections: all.slice(0, ROWS_MAX).map((one) => this.#connectionFacts(one, name)),
      connectionCount: all.length,
      ends: this.#ends(name, user),
      resumptions: this.#resumptions(name, user),
      refusals: this.#refusals(name, user),
      subscribers,
      reachMs,
    };
  }

  #connectionFacts(connection: Connection, name: string): ConnectionFacts {
    const { id, user, protocol, openedAt, socket, subscriptions } = connection;
    const common = {
      id,
      protocol: protocol.name,
      ageMs: Math.max(0, this.#now() - openedAt),
      waitingBytes: socket?.getBufferedAmount() ?? 0,
    };
    const topic = connection.topics.find((other) => other.name === name);
    if (topic !== undefined) {
      const completeSince = subscriptions?.completeSince.get(topic);
      return { ...common, state: "subscribed", completeSince, sentTo: topic.position };
    }
    const pending = subscriptions && pendingOf(subscriptions, name);
    if (pending !== undefined) {
      const { from, sent } = pending;
      const sentTo = from && { epoch: from.epoch, offset: sent };
      return { ...common, state: "subscribing", completeSince: from, sentTo };
    }
    const obstacle = this.#parts.permissions.obstacle(user, name, connection);
    return { ...common, state: "not_subscribed", obstacle };
  }

  #ends(name: string, user: string): EndFacts[] {
    const now = this.#now();
    const found: EndFacts[] = [];
    for (const { user: whose, protocol, why, code, topics, topicCount, at } of this.#journal.ends) {
      if (whose !== user) continue;
      const topic = topics.find((other) => other.name === name);
      const isUnknown = topic === undefined && topicCount > topics.length;
      const hadTopic = isUnknown ? undefined : topic !== undefined;
      const { position, since: completeSince } = topic ?? {};
      found.push({ protocol, why, code, agoMs: now - at, hadTopic, position, completeSince });
      if (found.length === ROWS_MAX) break;
    }
    return found;
  }

  #resumptions(name: string, user: string): ResumptionFacts[] {
    const now = this.#now();
    const found: ResumptionFacts[] = [];
    for (const { user: whose, topic, isRecovered, from, to, at } of this.#journal.resumptions) {
      if (whose !== user || topic !== name) continue;
      found.push({ isRecovered, from, to, agoMs: now - at });
      if (found.length === ROWS_MAX) break;
    }
    return found;
  }

  /** About the topic, or about the connection that would have had it. */
  #refusals(name: string, user: string): RefusalFacts[] {
    const now = this.#now();
    const found: RefusalFacts[] = [];
    for (const { user: whose, question, topic, why, at } of this.#journal.refusals) {
      const isAbout = question === "connect" || (question === "subscribe" && topic === name);
      if (whose !== user || !isAbout) continue;
      found.push({ question, why: wordsOf(why), agoMs: now - at });
      if (found.length === ROWS_MAX) break;
    }
    return found;
  }
}

/** What the backend has said, or why it has not, in a sentence. */
function wordsOf(why: Denial): string {
  return why instanceof Refusal ? why.message : `${why.reason} (${why.code}).`;
}

/** What several nodes know, newest first. */
function together(nodes: readonly NodeFacts[]): NodeFacts {
  const byAge = (a: { agoMs: number }, b: { agoMs: number }) => a.agoMs - b.agoMs;
  const sum = (of: (node: NodeFacts) => number) =>
    nodes.reduce((total, node) => total + of(node), 0);
  return {
    connections: nodes.flatMap(({ connections }) => connections).slice(0, ROWS_MAX),
    connectionCount: sum(({ connectionCount }) => connectionCount),
    ends: nodes
      .flatMap(({ ends }) => ends)
      .toSorted(byAge)
      .slice(0, ROWS_MAX),
    resumptions: nodes
      .flatMap(({ resumptions }) => resumptions)
      .toSorted(byAge)
      .slice(0, ROWS_MAX),
    refusals: nodes.flatMap(({ refusals = [] }) => refusals).toSorted(byAge),
    subscribers: sum(({ subscribers }) => subscribers),
    reachMs: Math.min(...nodes.map(({ reachMs }) => reachMs)),
  };
}
