// Subscribes connections that can resume, without a gap or a duplicate: what was missed first, then live publications.
// The topic is followed first, then history is read; in ONE synchronous step the connection is sent that page, then what
// the topic's tail has beyond it, and is subscribed natively. All or nothing: what cannot be recovered whole is not sent.
import type { Heartbeat } from "../connecting/heartbeat";
import type { RateLimit } from "../connecting/rate-limit";
import type { SubscribeResult } from "../contracts/commands";
import type { Engine, HistoryPage } from "../contracts/engine";
import { engineUnavailable } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { RelayOptions } from "../contracts/options";
import type { ResumableProtocol } from "../contracts/protocol";
import type { Position, Publication } from "../contracts/publication";
import type { Tally } from "../contracts/tally";
import type { Frame } from "../contracts/transport";
import { type Connection, chargeForFrame, chargeForReading } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Topic } from "../state/fan-out/topic";
import type { Waves } from "../state/fan-out/waves";
import {
  type PendingSubscription,
  pendingOf,
  resumedPosition,
  type Subscriptions,
  startPosition,
} from "../state/subscriptions";
import type { Topics } from "../topics/topics";
import { CatchUp, PAGE_CHARACTERS_MAX, PAGE_SIZE } from "./catch-up";
import { DeferredSubscriptions } from "./deferred";
import { HistoryReader, type Since } from "./history-reader";
import { ReplyBudget } from "./reply-budget";

/** An attempt of a connection to subscribe to topics: begun by `read`, ended by `commit` or `abandon`. */
export interface Attempt {
  readonly connection: Connection;
  readonly subscriptions: Subscriptions;
  /** Each occurs once. */
  readonly names: readonly string[];
  readonly since: Since;
  /** The pending subscriptions that it has begun. */
  readonly begun: readonly PendingSubscription[];
  /** One for each name; undefined when the engine is out of reach. */
  readonly pages: readonly HistoryPage[] | undefined;
  /** What `plan` decided: each is sent the publications of its page. */
  readonly steps: (readonly [PendingSubscription, HistoryPage])[];
}

const TOP_ALONE = { limit: 0, size: 0 };

/** The page of a connection that missed nothing, or can be given nothing of it. */
const EMPTY_PAGE: HistoryPage = { top: undefined, publications: [] };

export class Recovery {
  readonly #engine: Engine;
  readonly #later: (work: () => void) => void;
  readonly #connections: Connections;
  readonly #rateLimit: RateLimit;
  readonly #topics: Topics;
  readonly #waves: Waves;
  readonly #tally: Tally;
  readonly #reader: HistoryReader;
  readonly #catchUp: CatchUp;
  readonly #deferred: DeferredSubscriptions;
  /** Topics whose history was reset in this turn of the event loop. */
  readonly #reset = new Set<Topic>();
  /** How much of what was missed a reply may carry, for `plan`. */
  readonly replyBytes: number;

  constructor(
    options: RelayOptions,
    connections: Connections,
    rateLimit: RateLimit,
    topics: Topics,
    heartbeat: Heartbeat,
    waves: Waves,
  ) {
    this.#engine = options.engine;
    this.#later = options.later;
    this.replyBytes = options.limits.backpressureBytes / 4;
    this.#connections = connections;
    this.#rateLimit = rateLimit;
    this.#topics = topics;
    this.#waves = waves;
    this.#tally = options.tally;
    this.#reader = new HistoryReader(connections, rateLimit, waves, (connection, names, since) =>
      this.chooseTopics(connection, names, since),
    );
    this.#catchUp = new CatchUp(options, connections, rateLimit, topics, this.#reader);
    this.#deferred = new DeferredSubscriptions(options, heartbeat, this.#catchUp);
    connections.onEnd((connection) => this.#forget(connection));
  }

  /**
   * Makes `names` the topics of an open connection that is not a session. It is sent the reply of its protocol, then what
   * it missed since the positions in `since`, then live publications. Cost: its topics, and what it missed.
   */
  chooseTopics(connection: Connection, names: ReadonlySet<string>, since: Since): void {
    const { subscriptions, protocol } = connection;
    if (subscriptions === undefined || protocol.kind !== "topics" || !protocol.canResume) {
      this.#replace(connection, names);
      return;
    }
    this.#reader.pauseIfExhausted(connection, subscriptions);
    if (this.#reader.queue(connection, subscriptions, names, since)) return;
    const attempt = this.read(connection, subscriptions, [...names], since);
    void then(attempt, (read) => {
      if (read === undefined) return;
      if (read.pages === undefined) {
        this.#fail(read, protocol);
        return;
      }
      const reply = protocol.encodeSubscribed(this.plan(read, 0));
      this.#unsubscribeFromOthers(connection, subscriptions, names);
      this.commit(read, reply);
    });
  }

  #replace(connection: Connection, names: ReadonlySet<string>): void {
    // Its commands cannot wait, but all that they cause is that others are told of joins and leaves.
    if (this.#rateLimit.isExhausted(connection)) {
      this.#connections.end(connection, "too_many_frames");
    } else this.#topics.replace(connection, names);
  }

  /**
   * First act: follows the topics and reads their history, of all topics together no more than a page. Undefined when the connection has
   * ended meanwhile; otherwise `plan` and `commit` follow in the same turn, or `abandon`.
   */
  read(
    connection: Connection,
    subscriptions: Subscriptions,
    names: readonly string[],
    since: Since,
  ): Maybe<Attempt | undefined> {
    const begun: PendingSubscription[] = [];
    for (const name of names) {
      if (connection.topics.some((topic) => topic.name === name)) continue;
      if (pendingOf(subscriptions, name) !== undefined) continue;
      begun.push(this.#begin(subscriptions, name, "reading"));
    }
    const size = Math.ceil(PAGE_CHARACTERS_MAX / since.size);
    const pages = this.#reader.read(connection, subscriptions, names, (name) => {
      const position = since.get(name);
      const isBehind = position !== undefined && isUndecided(pendingOf(subscriptions, name));
      const range = isBehind ? { since: position.offset, limit: PAGE_SIZE, size } : TOP_ALONE;
      return this.#engine.history(name, range);
    });
    return then(pages, (read) => {
      if (connection.subscriptions !== subscriptions) return undefined;
      const found = read === "unavailable" ? undefined : read;
      return { connection, subscriptions, names, since, begun, pages: found, steps: [] };
    });
  }

  /**
   * Second act: decides what becomes of each topic, for the reply. Publications that were missed go into the results as
   * far as `replyBytes` reach; the rest follows the reply.
   */
  plan(attempt: Attempt, replyBytes: number): readonly SubscribeResult[] {
    const { connection, subscriptions, names, since, pages = [], steps } = attempt;
    const budget = new ReplyBudget(replyBytes);
    return names.map((name, i) => {
      const page = pages[i] as HistoryPage;
      const pending = pendingOf(subscriptions, name);
      if (pending === undefined || !isUndecided(pending)) {
        return this.#resumed(subscriptions, { name, pending, page, given: since.get(name) });
      }
      const result = startPosition(pending, page, since.get(name));
      if (result.recovered !== undefined) this.#note(connection, result, since);
      const owed = result.recovered === true ? page : EMPTY_PAGE;
      chargeForReading(connection, page.publications.length);
      const missed = budget.take(pending, owed.publications, connection.user);
      steps.push([pending, owed]);
      return missed.length === 0 ? result : { ...result, missed };
    });
  }

  #note({ user }: Connection, { topic, recovered, at, top }: SubscribeResult, since: Since): void {
    const isRecovered = recovered === true;
    this.#tally.recovered(isRecovered ? "recovered" : "lost");
    const from = isRecovered ? at : since.get(topic);
    if (from === undefined) return;
    this.#connections.journal.resumed({ user, topic, isRecovered, from, to: top });
  }

  /**
   * Last act: sends the reply and what follows it, what was missed and what the tails have beyond it, and subscribes natively.
   */
  commit({ connection, subscriptions, steps }: Attempt, reply: Frame, next?: Frame): void {
    this.#deferred.delete(connection);
    chargeForFrame(connection, reply.length);
    if (!this.#connections.send(connection, reply)) return;
    if (next !== undefined && !this.#connections.send(connection, next)) return;
    for (const [subscription, page] of steps) {
      if (connection.subscriptions !== subscriptions) return;
      this.#catchUp.step(connection, subscriptions, subscription, page);
    }
    this.#reader.done(connection, subscriptions);
  }

  /** Last act in place of `commit`: takes back what the attempt has begun. */
  abandon({ connection, subscriptions, begun }: Attempt): void {
    for (const subscription of begun) this.#catchUp.remove(subscriptions, subscription);
    this.#reader.done(connection, subscriptions);
  }

  /** Takes a connection out of a topic that it has or is subscribing to. */
  unsubscribe(connection: Connection, subscriptions: Subscriptions, name: string): void {
    const pending = pendingOf(subscriptions, name);
    if (pending !== undefined) this.#catchUp.remove(subscriptions, pending);
    const topic = connection.topics.find((other) => other.name === name);
    if (topic === undefined) return;
    this.#topics.unsubscribe(connection, topic);
    subscriptions.completeSince.delete(topic);
  }

  /** Follows the first topics of a socket, which are subscribed to by its first command or, without one, a moment later. */
  defer(connection: Connection, subscriptions: Subscriptions, names: ReadonlySet<string>): void {
    if (names.size === 0) return;
    const list = [...names];
    const deferred = list.map((name) => this.#begin(subscriptions, name, "deferred"));
    const pages = this.#reader.read(connection, subscriptions, list, (name) =>
      this.#engine.history(name, TOP_ALONE),
    );
    void then(pages, (read) => {
      if (connection.subscriptions !== subscriptions) return;
      for (const [i, subscription] of deferred.entries()) {
        subscription.from = typeof read === "string" ? undefined : read[i]?.top;
        subscription.sent = subscription.from?.offset ?? 0;
      }
      this.#reader.done(connection, subscriptions);
    });
    this.#deferred.add(connection);
  }

  /** Records a publication for those who are subscribing to its topic; to be called before it is sent to subscribers. */
  record(topic: Topic, publication: Publication): void {
    if (!topic.tail.fits(publication)) {
      this.#deferred.activateIn(topic);
      topic.tail.lose();
    }
    if (topic.followers > 0) topic.tail.push(publication);
  }

  /** The client has answered a ping; to be called before the heartbeat notes it. */
  pong(connection: Connection): void {
    this.#deferred.pong(connection);
  }

  /** The client has read what waited for it. */
  drained(connection: Connection): void {
    this.#catchUp.drained(connection);
  }

  /** To be called about once a second. */
  expire(): void {
    this.#catchUp.expire();
  }

  /**
   * What was published since the last delivery in a topic is lost. Connections in it that can resume are ended: they
   * reconnect with their positions and are told what became of it. Cost: all connections, once in a turn of the loop.
   */
  historyReset(name: string): void {
    this.#waves.flush(name);
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    topic.forgetPosition();
    topic.tail.lose();
    if (this.#reset.size === 0) this.#later(() => this.#endInResetTopics());
    this.#reset.add(topic);
  }

  #endInResetTopics(): void {
    const reset = new Set(this.#reset);
    this.#reset.clear();
    this.endIn(reset);
  }

  /** Ends the connections in these topics that can resume. Cost: all connections. */
  endIn(ended: ReadonlySet<Topic>): void {
    for (const connection of [...this.#connections.all()]) {
      const { subscriptions, topics } = connection;
      if (subscriptions === undefined) continue;
      const isIn =
        topics.some((topic) => ended.has(topic)) ||
        subscriptions.pending.some(({ topic }) => ended.has(topic));
      if (isIn) this.#connections.end(connection, "position_lost");
    }
  }

  #forget(connection: Connection): void {
    const { subscriptions } = connection;
    if (subscriptions === undefined) return;
    connection.subscriptions = undefined;
    this.#deferred.delete(connection);
    for (const { topic } of subscriptions.pending) this.#topics.unfollow(topic);
  }

  #begin(
    subscriptions: Subscriptions,
    name: string,
    state: "reading" | "deferred",
  ): PendingSubscription {
    const topic = this.#topics.follow(name);
    const subscription = {
      topic,
      form: "plain" as const,
      from: undefined,
      sent: 0,
      tailIndex: topic.tail.publications.length,
      tailLosses: topic.tail.losses,
      state,
      isPaging: false,
    };
    subscriptions.pending.push(subscription);
    return subscription;
  }

  /**
   * The engine is out of reach. The client is told, and may ask again. But a stream cannot ask, and a socket that has no
   * topic would wait for ever: both are ended, and their clients reconnect.
   */
  #fail({ connection, subscriptions, begun }: Attempt, protocol: ResumableProtocol): void {
    for (const subscription of begun) this.#catchUp.remove(subscriptions, subscription);
    const reply = protocol.encodeError(this.#tally.refused(engineUnavailable()));
    if (protocol.transport === "socket" && !this.#connections.send(connection, reply)) return;
    const hasTopics =
      connection.topics.length > 0 || subscriptions.pending.some((one) => !isUndecided(one));
    if (hasTopics) this.#reader.done(connection, subscriptions);
    else this.#connections.end(connection, "position_lost");
  }

  #unsubscribeFromOthers(
    connection: Connection,
    subscriptions: Subscriptions,
    names: ReadonlySet<string>,
  ): void {
    const topics = [...subscriptions.pending.map(({ topic }) => topic), ...connection.topics];
    for (const { name } of topics) {
      if (!names.has(name)) this.unsubscribe(connection, subscriptions, name);
    }
  }

  /** The result for a topic that the connection has: the page may be older than what was delivered since. */
  #resumed(
    { completeSince }: Subscriptions,
    one: {
      readonly name: string;
      readonly pending: PendingSubscription | undefined;
      readonly page: HistoryPage;
      readonly given: Position | undefined;
    },
  ): SubscribeResult {
    const { name, pending, page, given } = one;
    const topic = this.#topics.get(name);
    const top = topic?.position ?? page.top;
    if (pending !== undefined) {
      const at = pending.from && { ...pending.from, offset: pending.sent };
      return resumedPosition(name, { from: pending.from, at, top }, given);
    }
    const from = topic && completeSince.get(topic);
    return resumedPosition(name, { from, at: top, top }, given);
  }
}

/** Whether the connection was sent nothing of the topic yet. */
function isUndecided(subscription: PendingSubscription | undefined): boolean {
  return subscription !== undefined && subscription.state !== "catching up";
}
