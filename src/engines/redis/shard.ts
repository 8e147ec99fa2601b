// One Redis server: publishes, reads, and follows topics there. Calls and subscriptions go over different connections, so
// nothing is relied on that only one of them has said.

import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import { keyConflict, type Refusal, tooManyKeys } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { fingerprint, nameOf } from "../idempotency-key";
import type { EngineOptions } from "../options";
import { DeliveryCounts } from "./following/delivery-counts";
import type { Arrival } from "./following/feed";
import {
  type Asked,
  FollowedTopics,
  type FollowedTopicsOptions,
  type Place,
} from "./following/followed-topics";
import { ServerClock } from "./server/clock";
import { runOf } from "./server/diagnosis";
import { RedisLink } from "./server/link";
import { REGISTRATIONS } from "./server/registration-scripts";
import { TOPICS } from "./server/topic-scripts";
import { bodyOf, publicationOf } from "./server/wire";

/** Errors that mean: it is full, cannot write its file, or has too few replicas for a write. */
const REFUSES = /[ -](OOM|MISCONF|NOREPLICAS) /;

interface ShardOptions
  extends EngineOptions,
    Pick<FollowedTopicsOptions, "keys" | "wave" | "inboxes" | "heard"> {
  readonly url: string;
  readonly deliver: (publication: Publication) => number;
  readonly lost: (topic: string) => void;
  /** It can be used, for the first time or again. */
  readonly onUp: () => void;
}

interface Key {
  readonly name: string;
  readonly print: string;
}

type PublishAnswer = ["" | "again" | "conflict" | "full", string, string, number];

export class Shard {
  readonly link: RedisLink;
  readonly clock: ServerClock;
  readonly #options: ShardOptions;
  readonly #feeds: FollowedTopics;
  readonly #counts = new DeliveryCounts();
  /** Publishes with a key that are under way: the same at once get the same answer. */
  readonly #keyed = new Map<string, { print: string; answer: Promise<Published | Refusal> }>();
  #called = 0;
  /** The server's run, and the most publications that it was heard to have. */
  #run = "";
  #count = 0;
  /** It was reached, and refused to take a publication. */
  #refuses = false;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.clock = new ServerClock(options.now);
    this.link = new RedisLink({
      url: options.url,
      setUp: (link) => this.#setUp(link),
      onUp: () => {
        this.#feeds.up();
        options.onUp();
      },
      onDown: () => {
        this.#refuses = false;
        this.#feeds.down(this.link.unavailable);
        this.#counts.end();
      },
      report: options.warn,
    });
    this.#feeds = new FollowedTopics({
      ...options,
      now: () => this.clock.earliest,
      places: (asked) => this.#places(asked),
      read: (topic, range) => this.#read(topic, range),
      deliver: ({ publication, call }: Arrival) =>
        this.#counts.found(call, options.deliver(publication)),
      passedOver: ({ call }: Arrival) => this.#counts.found(call, 0),
      counted: (count) => {
        this.#count = Math.max(this.#count, count);
      },
    });
  }

  /** Whether it can be reached and takes publications. */
  get healthy(): boolean {
    return this.link.isUp && !this.#refuses;
  }

  follow(topic: string): void {
    this.#feeds.follow(topic);
  }

  unfollow(topic: string): void {
    this.#feeds.unfollow(topic);
  }

  /** As Engine.publish. */
  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    if (!this.link.isUp) return Promise.reject(this.link.unavailable);
    if (key === undefined) return this.#publish(publication);
    const name = nameOf(publication, key);
    const print = String(fingerprint(publication));
    const same = this.#keyed.get(name);
    if (same !== undefined) {
      return same.print === print ? same.answer : Promise.resolve(keyConflict());
    }
    const answer = this.#publish(publication, { name, print });
    this.#keyed.set(name, { print, answer });
    const done = () => this.#keyed.delete(name);
    answer.then(done, done);
    return answer;
  }

  /** As Engine.history. */
  async history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    if (!this.link.isUp) throw this.link.unavailable;
    await this.#feeds.ready(topic);
    const page = await this.#read(topic, range);
    // What is on its way here must have come before the answer.
    if (page.top !== undefined) await this.#feeds.reached(topic, page.top);
    if (!this.link.isUp) throw this.link.unavailable;
    return page;
  }

  async forget(topic: string): Promise<undefined> {
    await this.link.call("DEL", [this.#options.keys.log(topic)]);
  }

  /** To be called about once a second. */
  sweep(): void {
    this.#counts.sweep();
    if (!this.link.isUp) return;
    this.#feeds.sweep();
    void this.clock.sweep(this.link);
    if (this.#refuses) this.#tryAgain();
  }

  async #publish(publication: Publication, key?: Key): Promise<Published | Refusal> {
    const { topic } = publication;
    // Who is in the topic here must get it.
    const ready = this.#feeds.ready(topic);
    if (ready !== undefined) await ready;
    const { node, idempotencyMax } = this.#options;
    const call = `${node}.${++this.#called}`;
    if (this.#feeds.has(topic)) this.#counts.expect(call);
    let answer: PublishAnswer;
    try {
      answer = await this.#send(publication, call, key);
    } catch (error) {
      this.#counts.forget(call);
      this.#refuses = this.link.isUp && REFUSES.test(String(error));
      throw error;
    }
    const [what, offset, epoch, count] = answer;
    if (what !== "") this.#counts.forget(call);
    if (what === "conflict") return keyConflict();
    if (what === "full") return tooManyKeys(idempotencyMax);
    if (what === "") this.#count = Math.max(this.#count, count);
    const delivered = what === "" ? await this.#counts.of(call) : 0;
    if (offset === "") return { delivered, scope: "node" };
    return { delivered, scope: "node", offset: Number(offset), epoch };
  }

  #send(publication: Publication, call: string, key: Key | undefined): Promise<PublishAnswer> {
    const { topic } = publication;
    const { keys, newEpoch, idempotencyMs, idempotencyMax } = this.#options;
    const { size, ttlMs } = this.#kept(topic);
    const all = [keys.meta(topic), keys.log(topic), keys.life, keys.count, keys.blank];
    const args = [
      String(this.clock.micros),
      keys.channel(topic),
      call,
      bodyOf(publication),
      String(size),
      String(ttlMs),
      newEpoch(),
      keys.mark(topic),
    ];
    if (key !== undefined) {
      all.push(keys.answers, keys.answer(key.name));
      args.push(key.name, key.print, String(idempotencyMs), String(idempotencyMax));
    }
    return this.link.run<PublishAnswer>(TOPICS.PUBLISH, all, args);
  }

  #tryAgain(): void {
    this.link.run<number>(TOPICS.TRY, [this.#options.keys.count], []).then(
      () => {
        this.#refuses = false;
      },
      () => {},
    );
  }

  async #read(topic: string, { since, limit, reverse }: HistoryRange): Promise<HistoryPage> {
    const { size, ttlMs } = this.#kept(topic);
    if (size === 0) return { top: undefined, publications: [] };
    const { keys, newEpoch } = this.#options;
    const [epoch, top, items] = await this.link.run<[string, string, string[]]>(
      TOPICS.READ,
      [keys.meta(topic), keys.log(topic), keys.life, keys.blank],
      [
        String(this.clock.micros),
        String(size),
        String(ttlMs),
        newEpoch(),
        keys.mark(topic),
        since === undefined ? "" : String(since),
        String(limit),
        reverse === true ? "1" : "",
      ],
    );
    const publications: Publication[] = [];
    for (let i = 0; i < items.length; i += 2) {
      publications.push(publicationOf(topic, items[i] as string, epoch, items[i + 1] as string));
    }
    return { top: { epoch, offset: Number(top) }, publications };
  }

  async #places(asked: readonly Asked[]): Promise<(Place | undefined)[]> {
    const { keys, newEpoch } = this.#options;
    const kept = asked.filter(({ topic }) => this.#kept(topic).size > 0);
    const found = new Map<string, Place>();
    if (kept.length > 0) {
      const places = await this.link.run<string[]>(
        TOPICS.POSITIONS,
        [
          keys.life,
          keys.blank,
          ...kept.flatMap(({ topic }) => [keys.meta(topic), keys.log(topic)]),
        ],
        [
          newEpoch(),
          String(this.clock.micros),
          ...kept.flatMap(({ topic, since, blank = "" }) => [
            keys.mark(topic),
            String(this.#kept(topic).ttlMs),
            since === undefined ? "" : String(since),
            blank,
          ]),
        ],
      );
      for (const [i, { topic }] of kept.entries()) {
        const [epoch = "", offset, before] = places.slice(3 * i, 3 * i + 3);
        found.set(topic, { epoch, offset: Number(offset), before: Number(before) });
      }
    }
    return asked.map(({ topic }) => found.get(topic));
  }

  /** What its rule says; a size of 0 for no history. */
  #kept(topic: string): { size: number; ttlMs: number } {
    const { historySize, historyTtlMs, keepsHistory } = this.#options.rules.of(topic);
    return { size: keepsHistory ? historySize : 0, ttlMs: historyTtlMs };
  }

  /** Both connections are there, and nothing else was asked of them yet. */
  async #setUp(link: RedisLink): Promise<void> {
    const { keys, newEpoch } = this.#options;
    const run = runOf(await link.call<string>("INFO", ["server"]));
    const all = Object.values({ ...TOPICS, ...REGISTRATIONS });
    await Promise.all(all.map(({ text }) => link.call("EVAL", [text, "0"])));
    await this.clock.read(link);
    const [lost, count] = await link.run<[number, number]>(
      TOPICS.JOIN,
      [keys.run, keys.count, keys.life, keys.blank, keys.terms],
      [
        run,
        this.#run === "" ? "" : String(this.#count),
        this.#run === run ? "1" : "",
        newEpoch(),
        // Claims are fewer than microseconds.
        String(this.clock.micros),
      ],
    );
    if (lost === 1) {
      this.#options.warn(`Redis at ${link.address} has lost data: histories begin anew`);
    }
    this.#run = run;
    this.#count = count;
    await this.#feeds.setUp(link);
  }
}
