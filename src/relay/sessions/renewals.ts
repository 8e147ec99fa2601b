// Connections and subscriptions that expire, where the backend is asked whether they go on, in place of their clients.
import type { Questions, RenewalAnswer } from "../contracts/backend/questions";
import type { RelayOptions } from "../contracts/options";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import { expiryOf, type Session } from "../state/session";
import type { Topics } from "../topics/topics";
import type { SessionParts } from "./parts";
import type { SessionSubscriptions } from "./subscriptions";

/** How long something goes on whose backend could not be asked, and up to how much longer, so that not all ask again at once. */
const AGAIN_S = 60;
const AGAIN_SPREAD_S = 15;

export class Renewals {
  readonly #questions: Questions | undefined;
  readonly #rules: RelayOptions["rules"];
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #connections: Connections;
  readonly #topics: Topics;
  readonly #subscriptions: SessionSubscriptions;

  constructor({ options, connections, topics }: SessionParts, subscriptions: SessionSubscriptions) {
    this.#questions = options.questions;
    this.#rules = options.rules;
    this.#now = options.now;
    this.#random = options.random;
    this.#connections = connections;
    this.#topics = topics;
    this.#subscriptions = subscriptions;
  }

  /** Whether any of a session's topics may be renewed so. */
  get areTopicsAsked(): boolean {
    return this.#questions !== undefined && this.#rules.asksAbout("askRefresh");
  }

  /** Asks about a connection that has expired, if anybody is asked; without waiting for the answer. */
  renewConnection(connection: Connection, session: Session): void {
    const questions = this.#questions;
    if (questions?.asksRefresh !== true) return;
    // Until the answer, it does not expire again.
    session.deadline = Number.POSITIVE_INFINITY;
    questions.refresh(connection).then((answer) => {
      if (connection.session !== session) return;
      const { ttl, info, meta } = this.#renewed(answer);
      if (ttl !== undefined && ttl <= 0) {
        this.#connections.end(connection, "expired");
        return;
      }
      session.deadline = expiryOf(ttl, this.#now());
      session.meta = meta ?? session.meta;
      if (info === undefined) return;
      session.info = info;
      this.#topics.presence.changed(connection);
    });
  }

  /** Asks about the subscriptions of a session that have expired and that somebody is asked about. Cost: its topics. */
  renewTopics(connection: Connection, session: Session): void {
    const now = this.#now();
    for (const [topic, { expiresAt }] of session.topics) {
      if (expiresAt > now) continue;
      const to = this.#rules.asked("askRefresh", topic);
      if (to !== "") void this.renewTopic(connection, session, topic, to);
    }
  }

  /** Resolves when the answer has been acted upon: with false when the subscription has ended. */
  async renewTopic(
    connection: Connection,
    session: Session,
    topic: string,
    to: string,
  ): Promise<boolean> {
    const subscription = session.topics.get(topic);
    if (subscription === undefined || this.#questions === undefined) return false;
    subscription.expiresAt = Number.POSITIVE_INFINITY;
    const answer = await this.#questions.refreshTopic(connection, to, topic);
    // It may have left the topic meanwhile, and be there again by another answer.
    if (connection.session !== session || session.topics.get(topic) !== subscription) return false;
    const { ttl, info } = this.#renewed(answer);
    if (ttl !== undefined && ttl <= 0) {
      this.#subscriptions.unsubscribeByServer(connection, topic, 2501, "subscription expired");
      return false;
    }
    subscription.expiresAt = expiryOf(ttl, this.#now());
    if (info !== undefined) {
      subscription.info = info;
      this.#topics.presence.changed(connection);
    }
    return true;
  }

  #renewed(answer: RenewalAnswer): Exclude<RenewalAnswer, string> {
    if (answer === "expired") return { ttl: 0 };
    if (answer === "unanswered") return { ttl: AGAIN_S + AGAIN_SPREAD_S * this.#random() };
    return answer;
  }
}
