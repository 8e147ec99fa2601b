// The topics of one Redis server that this node follows. Each is synced: brought to where the server is before anything of it is
// delivered, and again after a lost connection. Positions are compared with the server's now and then, since a subscription
// cannot tell that it has missed something.
import {
  EngineUnavailable,
  type HistoryPage,
  type HistoryRange,
} from "../../../relay/contracts/engine";
import type { Position } from "../../../relay/contracts/publication";
import { Rounds } from "../../rounds";
import type { RedisLink } from "../server/link";
import { slices } from "../server/slices";
import type { PositionAnswer, PositionQuery } from "../server/topic-scripts";
import { decodeMessage, type ReceivedPublication } from "../server/wire";
import { Feed } from "./feed";
import { TopicSubscriptions, type TopicSubscriptionsOptions } from "./subscriptions";

/** Topics in one query for positions, and topics whose gaps are closed at once. */
const POSITIONS_MAX = 250;
const GAPS_MAX = 4;

/** In how many calls of `checkPositions` each topic is compared with the server. */
const CHECK_ALL_CALLS = 20;

/** For how long, at least, the position of a topic that was left is kept: longer than the clocks of two nodes are in doubt. */
const LEFT_MS = 1_000;

export interface FollowedTopicsOptions
  extends Pick<TopicSubscriptionsOptions, "keys" | "permanentChannels"> {
  readonly onPermanentMessage: (message: string) => void;
  /** The name of this node, for publications of its own. */
  readonly node: string;
  /** The server's time in microseconds, early rather than late; undefined until it is known. */
  readonly now: () => number | undefined;
  /** Asks the server; undefined for topics without history. Rejects with EngineUnavailable, as `read` does. */
  readonly positions: (
    queries: readonly PositionQuery[],
  ) => Promise<readonly (PositionAnswer | undefined)[]>;
  readonly read: (topic: string, range: HistoryRange) => Promise<HistoryPage>;
  /** The next publication of a topic, in order. */
  readonly inOrder: (received: ReceivedPublication) => void;
  readonly discarded: (received: ReceivedPublication) => void;
  readonly historyReset: (topic: string) => void;
  /** With each message, how many publications the server had taken. */
  readonly onCount: (count: number) => void;
}

interface FollowedTopic {
  readonly feed: Feed;
  /** When it was followed. What was published since then is delivered, unless it was delivered here before. */
  followedAt: number | undefined;
  deliveredBefore: Position | undefined;
  /** It was synced at least once. */
  hasSynced: boolean;
  /** Set when somebody waits until it is live. */
  ready: PromiseWithResolvers<void> | undefined;
  /** The number of the sync that is under way for it; 0 for none. */
  syncNumber: number;
  /** Its position was compared with the server's before. */
  wasChecked: boolean;
  /** Its position at the last comparison, when that was not the server's. */
  differedAt: string | undefined;
}

export class FollowedTopics {
  readonly #options: FollowedTopicsOptions;
  readonly #subscriptions: TopicSubscriptions;
  readonly #topics = new Map<string, FollowedTopic>();
  #isUp = false;
  #syncs = 0;
  readonly #checking = new Rounds(() => this.#topics.values());
  /** Topics that are compared, or synced again, at the next call. */
  #suspects = new Set<FollowedTopic>();
  /** The positions of topics that were left in this second or the one before. */
  #left = new Map<string, Position>();
  #leftBefore = new Map<string, Position>();
  #leftSince = performance.now();

  constructor(options: FollowedTopicsOptions) {
    this.#options = options;
    const { keys, permanentChannels, onPermanentMessage } = options;
    this.#subscriptions = new TopicSubscriptions({
      keys,
      permanentChannels,
      onPermanentMessage,
      onTopicMessage: (topic, message) => this.#receive(topic, message),
      isFollowed: (topic) => this.#topics.has(topic),
      onSubscribed: (names) =>
        this.#startSync(names.flatMap((name) => this.#topics.get(name) ?? [])),
    });
  }

  /** Whether what is published to the topic from now on comes to this node. */
  receives(topic: string): boolean {
    return this.#topics.get(topic)?.hasSynced === true;
  }

  /** Resolves when a topic that is followed is live; undefined when it is. Rejects with EngineUnavailable. */
  ready(topic: string): Promise<void> | undefined {
    const followed = this.#topics.get(topic);
    if (followed === undefined || followed.feed.isLive) return undefined;
    followed.ready ??= Promise.withResolvers<void>();
    return followed.ready.promise;
  }

  /** Resolves when everything up to this position, which the server has, was delivered here. */
  reached(topic: string, position: Position): Promise<void> | undefined {
    const followed = this.#topics.get(topic);
    const reached = followed?.feed.reached(position);
    // The publication is on its way, or was missed.
    if (followed !== undefined && reached !== undefined) this.#suspects.add(followed);
    return reached;
  }

  follow(topic: string): void {
    const feed = new Feed(topic, {
      inOrder: this.#options.inOrder,
      discarded: this.#options.discarded,
      historyReset: () => this.#options.historyReset(topic),
      gap: () => this.#startSync([followed]),
    });
    const followed: FollowedTopic = {
      feed,
      followedAt: this.#options.now(),
      deliveredBefore: this.#left.get(topic) ?? this.#leftBefore.get(topic),
      hasSynced: false,
      ready: undefined,
      syncNumber: 0,
      wasChecked: false,
      differedAt: undefined,
    };
    this.#topics.set(topic, followed);
    this.#subscriptions.follow(topic);
  }

  unfollow(topic: string): void {
    const followed = this.#topics.get(topic);
    if (followed === undefined) return;
    this.#topics.delete(topic);
    this.#suspects.delete(followed);
    const { position } = followed.feed;
    if (position !== undefined && position.offset > 0) this.#left.set(topic, position);
    // A sync that is under way comes to nothing.
    followed.syncNumber = 0;
    followed.feed.releaseWaiters();
    followed.ready?.resolve();
    this.#subscriptions.unfollow(topic);
  }

  /** These topics begin or end to keep a history: they are followed as if they had not been before. Cost: all topics. */
  restart(isConcerned: (topic: string) => boolean): void {
    const concerned = [...this.#topics.values()].filter(({ feed }) => isConcerned(feed.topic));
    for (const followed of concerned) {
      const { feed } = followed;
      feed.pause();
      followed.deliveredBefore = feed.position ?? feed.unorderedAt;
      followed.followedAt = this.#options.now();
      followed.hasSynced = false;
      followed.wasChecked = false;
      followed.differedAt = undefined;
      // A sync that is under way comes to nothing.
      followed.syncNumber = 0;
    }
    this.#startSync(concerned);
  }

  /** Subscribes a new connection to all topics. Rejects when that fails. */
  async setUp(link: RedisLink): Promise<void> {
    for (const { feed } of this.#topics.values()) feed.dropBuffered();
    await this.#subscriptions.setUp(link, [...this.#topics.keys()]);
  }

  /** The connection is set up: all topics are synced. */
  up(): void {
    this.#isUp = true;
    this.#startSync([...this.#topics.values()]);
  }

  /** The connection has broken. */
  down(reason: EngineUnavailable): void {
    this.#subscriptions.down();
    this.#isUp = false;
    for (const followed of this.#topics.values()) {
      followed.feed.pause();
      followed.feed.releaseWaiters();
      this.#syncFailed(followed, reason);
    }
  }

  /** Compares positions with the server's. To be called about once a second. Cost: a part of the topics. */
  checkPositions(): void {
    this.#forgetLeft();
    if (!this.#isUp) return;
    const due = new Set(this.#suspects);
    this.#suspects.clear();
    const count = Math.ceil(this.#topics.size / CHECK_ALL_CALLS);
    for (const followed of this.#checking.next(count)) due.add(followed);
    const topics = [...due].filter((one) => this.#isFollowed(one));
    this.#startSync(topics);
    const live = topics.filter(({ feed }) => feed.isLive);
    for (const some of slices(live, POSITIONS_MAX)) void this.#compare(some);
  }

  #forgetLeft(): void {
    const now = performance.now();
    if (now - this.#leftSince < LEFT_MS) return;
    this.#leftSince = now;
    this.#leftBefore = this.#left;
    this.#left = new Map();
  }

  /** A topic that differs from the server in two comparisons, and has not moved between them, has missed something. */
  async #compare(some: readonly FollowedTopic[]): Promise<void> {
    const queries = some.map(({ feed: { topic, position }, wasChecked }) => {
      const keptEpoch = wasChecked && position?.offset === 0 ? position.epoch : undefined;
      return { topic, keptEpoch };
    });
    for (const one of some) one.wasChecked = true;
    const tops = await this.#options.positions(queries).catch(() => []);
    for (const [i, followed] of some.entries()) {
      const { feed } = followed;
      const top = tops[i];
      const at = feed.position;
      if (top === undefined || at === undefined || !feed.isLive) continue;
      const isSame = top.epoch === at.epoch && top.offset === at.offset;
      const differsAt = isSame ? undefined : `${at.epoch}:${at.offset}`;
      if (differsAt === undefined || differsAt !== followed.differedAt) {
        followed.differedAt = differsAt;
        if (!isSame && this.#isFollowed(followed)) this.#suspects.add(followed);
        continue;
      }
      feed.pause();
      this.#startSync([followed]);
    }
  }

  #receive(topic: string, message: string): void {
    const decoded = decodeMessage(topic, message, this.#options.node);
    // Another program has published it.
    if (decoded === undefined) return;
    this.#options.onCount(decoded.count);
    for (const received of decoded.publications) {
      // Delivering one may end the last connection in the topic.
      const feed = this.#topics.get(topic)?.feed;
      if (feed === undefined) this.#options.discarded(received);
      else feed.apply(received);
    }
  }

  #isFollowed(followed: FollowedTopic): boolean {
    return this.#topics.get(followed.feed.topic) === followed;
  }

  /** Syncs those of these topics that are paused, unless a sync is under way for them. */
  #startSync(topics: readonly FollowedTopic[]): void {
    if (!this.#isUp) return;
    const paused = topics.filter(
      (one) => one.syncNumber === 0 && !one.feed.isLive && this.#isFollowed(one),
    );
    const number = ++this.#syncs;
    for (const one of paused) one.syncNumber = number;
    void this.#sync(paused, number);
  }

  async #sync(all: readonly FollowedTopic[], number: number): Promise<void> {
    for (const some of slices(all, POSITIONS_MAX)) {
      const topics = some.filter((one) => one.syncNumber === number);
      for (const { feed } of topics) feed.positionRequested();
      const queries = topics.map(({ feed, followedAt, hasSynced }) => {
        return { topic: feed.topic, since: hasSynced ? undefined : followedAt };
      });
      const positions = await this.#options.positions(queries).catch((error: unknown) => {
        for (const one of topics) if (one.syncNumber === number) this.#syncFailed(one, error);
      });
      const queue = topics.entries();
      const turn = async () => {
        for (const [i, one] of queue) {
          await this.#syncTopic(one, positions?.[i], number).catch((error: unknown) => {
            if (one.syncNumber === number) this.#syncFailed(one, error);
          });
        }
      };
      await Promise.all(Array.from({ length: GAPS_MAX }, turn));
    }
  }

  /** The next call of `checkPositions` tries again, or the next connection. */
  #syncFailed(followed: FollowedTopic, reason: unknown): void {
    followed.syncNumber = 0;
    followed.ready?.reject(
      reason instanceof EngineUnavailable ? reason : new EngineUnavailable(`${reason}`),
    );
    followed.ready = undefined;
    if (this.#isUp) this.#suspects.add(followed);
  }

  async #syncTopic(
    followed: FollowedTopic,
    top: PositionAnswer | undefined,
    number: number,
  ): Promise<void> {
    const { feed } = followed;
    const isCancelled = () => followed.syncNumber !== number;
    if (isCancelled()) return;
    if (!followed.hasSynced) {
      // What was delivered here a moment ago, before the topic was left, is not delivered again.
      feed.position = followed.deliveredBefore;
      feed.seek(top && { epoch: top.epoch, offset: top.offsetAtSince }, top);
    }
    const beyond = await feed.closeGap(top, this.#options.read, isCancelled);
    if (isCancelled()) return;
    if (beyond !== undefined && followed.hasSynced) {
      feed.reset(beyond);
      // Connections that are told of the reset must have gone before anything else is delivered.
      await new Promise(setImmediate);
      if (isCancelled()) return;
    } else if (beyond !== undefined) feed.seek(beyond);
    followed.hasSynced = true;
    followed.syncNumber = 0;
    followed.differedAt = undefined;
    feed.resume(beyond ?? top);
    if (!feed.isLive) return;
    followed.ready?.resolve();
    followed.ready = undefined;
  }
}
