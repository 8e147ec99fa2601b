// Answers "what became of it?": which connections have a publication, which had it when they ended, and who recovered it, as far as the
// nodes still know. Nothing is written for it when a publication is delivered: it is read from what each connection has, and from the journal.
import { type Engine, isWhole } from "../contracts/engine";
import { Refusal } from "../contracts/errors";
import type { RelayOptions } from "../contracts/options";
import type { Position } from "../contracts/publication";
import type { EndName, Journal } from "../journal/journal";
import type { Receipts } from "../publishing/receipts";
import type { Cluster } from "../state/cluster";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Topic } from "../state/topic";
import { checkTopic } from "../text/checks";
import type { Topics } from "../topics/topics";

/** The most rows of each kind in an answer. */
const ROWS_MAX = 20;

/** A publication as the history has it; "expired": it was there. */
interface PublicationState {
  readonly position: Position;
  readonly state: "kept" | "expired";
  readonly user?: string | undefined;
  /** Names its push, if it has one. */
  readonly push?: string | undefined;
}

/** An open connection. "perhaps": its client takes no positions, so that it is not known since when it has the topic. */
interface Receiver {
  readonly id: string;
  readonly user: string;
  readonly protocol: string;
  readonly has: "it" | "perhaps";
}

/** What one node knows. Times are ages in ms. */
interface ReceiversHere {
  readonly connections: readonly Receiver[];
  readonly has: number;
  readonly perhaps: number;
  readonly ended: readonly { user: string; protocol: string; why: EndName; agoMs: number }[];
  readonly recovered: readonly { user: string; agoMs: number }[];
  readonly reachMs: number;
}

interface Question {
  readonly topic: string;
  readonly position: Position;
  readonly user?: string | undefined;
  readonly push?: string | undefined;
}

export interface ReceiversAnswer extends ReceiversHere {
  readonly publication: PublicationState;
  readonly nodes: { readonly answered: number; readonly silent: number };
}

interface ReceiversParts {
  readonly connections: Connections;
  readonly topics: Topics;
  readonly cluster: Cluster;
  readonly receipts: Receipts;
}

export class Receivers {
  readonly #now: () => number;
  readonly #engine: Engine;
  readonly #journal: Journal;
  readonly #parts: ReceiversParts;

  constructor({ now, engine }: Pick<RelayOptions, "now" | "engine">, parts: ReceiversParts) {
    this.#now = now;
    this.#engine = engine;
    this.#journal = parts.connections.journal;
    this.#parts = parts;
    parts.cluster.handle("receivers", (question: Question) => this.#here(question));
  }

  /**
   * Over all nodes. Without an epoch, it is the topic's own. Refuses `invalid_topic`, `no_history`, `unknown_publication`,
   * `unrecoverable_position`. Rejects with EngineUnavailable. Cost: on each node its connections, and what the journal remembers.
   */
  async of(
    topic: string,
    offset: number,
    epoch: string | undefined,
  ): Promise<ReceiversAnswer | Refusal> {
    const publication = checkTopic(topic) ?? (await this.#publication(topic, offset, epoch));
    if (publication instanceof Refusal) return publication;
    const { position, user, push } = publication;
    const question: Question = { topic, position, user, push };
    const here = this.#here(question);
    const { answers, silent } = await this.#parts.cluster.survey<ReceiversHere | null>(
      "receivers",
      question,
    );
    // A node of an older version has no answer.
    const others = answers.filter((answer) => answer !== undefined && answer !== null);
    return {
      ...together([here, ...others]),
      publication,
      nodes: { answered: 1 + others.length, silent: silent + answers.length - others.length },
    };
  }

  async #publication(
    topic: string,
    offset: number,
    given: string | undefined,
  ): Promise<PublicationState | Refusal> {
    const page = await this.#engine.history(topic, { since: offset - 1, limit: 1, size: 1 });
    const { top } = page;
    if (top === undefined) {
      return new Refusal(
        "no_history",
        "The topic keeps no history, so that nothing has an offset.",
      );
    }
    const { epoch } = top;
    if (given !== undefined && given !== epoch) {
      return new Refusal("unrecoverable_position", `The topic's epoch is ${epoch} now.`);
    }
    if (offset > top.offset) {
      return new Refusal(
        "unknown_publication",
        `The newest publication of the topic has the offset ${top.offset}.`,
      );
    }
    const position = { epoch, offset };
    const [publication] = page.publications;
    if (publication === undefined || !isWhole(page, { epoch, offset: offset - 1 })) {
      return { position, state: "expired" };
    }
    const { user, push } = publication;
    return { position, state: "kept", user, push };
  }

  #here({ topic: name, position, user, push }: Question): ReceiversHere {
    const { connections, topics, receipts } = this.#parts;
    const topic = topics.get(name);
    const sent = new Set(push === undefined ? [] : receipts.connectionsOf(push));
    const all = user === undefined ? connections.all() : connections.ofUser(user);
    const rows: Receiver[] = [];
    const counts = { it: 0, perhaps: 0 };
    for (const connection of topic === undefined ? [] : all) {
      const has = sent.has(connection.id) ? "it" : hasIt(connection, topic as Topic, position);
      if (has === undefined) continue;
      counts[has]++;
      if (rows.length < ROWS_MAX) {
        const { id, user: whose, protocol } = connection;
        rows.push({ id, user: whose, protocol: protocol.name, has });
      }
    }
    return {
      connections: rows,
      has: counts.it,
      perhaps: counts.perhaps,
      ...this.#remembered(name, position, user),
      reachMs: this.#journal.reachMs,
    };
  }

  #remembered(
    topic: string,
    { epoch, offset }: Position,
    user: string | undefined,
  ): Pick<ReceiversHere, "ended" | "recovered"> {
    const now = this.#now();
    const isMeant = (one: { readonly user: string }) => user === undefined || one.user === user;
    const reaches = (one: Position | undefined) => one?.epoch === epoch && one.offset >= offset;
    const ended = [...this.#journal.ends]
      .filter((one) => isMeant(one))
      .filter(({ topics }) => topics.some((had) => had.name === topic && reaches(had.position)))
      .slice(0, ROWS_MAX)
      .map((one) => ({
        user: one.user,
        protocol: one.protocol,
        why: one.why,
        agoMs: now - one.at,
      }));
    const recovered = [...this.#journal.resumptions]
      .filter((one) => one.topic === topic && one.isRecovered && isMeant(one))
      .filter(({ from, to }) => from.epoch === epoch && from.offset < offset && reaches(to))
      .slice(0, ROWS_MAX)
      .map((one) => ({ user: one.user, agoMs: now - one.at }));
    return { ended, recovered };
  }
}

/** Whether a connection has what was published at a position; undefined where it has not. */
function hasIt(
  { topics, subscriptions }: Connection,
  topic: Topic,
  { epoch, offset }: Position,
): Receiver["has"] | undefined {
  const at = topic.position;
  if (at?.epoch !== epoch || at.offset < offset || !topics.includes(topic)) return undefined;
  const since = subscriptions?.completeSince.get(topic);
  if (since === undefined) return "perhaps";
  return since.epoch === epoch && since.offset < offset ? "it" : undefined;
}

/** What several nodes know, newest first. */
function together(nodes: readonly ReceiversHere[]): ReceiversHere {
  const sum = (of: (node: ReceiversHere) => number) =>
    nodes.reduce((total, node) => total + of(node), 0);
  const newest = <Row extends { readonly agoMs: number }>(rows: readonly Row[]) =>
    rows.toSorted((a, b) => a.agoMs - b.agoMs).slice(0, ROWS_MAX);
  return {
    connections: nodes.flatMap(({ connections }) => connections).slice(0, ROWS_MAX),
    has: sum(({ has }) => has),
    perhaps: sum(({ perhaps }) => perhaps),
    ended: newest(nodes.flatMap(({ ended }) => ended)),
    recovered: newest(nodes.flatMap(({ recovered }) => recovered)),
    reachMs: Math.min(...nodes.map(({ reachMs }) => reachMs)),
  };
}
