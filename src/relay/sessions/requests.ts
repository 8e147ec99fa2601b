// What clients of sessions ask for besides subscribing: to publish, who is in a topic, and a topic's history.
import type { RateLimit } from "../connecting/rate-limit";
import {
  type Denial,
  Dismissal,
  type QuestionKind,
  type Questions,
} from "../contracts/backend/questions";
import type { CommandOf } from "../contracts/commands";
import type { Engine } from "../contracts/engine";
import { notAvailable, Refusal } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { Limits, RelayOptions } from "../contracts/options";
import type { Publication, Published } from "../contracts/publication";
import type { TopicRules } from "../contracts/topic-rules";
import { type Publisher, toPublication } from "../publishing/publisher";
import { type Connection, chargeForReading, chargeForReceivers, infoOf } from "../state/connection";
import type { Connections } from "../state/connections";
import { checkTopic } from "../text/checks";
import {
  checkDirection,
  HISTORY_SIZE_MAX,
  type KeptPage,
  REPLY_PUBLICATIONS_MAX,
  readHistory,
} from "../topics/history";
import type { Permissions } from "../topics/permissions";
import type { Topics } from "../topics/topics";
import type { SessionParts } from "./parts";
import type { Replies } from "./replies";

export class SessionRequests {
  readonly #limits: Limits;
  readonly #rules: TopicRules;
  readonly #engine: Engine;
  readonly #later: RelayOptions["later"];
  readonly #questions: Questions | undefined;
  readonly #connections: Connections;
  readonly #rateLimit: RateLimit;
  readonly #permissions: Permissions;
  readonly #topics: Topics;
  readonly #publisher: Publisher;
  readonly #replies: Replies;
  readonly #witness: RelayOptions["witness"];

  constructor(parts: SessionParts) {
    const { options, connections, rateLimit, permissions, topics, publisher, replies } = parts;
    const { limits, rules, engine, later } = options;
    this.#connections = connections;
    this.#questions = options.questions;
    this.#later = later;
    this.#rateLimit = rateLimit;
    this.#limits = limits;
    this.#rules = rules;
    this.#engine = engine;
    this.#permissions = permissions;
    this.#topics = topics;
    this.#publisher = publisher;
    this.#replies = replies;
    this.#witness = options.witness?.wants("published") === true ? options.witness : undefined;
  }

  publish(connection: Connection, command: CommandOf<"publish">): Maybe<void> {
    const { topic } = command;
    const to = this.#permissions.asked(connection, "publish", topic);
    const publication = this.#publicationOf(connection, command);
    const refusal =
      publication instanceof Refusal
        ? publication
        : (this.#rules.check(topic) ??
          (to === undefined ? this.#permissions.check(connection, "publish", topic) : undefined) ??
          this.#rateLimit.countPublication(connection));
    if (refusal !== undefined || publication instanceof Refusal) {
      this.#replies.refuse(connection, command, refusal as Refusal);
      return undefined;
    }
    if (to !== undefined && this.#questions !== undefined)
      return this.#publishAsked(this.#questions, to, connection, command);
    return this.#submit(connection, command, publication);
  }

  #publicationOf(
    connection: Connection,
    { topic, data, event, isEchoed }: CommandOf<"publish">,
    tags?: string,
  ): Publication | Refusal {
    const except = isEchoed === false ? connection.id : undefined;
    return toPublication({ topic, data, event, except, tags }, this.#limits.messageBytes);
  }

  /** The backend may say that something else is published. */
  async #publishAsked(
    questions: Questions,
    to: string,
    connection: Connection,
    command: CommandOf<"publish">,
  ): Promise<void> {
    const { session } = connection;
    const { topic } = command;
    const granted = await questions.publish(connection, to, command);
    if (connection.session !== session) return undefined;
    if (granted instanceof Refusal || granted instanceof Dismissal) {
      this.#deny(connection, command, "publish", granted);
      return undefined;
    }
    const { data = command.data, tags, idempotencyKey } = granted;
    const publication = this.#publicationOf(connection, { ...command, data }, tags);
    // The topic may be closed by now.
    const refusal = publication instanceof Refusal ? publication : this.#rules.check(topic);
    if (refusal !== undefined) this.#replies.refuse(connection, command, refusal);
    else return this.#submit(connection, command, publication as Publication, idempotencyKey);
    return undefined;
  }

  #deny(
    connection: Connection,
    command: CommandOf<"publish" | "call">,
    question: QuestionKind,
    denial: Denial,
  ): void {
    const topic = "topic" in command ? command.topic : undefined;
    this.#connections.journal.refused({ user: connection.user, question, topic, why: denial });
    if (denial instanceof Refusal) this.#replies.refuse(connection, command, denial);
    else this.#connections.disconnect(connection, denial.code, denial.reason);
  }

  /** What a client calls is answered by the backend, if anybody is named for the method. */
  call(connection: Connection, command: CommandOf<"call">): Maybe<void> {
    const { id, method, data } = command;
    const to = this.#rules.asked("askCall", method);
    if (to === "" || this.#questions === undefined) {
      this.#replies.refuse(connection, command, notAvailable());
      return undefined;
    }
    const { session } = connection;
    return this.#questions.call(connection, to, { method, data }).then((answer) => {
      if (connection.session !== session) return;
      if (answer instanceof Refusal || answer instanceof Dismissal)
        this.#deny(connection, command, "rpc", answer);
      else this.#replies.reply(connection, { kind: "called", id, data: answer.data });
    });
  }

  #submit(
    connection: Connection,
    command: CommandOf<"publish">,
    publication: Publication,
    idempotencyKey?: string,
  ): Maybe<void> {
    const { id, topic } = command;
    const published = { ...publication, info: infoOf(connection, topic) };
    return then(this.#publish(connection, published, idempotencyKey), (answer) => {
      if (answer instanceof Refusal) {
        this.#replies.refuse(connection, command, answer);
        return;
      }
      chargeForReceivers(connection, answer.delivered);
      this.#replies.reply(connection, { kind: "done", id, of: "publish" });
    });
  }

  /**
   * Publishes, and tells whoever wants to know in the same turn, so that an engine with transactions keeps both or neither. The client
   * is answered when both are kept.
   */
  #publish(
    connection: Connection,
    publication: Publication,
    idempotencyKey?: string,
  ): Maybe<Published | Refusal> {
    const submitted = this.#publisher.submit(publication, idempotencyKey);
    if (this.#witness === undefined || submitted instanceof Refusal) return submitted;
    const client = connection.publicId || connection.id;
    const kept = this.#witness.keep({ kind: "published", publication, client });
    if (!(kept instanceof Promise)) return submitted;
    return Promise.all([submitted, kept]).then(([answer]) => answer);
  }

  async presence(
    connection: Connection,
    command: CommandOf<"presence" | "presenceCounts">,
  ): Promise<void> {
    const { kind, id, topic } = command;
    const refusal =
      checkTopic(topic) ??
      this.#rules.check(topic) ??
      (this.#rules.of(topic).presence ? undefined : notAvailable()) ??
      this.#permissions.check(connection, "presence", topic);
    if (refusal !== undefined) this.#replies.refuse(connection, command, refusal);
    else if (kind === "presence") {
      const clients = await this.#topics.presence.clients(topic);
      this.#replies.reply(connection, { kind, id, clients });
    } else {
      const counts = await this.#topics.presence.counts(topic);
      this.#replies.reply(connection, { kind, id, ...counts });
    }
  }

  history(connection: Connection, command: CommandOf<"history">): Maybe<void> {
    const { id, topic, since, reverse } = command;
    const refusal =
      checkTopic(topic) ??
      this.#rules.check(topic) ??
      (this.#rules.of(topic).keepsHistory ? undefined : notAvailable()) ??
      this.#permissions.check(connection, "history", topic) ??
      checkDirection({ since, reverse });
    if (refusal !== undefined) {
      this.#replies.refuse(connection, command, refusal);
      return undefined;
    }
    return then(this.#readOwn(connection, command, since?.offset), (found) => {
      if (found instanceof Refusal) this.#replies.refuse(connection, command, found);
      else this.#replies.reply(connection, { kind: "history", id, page: found });
    });
  }

  /**
   * Publications to other users are in the history too. Where a page has no others, the client could not go on after it,
   * so the next page is read.
   */
  #readOwn(
    connection: Connection,
    command: CommandOf<"history">,
    since: number | undefined,
  ): Maybe<KeptPage | Refusal> {
    const page = readHistory(this.#engine, command.topic, {
      since,
      epoch: command.since?.epoch || undefined,
      limit: command.limit,
      limitMax: REPLY_PUBLICATIONS_MAX,
      reverse: command.reverse,
      size: Math.min(HISTORY_SIZE_MAX, this.#limits.backpressureBytes),
    });
    return then<KeptPage | Refusal, KeptPage | Refusal>(page, (found) => {
      if (found instanceof Refusal) return found;
      chargeForReading(connection, found.publications.length);
      const publications = found.publications.filter(
        ({ user }) => user === undefined || user === connection.user,
      );
      const last = found.publications.at(-1)?.offset;
      const hasEnded = connection.socket === undefined;
      if (publications.length > 0 || last === undefined || hasEnded)
        return { ...found, publications };
      const next = Promise.withResolvers<KeptPage | Refusal>();
      const readOn = () =>
        Promise.try(() => this.#readOwn(connection, command, last)).then(next.resolve, next.reject);
      if (this.#rateLimit.isExhausted(connection)) this.#rateLimit.pause(readOn);
      else this.#later(readOn);
      return next.promise;
    });
  }
}
