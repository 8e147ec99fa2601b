// The topics of one Redis server that this node follows: each is brought to where the server is before it delivers, brought back
// after a lost connection, and compared with the server now and then, since a subscription cannot tell what it has missed.
import {
  EngineUnavailable,
  type HistoryPage,
  type HistoryRange,
} from "../../../relay/contracts/engine";
import type { Position } from "../../../relay/contracts/publication";
import type { RedisLink } from "../server/link";
import { arrivalOf } from "../server/wire";
import { type Arrival, Feed } from "./feed";
import { closeGap } from "./gap";
import { slices, TopicSubscriptions, type TopicSubscriptionsOptions } from "./subscriptions";

/** Topics in one look at their positions, and topics whose gaps are closed at once. */
const POSITIONS_MAX = 250;
const GAPS_MAX = 4;

/** Each topic is compared with the server about once in so many sweeps. */
const CHECK_SWEEPS = 20;

/** What is asked of the server about one topic. */
export interface Asked {
  readonly topic: string;
  /** A moment in microseconds of the server's clock. */
  readonly since?: number | undefined;
  /** The epoch of a topic without a publication, to be kept: it has been followed for a while. */
  readonly blank?: string | undefined;
}

/** Where a topic is, and at which offset it was at the moment that was asked for. */
export interface Place extends Position {
  readonly before: number;
}

export interface FollowedTopicsOptions extends Pick<TopicSubscriptionsOptions, "keys" | "wave"> {
  /** Channels that are always heard, and what comes over them. */
  readonly inboxes: readonly string[];
  readonly heard: (message: string) => void;
  /** The server's clock, in microseconds; undefined when it is not known yet. */
  readonly now: () => number | undefined;
  /** Where topics are, in their order; undefined for those without history. Rejects with EngineUnavailable, as `read` does. */
  readonly places: (asked: readonly Asked[]) => Promise<readonly (Place | undefined)[]>;
  readonly read: (topic: string, range: HistoryRange) => Promise<HistoryPage>;
  readonly deliver: (arrival: Arrival) => void;
  readonly passedOver: (arrival: Arrival) => void;
  readonly lost: (topic: string) => void;
  /** A publication was heard of, the so-manieth of the server. */
  readonly counted: (count: number) => void;
}

interface Followed {
  readonly feed: Feed;
  /** When it was followed: all since then is delivered, but for what was delivered here before. */
  readonly since: number | undefined;
  readonly had: Position | undefined;
  /** It was brought to where the server is at least once. */
  hasBegun: boolean;
  /** Set when somebody waits for the moment when it delivers what comes. */
  ready: PromiseWithResolvers<void> | undefined;
  /** The attempt to bring it to where the server is, if one is under way; 0 for none. */
  attempt: number;
  /** It was looked at before; and where it was then, if that was not where the server was. */
  wasSeen: boolean;
  suspect: string | undefined;
}

export class FollowedTopics {
  readonly #options: FollowedTopicsOptions;
  readonly #channels: TopicSubscriptions;
  readonly #followed = new Map<string, Followed>();
  #isUp = false;
  #attempts = 0;
  #checking = this.#followed.values();
  #suspects = new Set<Followed>();
  /** Topics that were left of late, and up to where they were delivered. */
  #left = new Map<string, Position>();
  #leftEarlier = new Map<string, Position>();

  constructor(options: FollowedTopicsOptions) {
    this.#options = options;
    this.#channels = new TopicSubscriptions({
      keys: options.keys,
      wave: options.wave,
      always: options.inboxes,
      onAlways: options.heard,
      onTopic: (topic, message) => this.#arrived(topic, message),
      isFollowed: (topic) => this.#followed.has(topic),
      heard: (topics) => this.#attach(topics.flatMap((topic) => this.#followed.get(topic) ?? [])),
    });
  }

  has(topic: string): boolean {
    return this.#followed.has(topic);
  }

  /** When a topic that is followed delivers what comes; undefined when it does. Rejects with EngineUnavailable. */
  ready(topic: string): Promise<void> | undefined {
    const followed = this.#followed.get(topic);
    if (followed === undefined || followed.feed.isLive) return undefined;
    followed.ready ??= Promise.withResolvers<void>();
    return followed.ready.promise;
  }

  /** Resolves when all up to this position, which the server has, was delivered here. */
  reached(topic: string, position: Position): Promise<void> | undefined {
    const followed = this.#followed.get(topic);
    const reached = followed?.feed.reached(position);
    // It is on its way, or was missed.
    if (followed !== undefined && reached !== undefined) this.#suspects.add(followed);
    return reached;
  }

  follow(topic: string): void {
    const feed = new Feed(topic, {
      deliver: this.#options.deliver,
      passedOver: this.#options.passedOver,
      lost: () => this.#options.lost(topic),
      behind: () => this.#attach([followed]),
    });
    const followed: Followed = {
      feed,
      since: this.#options.now(),
      had: this.#left.get(topic) ?? this.#leftEarlier.get(topic),
      hasBegun: false,
      ready: undefined,
      attempt: 0,
      wasSeen: false,
      suspect: undefined,
    };
    this.#followed.set(topic, followed);
    this.#channels.follow(topic);
  }

  unfollow(topic: string): void {
    const followed = this.#followed.get(topic);
    if (followed === undefined) return;
    this.#followed.delete(topic);
    this.#suspects.delete(followed);
    const { position } = followed.feed;
    if (position !== undefined && position.offset > 0) this.#left.set(topic, position);
    // What is under way for it comes to nothing.
    followed.attempt = 0;
    followed.feed.end();
    followed.ready?.resolve();
    this.#channels.leave(topic);
  }

  /** A new connection: all topics are heard again. Rejects when that fails. */
  async setUp(link: RedisLink): Promise<void> {
    for (const { feed } of this.#followed.values()) feed.dropHeld();
    await this.#channels.setUp(link, [...this.#followed.keys()]);
  }

  /** The connection is set up: brings all topics to where the server is. */
  up(): void {
    this.#isUp = true;
    this.#attach([...this.#followed.values()]);
  }

  /** The connection has broken. */
  down(why: EngineUnavailable): void {
    this.#channels.down();
    this.#isUp = false;
    for (const followed of this.#followed.values()) {
      followed.feed.hold();
      followed.feed.end();
      this.#fail(followed, why);
    }
  }

  /** To be called about once a second: looks whether topics are where the server is. Cost: a part of the topics. */
  sweep(): void {
    this.#leftEarlier = this.#left;
    this.#left = new Map();
    if (!this.#isUp) return;
    const due = new Set(this.#suspects);
    this.#suspects.clear();
    for (let left = Math.ceil(this.#followed.size / CHECK_SWEEPS); left > 0; left--) {
      const { done, value } = this.#checking.next();
      if (done === true) {
        this.#checking = this.#followed.values();
        break;
      }
      due.add(value);
    }
    const those = [...due].filter((one) => this.#isFollowed(one));
    this.#attach(those);
    const live = those.filter(({ feed }) => feed.isLive);
    for (const some of slices(live, POSITIONS_MAX)) void this.#check(some);
  }

  /** Those that were not where the server was at two looks, and have not moved between them, have missed something. */
  async #check(some: readonly Followed[]): Promise<void> {
    const asked = some.map(({ feed: { topic, position }, wasSeen }) => {
      return { topic, blank: wasSeen && position?.offset === 0 ? position.epoch : undefined };
    });
    for (const one of some) one.wasSeen = true;
    const tops = await this.#options.places(asked).catch(() => []);
    for (const [i, followed] of some.entries()) {
      const { feed } = followed;
      const top = tops[i];
      const at = feed.position;
      if (top === undefined || at === undefined || !feed.isLive) continue;
      const isThere = top.epoch === at.epoch && top.offset === at.offset;
      const place = isThere ? undefined : `${at.epoch}:${at.offset}`;
      if (place === undefined || place !== followed.suspect) {
        followed.suspect = place;
        if (!isThere && this.#isFollowed(followed)) this.#suspects.add(followed);
        continue;
      }
      feed.hold();
      this.#attach([followed]);
    }
  }

  #arrived(topic: string, message: string): void {
    const heard = arrivalOf(topic, message);
    // Somebody else's.
    if (heard === undefined) return;
    const { count, ...arrival } = heard;
    this.#options.counted(count);
    const feed = this.#followed.get(topic)?.feed;
    if (feed === undefined) this.#options.passedOver(arrival);
    else feed.arrived(arrival);
  }

  #isFollowed(followed: Followed): boolean {
    return this.#followed.get(followed.feed.topic) === followed;
  }

  /** Brings topics that hold what comes to where the server is, and lets them go on. */
  #attach(all: readonly Followed[]): void {
    if (!this.#isUp) return;
    const those = all.filter(
      (one) => one.attempt === 0 && !one.feed.isLive && this.#isFollowed(one),
    );
    const attempt = ++this.#attempts;
    for (const one of those) one.attempt = attempt;
    void this.#bring(those, attempt);
  }

  async #bring(all: readonly Followed[], attempt: number): Promise<void> {
    for (const some of slices(all, POSITIONS_MAX)) {
      const those = some.filter((one) => one.attempt === attempt);
      for (const { feed } of those) feed.asked();
      const asked = those.map(({ feed, since, hasBegun }) => {
        return { topic: feed.topic, since: hasBegun ? undefined : since };
      });
      const places = await this.#options.places(asked).catch((error: unknown) => {
        for (const one of those) if (one.attempt === attempt) this.#fail(one, error);
      });
      const queue = those.entries();
      const turn = async () => {
        for (const [i, one] of queue) {
          await this.#catchUp(one, places?.[i], attempt).catch((error: unknown) => {
            if (one.attempt === attempt) this.#fail(one, error);
          });
        }
      };
      await Promise.all(Array.from({ length: GAPS_MAX }, turn));
    }
  }

  /** It is not where the server is, and not brought there; the next sweep tries again, or the next connection. */
  #fail(followed: Followed, why: unknown): void {
    followed.attempt = 0;
    followed.ready?.reject(
      why instanceof EngineUnavailable ? why : new EngineUnavailable(`${why}`),
    );
    followed.ready = undefined;
    if (this.#isUp) this.#suspects.add(followed);
  }

  async #catchUp(followed: Followed, place: Place | undefined, attempt: number): Promise<void> {
    const { feed } = followed;
    const isOurs = () => followed.attempt === attempt;
    if (!isOurs()) return;
    if (!followed.hasBegun) {
      // What the node was given of it a moment ago, for others, it is not given again.
      feed.position = followed.had;
      feed.begin(place && { epoch: place.epoch, offset: place.before }, place);
    }
    const beyond = await closeGap(feed, place, this.#options.read, () => !isOurs());
    if (!isOurs()) return;
    if (beyond !== undefined && followed.hasBegun) {
      feed.restart(beyond);
      // Those who are told so must have gone before anything else is delivered.
      await new Promise<void>((done) => setImmediate(done));
      if (!isOurs()) return;
    } else if (beyond !== undefined) feed.begin(beyond);
    followed.hasBegun = true;
    followed.attempt = 0;
    followed.suspect = undefined;
    feed.goOn(beyond ?? place);
    if (!feed.isLive) return;
    followed.ready?.resolve();
    followed.ready = undefined;
  }
}
