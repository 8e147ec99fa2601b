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
import type { Topic } from "../state/fan-out/topic";
import { checkTopic } from "../text/checks";
import type { Topics } from "../topics/topics";

/** The most rows of each kind in an answer. */
const ROWS_MAX = 20;

/** A publication as the history has it; "expired": it was there, and for whom it was is not known any more. */
interface PublicationState {
  readonly position: Position;
  readonly state: "kept" | "expired";
  readonly user?: string | undefined;
  /** The connection that it was not for. */
  readonly except?: string | undefined;
  /** Names its push, if it has one. */
  readonly push?: string | undefined;
}

/**
 * "perhaps": its client takes no positions, so that it is not known since when it had the topic; or the publication has expired, and
 * was perhaps for others.
 */
type Has = "it" | "perhaps";

/** An open connection. */
interface Receiver {
  readonly id: string;
  readonly user: string;
  readonly protocol: string;
  readonly has: Has;
}

interface EndedReceiver {
  readonly user: string;
  readonly protocol: string;
  readonly why: EndName;
  readonly agoMs: number;
  readonly has: Has;
}

/** What one node knows. Times are ages in ms. */
interface ReceiversHere {
  readonly connections: readonly Receiver[];
  readonly has: number;
  readonly perhaps: number;
  readonly ended: readonly EndedReceiver[];
  readonly recovered: readonly { user: string; agoMs: number; has: Has }[];
  readonly reachMs: number;
}

interface Question extends Omit<PublicationState, "state"> {
  readonly topic: string;
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
    const { state, ...rest } = publication;
    const question: Question = { topic, ...rest };
    const here = this.#here(question);
    const { answers, silent } = await this.#parts.cluster.survey<ReceiversHere>(
      "receivers",
      question,
    );
    const all = together([here, ...answers]);
    return {
      ...(state === "expired" ? unsure(all) : all),
      publication,
      nodes: { answered: 1 + answers.length, silent },
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
    const { user, except, push } = publication;
    return { position, state: "kept", user, except, push };
  }

  #here(question: Question): ReceiversHere {
    const { topic: name, position, user, except, push } = question;
    const { connections, topics, receipts } = this.#parts;
    const topic = topics.get(name);
    const sent = new Set(push === undefined ? [] : receipts.connectionsOf(push));
    const all = user === undefined ? connections.all() : connections.ofUser(user);
    const rows: Record<Has, Receiver[]> = { it: [], perhaps: [] };
    const counts = { it: 0, perhaps: 0 };
    for (const connection of topic === undefined ? [] : all) {
      if (connection.id === except) continue;
      const has = sent.has(connection.id) ? "it" : hasIt(connection, topic as Topic, position);
      if (has === undefined) continue;
      counts[has]++;
      if (rows[has].length < ROWS_MAX) {
        const { id, user: whose, protocol } = connection;
        rows[has].push({ id, user: whose, protocol: protocol.name, has });
      }
    }
    return {
      connections: surest([...rows.it, ...rows.perhaps]),
      has: counts.it,
      perhaps: counts.perhaps,
      ...this.#remembered(question),
      reachMs: this.#journal.reachMs,
    };
  }

  #remembered({
    topic,
    position,
    user,
    except,
  }: Question): Pick<ReceiversHere, "ended" | "recovered"> {
    const { epoch, offset } = position;
    const now = this.#now();
    const isMeant = (one: { readonly user: string }) => user === undefined || one.user === user;
    const reaches = (one: Position | undefined) => one?.epoch === epoch && one.offset >= offset;
    const ended: EndedReceiver[] = [];
    for (const { id, user: whose, protocol, why, at, topics } of this.#journal.ends) {
      if (id === except || !isMeant({ user: whose })) continue;
      const had = topics.find(({ name }) => name === topic);
      const has = reaches(had?.position) ? hadBy(had?.since, position) : undefined;
      if (has === undefined) continue;
      ended.push({ user: whose, protocol, why, agoMs: now - at, has });
      if (ended.length === ROWS_MAX) break;
    }
    const recovered = [...this.#journal.resumptions]
      .filter((one) => one.topic === topic && one.isRecovered && isMeant(one))
      .filter(({ from, to }) => from.epoch === epoch && from.offset < offset && reaches(to))
      .slice(0, ROWS_MAX)
      .map((one) => ({ user: one.user, agoMs: now - one.at, has: "it" as const }));
    return { ended, recovered };
  }
}

/** Whether a connection has what was published at a position; undefined where it has not. */
function hasIt(
  { topics, subscriptions }: Connection,
  topic: Topic,
  { epoch, offset }: Position,
): Has | undefined {
  const at = topic.position;
  if (at?.epoch !== epoch || at.offset < offset || !topics.includes(topic)) return undefined;
  return hadBy(subscriptions?.completeSince.get(topic), { epoch, offset });
}

/** Whether who has everything after a position, up to one that is late enough, has what was published at another. */
function hadBy(since: Position | undefined, { epoch, offset }: Position): Has | undefined {
  if (since === undefined) return "perhaps";
  return since.epoch === epoch && since.offset < offset ? "it" : undefined;
}

/** What is known of a publication that may have been for one user alone. */
function unsure(all: ReceiversHere): ReceiversHere {
  const perhaps = <Row>(row: Row) => ({ ...row, has: "perhaps" as const });
  return {
    ...all,
    has: 0,
    perhaps: all.has + all.perhaps,
    connections: all.connections.map(perhaps),
    ended: all.ended.map(perhaps),
    recovered: all.recovered.map(perhaps),
  };
}

/** As many as are shown, those first that have it for certain. */
function surest(rows: readonly Receiver[]): readonly Receiver[] {
  const isSure = ({ has }: Receiver) => has === "it";
  return rows.toSorted((a, b) => Number(isSure(b)) - Number(isSure(a))).slice(0, ROWS_MAX);
}

/** What several nodes know, newest first. */
function together(nodes: readonly ReceiversHere[]): ReceiversHere {
  const sum = (of: (node: ReceiversHere) => number) =>
    nodes.reduce((total, node) => total + of(node), 0);
  const newest = <Row extends { readonly agoMs: number }>(rows: readonly Row[]) =>
    rows.toSorted((a, b) => a.agoMs - b.agoMs).slice(0, ROWS_MAX);
  return {
    connections: surest(nodes.flatMap(({ connections }) => connections)),
    has: sum(({ has }) => has),
    perhaps: sum(({ perhaps }) => perhaps),
    ended: newest(nodes.flatMap(({ ended }) => ended)),
    recovered: newest(nodes.flatMap(({ recovered }) => recovered)),
    reachMs: Math.min(...nodes.map(({ reachMs }) => reachMs)),
  };
}
