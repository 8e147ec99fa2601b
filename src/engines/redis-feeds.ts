// The topics of one Redis server that this node follows: subscribed in batches, brought back after a lost connection, and
// compared with the server now and then, since a subscription cannot tell that it has missed something.
import type { Page, Range } from "../relay/engine";
import { isWhole } from "../relay/entrance";
import type { Position } from "../relay/publication";
import { type Arrival, Feed } from "./redis-feed";
import type { Keys } from "./redis-keys";
import type { RedisLink } from "./redis-link";
import { arrivalOf } from "./redis-wire";

/** Channels in one SUBSCRIBE, topics in one look at their positions, publications in one read of what is missing. */
const SUBSCRIBE_MAX = 1_000;
const POSITIONS_MAX = 250;
const PAGE = 256;

/** Each topic is compared with the server about once in so many sweeps. */
const CHECK_SWEEPS = 20;

export interface FeedsOptions {
  readonly keys: Keys;
  /** Where topics are; undefined for those that keep no history. In their order. */
  readonly positions: (topics: readonly string[]) => Promise<readonly (Position | undefined)[]>;
  readonly read: (topic: string, range: Range) => Promise<Page>;
  readonly deliver: (arrival: Arrival) => void;
  readonly lost: (topic: string) => void;
  /** A publication was heard of, the so-manieth of the server. */
  readonly counted: (count: number) => void;
  /** Channels that are always heard, and what comes over them. */
  readonly inboxes: () => readonly string[];
  readonly heard: (message: string) => void;
}

interface Followed {
  readonly feed: Feed;
  /** Set when somebody waits for the moment when it delivers what comes. */
  ready: PromiseWithResolvers<void> | undefined;
  /** Its position is being asked for, or what it misses. */
  busy: boolean;
  /** Where it was behind the server at the last look. */
  suspect: string | undefined;
}

export class Feeds {
  readonly #options: FeedsOptions;
  readonly #followed = new Map<string, Followed>();
  /** Topics whose channels the server knows of us. */
  #subscribed = new Set<string>();
  /** Topics that were followed or left in this turn. */
  #changed = new Set<string>();
  #link: RedisLink | undefined;
  #checking = this.#followed.values();
  #suspects = new Set<Followed>();

  constructor(options: FeedsOptions) {
    this.#options = options;
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
      lost: () => this.#options.lost(topic),
      behind: () => void this.#attach([followed]),
    });
    const followed: Followed = { feed, ready: undefined, busy: false, suspect: undefined };
    this.#followed.set(topic, followed);
    this.#change(topic);
  }

  unfollow(topic: string): void {
    const followed = this.#followed.get(topic);
    followed?.feed.end();
    followed?.ready?.resolve();
    this.#followed.delete(topic);
    this.#change(topic);
  }

  /** A new connection: subscribes to all, and brings all to where the server is. Rejects when that fails. */
  async setUp(link: RedisLink): Promise<void> {
    this.#subscribed = new Set();
    this.#changed = new Set();
    const { inboxes, keys } = this.#options;
    for (const inbox of inboxes()) {
      await link.subscriptions.subscribe(inbox, (message) => this.#options.heard(message));
    }
    const all = [...this.#followed.values()];
    for (const { feed } of all) feed.dropHeld();
    const topics = all.map(({ feed }) => feed.topic);
    for (const some of slices(topics, SUBSCRIBE_MAX)) {
      await link.subscriptions.subscribe(
        some.map((topic) => keys.channel(topic)),
        this.#onMessage,
      );
      for (const topic of some) this.#subscribed.add(topic);
    }
    this.#link = link;
    await this.#attach(all);
    this.#flush();
  }

  /** The connection has broken. */
  down(link: RedisLink): void {
    this.#link = undefined;
    for (const followed of this.#followed.values()) {
      followed.feed.hold();
      followed.feed.end();
      followed.ready?.reject(link.unavailable);
      followed.ready = undefined;
    }
  }

  /** To be called about once a second: looks whether topics are where the server is. Cost: a part of the topics. */
  async sweep(): Promise<void> {
    if (this.#link === undefined) return;
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
    const those = [...due].filter((one) => !one.busy && this.#isFollowed(one));
    await this.#attach(those.filter(({ feed }) => !feed.isLive));
    for (const some of slices(those, POSITIONS_MAX)) await this.#check(some);
  }

  /** Those that were behind at two looks, and have not moved between them, have missed something. */
  async #check(some: readonly Followed[]): Promise<void> {
    const tops = await this.#options.positions(some.map(({ feed }) => feed.topic)).catch(() => []);
    for (const [i, followed] of some.entries()) {
      const { feed } = followed;
      const top = tops[i];
      const at = feed.position;
      if (top === undefined || at === undefined || !feed.isLive) continue;
      const isBehind = top.epoch !== at.epoch || top.offset > at.offset;
      const place = isBehind ? `${at.epoch}:${at.offset}` : undefined;
      if (place === undefined || place !== followed.suspect) {
        followed.suspect = place;
        if (isBehind) this.#suspects.add(followed);
        continue;
      }
      feed.hold();
      void this.#attach([followed]);
    }
  }

  readonly #onMessage = (message: string, channel: string): void => {
    const topic = this.#options.keys.topicOf(channel);
    const arrival = arrivalOf(topic, message);
    this.#options.counted(arrival.count);
    this.#followed.get(topic)?.feed.arrived(arrival);
  };

  #isFollowed(followed: Followed): boolean {
    return this.#followed.get(followed.feed.topic) === followed;
  }

  #change(topic: string): void {
    this.#changed.add(topic);
    if (this.#changed.size === 1) setImmediate(() => this.#flush());
  }

  /** Subscribes to what is followed since the last turn, and leaves what is not any more. */
  #flush(): void {
    const link = this.#link;
    const changed = [...this.#changed];
    this.#changed = new Set();
    if (link === undefined) return;
    const { keys } = this.#options;
    const left = changed.filter(
      (topic) => this.#subscribed.has(topic) && !this.#followed.has(topic),
    );
    const joined = changed.filter(
      (topic) => !this.#subscribed.has(topic) && this.#followed.has(topic),
    );
    // A failure breaks the connection, and all begins anew.
    const ignore = () => {};
    if (left.length > 0) {
      for (const topic of left) this.#subscribed.delete(topic);
      link.subscriptions.unsubscribe(left.map((topic) => keys.channel(topic))).catch(ignore);
    }
    for (const topic of joined) this.#subscribed.add(topic);
    const all = slices(joined, SUBSCRIBE_MAX).map((some) =>
      link.subscriptions.subscribe(
        some.map((topic) => keys.channel(topic)),
        this.#onMessage,
      ),
    );
    const followed = changed.flatMap((topic) => this.#followed.get(topic) ?? []);
    Promise.all(all).then(() => this.#attach(followed), ignore);
  }

  /** Brings topics that hold what comes to where the server is, and lets them go on. */
  async #attach(all: readonly Followed[]): Promise<void> {
    const those = all.filter((one) => !one.busy && !one.feed.isLive && this.#isFollowed(one));
    for (const one of those) one.busy = true;
    for (const some of slices(those, POSITIONS_MAX)) {
      try {
        const tops = await this.#options.positions(some.map(({ feed }) => feed.topic));
        await Promise.all(some.map((one, i) => this.#catchUp(one, tops[i])));
      } catch {
        // Out of reach: the connection breaks or has broken, or the next sweep tries again.
        for (const one of some) this.#suspects.add(one);
      } finally {
        for (const one of some) one.busy = false;
      }
    }
  }

  async #catchUp(followed: Followed, top: Position | undefined): Promise<void> {
    const { feed } = followed;
    if (feed.position === undefined) feed.begin(top);
    else if (!(await this.#fill(feed, top))) {
      // Those who are told so must have gone before anything else is delivered.
      await new Promise<void>((done) => setImmediate(done));
    }
    if (this.#link === undefined || !this.#isFollowed(followed)) return;
    followed.suspect = undefined;
    followed.busy = false;
    feed.goOn();
    if (!feed.isLive) return;
    followed.ready?.resolve();
    followed.ready = undefined;
  }

  /** Delivers what is missing up to `top`; false when it cannot, and the feed has begun anew. */
  async #fill(feed: Feed, top: Position | undefined): Promise<boolean> {
    const { position: begin } = feed;
    let beyond = top;
    if (begin !== undefined && top?.epoch === begin.epoch && top.offset >= begin.offset) {
      for (;;) {
        const at = feed.position ?? begin;
        if (at.offset >= top.offset) return true;
        const page = await this.#options.read(feed.topic, { since: at.offset, limit: PAGE });
        beyond = page.top;
        if (!isWhole(page, at)) break;
        feed.give(page.publications);
      }
    }
    feed.restart(beyond);
    return false;
  }
}

function slices<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}
