// Which connections took publications that otherwise go to the devices of their user. Kept for those publications alone, each of which
// is for one user, so that nothing is done for the subscribers of a fan-out.
import type { Position } from "../contracts/publication";
import type { Journal, Resumption } from "../journal/journal";
import type { Cluster } from "../state/cluster";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Topics } from "../topics/topics";

/** A publication of which somebody wants to know whether its user has it. */
interface ReceiptQuestion {
  /** What `Publication.push` says. */
  readonly id: string;
  readonly user: string;
  readonly topic: string;
  /** Undefined where its topic keeps no history. */
  readonly position: Position | undefined;
}

/**
 * "taken": the user has it; "unsure": it was sent to a connection that has not shown since that its client is alive, or a node did not
 * answer; "missed": otherwise.
 */
export type ReceiptAnswer = "taken" | "unsure" | "missed";

/** What the journal remembers of some users. */
interface Past {
  /** What their clients have recovered. */
  readonly recovered: ReadonlyMap<string, readonly Resumption[]>;
  /** When connections were last closed by their clients. */
  readonly closedAt: ReadonlyMap<string, number>;
}

interface Receipt {
  readonly connections: string[];
  readonly at: number;
}

/** The most publications that are remembered. What is forgotten counts as missed, and goes to devices for nothing. */
const RECEIPTS_MAX = 10_000;

interface ReceiptParts {
  readonly now: () => number;
  readonly connections: Connections;
  readonly topics: Topics;
  readonly cluster: Cluster;
  /** Asks the client of a connection whether it is alive. */
  readonly ping: (connection: Connection) => void;
}

export class Receipts {
  readonly #parts: ReceiptParts;
  readonly #journal: Journal;
  /** Oldest first. */
  readonly #receipts = new Map<string, Receipt>();

  constructor(parts: ReceiptParts) {
    this.#parts = parts;
    this.#journal = parts.connections.journal;
    parts.cluster.handle("receipts", (questions: readonly ReceiptQuestion[]) =>
      this.#here(questions),
    );
  }

  /**
   * A publication was sent to a connection. Its client is asked whether it is alive, since what is sent proves nothing: without that,
   * a phone that has just lost its network would count as reached until its next ping is overdue.
   */
  sent(id: string, connection: Connection): void {
    const receipt = this.#receipts.get(id);
    if (receipt === undefined) this.#add(id, connection.id);
    else receipt.connections.push(connection.id);
    if (!connection.awaitingPong) this.#parts.ping(connection);
  }

  /** What all nodes know, in the order of the questions. Cost: the questions, and on each node once what its journal remembers. */
  async ask(questions: readonly ReceiptQuestion[]): Promise<readonly ReceiptAnswer[]> {
    const here = this.#here(questions);
    const { answers, silent } = await this.#parts.cluster.survey<readonly ReceiptAnswer[]>(
      "receipts",
      questions,
    );
    return here.map((answer, i) => {
      const all = [answer, ...answers.map((other) => other[i] ?? "unsure")];
      if (all.includes("taken")) return "taken";
      return silent > 0 || all.includes("unsure") ? "unsure" : "missed";
    });
  }

  /** The ids of the connections here that the publication was sent to live. */
  connectionsOf(id: string): readonly string[] {
    return this.#receipts.get(id)?.connections ?? [];
  }

  #add(id: string, connection: string): void {
    if (this.#receipts.size >= RECEIPTS_MAX) {
      const [oldest] = this.#receipts.keys();
      if (oldest !== undefined) this.#receipts.delete(oldest);
    }
    this.#receipts.set(id, { connections: [connection], at: this.#parts.now() });
  }

  #here(questions: readonly ReceiptQuestion[]): readonly ReceiptAnswer[] {
    const past = this.#pastOf(questions);
    return questions.map((question) => {
      const receipt = this.#receipts.get(question.id);
      if (this.#wasRecovered(question, receipt, past)) return "taken";
      if (receipt === undefined) return "missed";
      const answers = receipt.connections.map((id) => this.#stateOf(id, receipt.at, past));
      if (answers.includes("taken")) return "taken";
      return answers.includes("unsure") ? "unsure" : "missed";
    });
  }

  /** What the journal remembers of the users and connections of the questions, found in one pass for all of them. */
  #pastOf(questions: readonly ReceiptQuestion[]): Past {
    const recovered = new Map<string, Resumption[]>(questions.map(({ user }) => [user, []]));
    for (const one of this.#journal.resumptions) {
      if (one.isRecovered) recovered.get(one.user)?.push(one);
    }
    const closedAt = new Map<string, number>();
    for (const { id, user, why, at } of this.#journal.ends) {
      if (why === "closed" && recovered.has(user) && !closedAt.has(id)) closedAt.set(id, at);
    }
    return { recovered, closedAt };
  }

  /** Of a connection that the publication was sent to. One that its client has closed since was alive. */
  #stateOf(id: string, sentAt: number, { closedAt }: Past): ReceiptAnswer {
    const connection = this.#parts.connections.byId(id);
    if (connection !== undefined && connection.openedAt <= sentAt) {
      return connection.awaitingPong ? "unsure" : "taken";
    }
    return (closedAt.get(id) ?? -1) >= sentAt ? "taken" : "missed";
  }

  /** A client of the user has come back and got it, or has said that it had it already. */
  #wasRecovered(
    { user, topic, position }: ReceiptQuestion,
    receipt: Receipt | undefined,
    { recovered }: Past,
  ): boolean {
    if (position === undefined) return false;
    const { epoch, offset } = position;
    const hasIt = ({ topic: other, from, to }: Resumption) =>
      other === topic && from.epoch === epoch && (to?.offset ?? 0) >= offset;
    if (recovered.get(user)?.some(hasIt) === true) return true;
    // One that subscribed since got it with what came before its first live publication.
    const found = this.#parts.topics.get(topic);
    if (found === undefined || (found.position?.offset ?? 0) < offset) return false;
    return this.#parts.connections.ofUser(user).some(({ id, subscriptions }) => {
      if (receipt?.connections.includes(id) === true) return false;
      const since = subscriptions?.completeSince.get(found);
      return since !== undefined && since.epoch === epoch && since.offset < offset;
    });
  }
}
