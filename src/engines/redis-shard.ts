// One Redis server: publishes, reads, and follows topics there. Calls and subscriptions go over different connections, so
// nothing is relied on that only one of them has said.
import type { Page, Range } from "../relay/engine";
import type { Refusal } from "../relay/errors";
import type { Position, Publication, Published } from "../relay/publication";
import { fingerprint, keyConflict, nameOf, tooManyKeys } from "./answers";
import type { EngineOptions } from "./options";
import type { Arrival } from "./redis-feed";
import { Feeds } from "./redis-feeds";
import type { Keys } from "./redis-keys";
import { RedisLink } from "./redis-link";
import { REGISTRATIONS } from "./redis-registration-scripts";
import { ServerClock } from "./redis-server-clock";
import { TOPICS } from "./redis-topic-scripts";
import { bodyOf, publicationOf } from "./redis-wire";

/** How long a topic's position is remembered after its last publication, or after somebody was last in it, at least. */
const META_MS = 86_400_000;

/** How long what was published here may take to come over the subscription, to be counted. */
const COUNT_MS = 1_000;

export interface ShardOptions extends EngineOptions {
  readonly url: string;
  readonly keys: Keys;
  /** Channels that are always heard, and what comes over them. */
  readonly inboxes: () => readonly string[];
  readonly heard: (message: string) => void;
  readonly deliver: (publication: Publication) => number;
  readonly lost: (topic: string) => void;
  /** It can be used, for the first time or again. */
  readonly onUp: () => void;
}

/** Somebody waits to hear to how many connections a publication went here. */
interface Counting {
  readonly done: (delivered: number) => void;
  readonly until: number;
}

type PublishAnswer = ["" | "again" | "conflict" | "full", string, string, number];

export class Shard {
  readonly link: RedisLink;
  /** In ms of the server's clock. */
  readonly clock: ServerClock;
  readonly #options: ShardOptions;
  readonly #feeds: Feeds;
  readonly #countings = new Map<string, Counting>();
  /** Publishes with a key that are under way: the same at once get the same answer. */
  readonly #keyed = new Map<string, { print: string; answer: Promise<Published | Refusal> }>();
  #called = 0;
  /** The server's run, and the most publications that it was heard to have. */
  #run = "";
  #count = 0;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.clock = new ServerClock(options.now);
    this.link = new RedisLink({
      url: options.url,
      setUp: (link) => this.#setUp(link),
      onUp: options.onUp,
      onDown: () => this.#down(),
      report: options.warn,
    });
    this.#feeds = new Feeds({
      keys: options.keys,
      positions: (topics) => this.#positions(topics),
      read: (topic, range) => this.#read(topic, range),
      deliver: (arrival) => this.#deliver(arrival),
      lost: options.lost,
      counted: (count) => {
        this.#count = Math.max(this.#count, count);
      },
      inboxes: options.inboxes,
      heard: options.heard,
    });
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
  async history(topic: string, range: Range): Promise<Page> {
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
    this.link.sweep();
    if (!this.link.isUp) return;
    const now = performance.now();
    for (const [call, { done, until }] of this.#countings) {
      if (until > now) break;
      this.#countings.delete(call);
      done(0);
    }
    void this.#feeds.sweep();
    void this.clock.sweep(this.link);
  }

  async #publish(
    publication: Publication,
    key?: { name: string; print: string },
  ): Promise<Published | Refusal> {
    const { topic } = publication;
    const { keys, node, newEpoch, idempotencyMs, idempotencyMax } = this.#options;
    // Who is in the topic here must get it.
    const ready = this.#feeds.ready(topic);
    if (ready !== undefined) await ready;
    const { size, ttlMs } = this.#kept(topic);
    const call = `${node}.${++this.#called}`;
    const counted = this.#feeds.has(topic) ? this.#counted(call) : 0;
    const all = [keys.meta(topic), keys.log(topic), keys.life, keys.count];
    const args = [
      String(this.clock.ms),
      keys.channel(topic),
      call,
      bodyOf(publication),
      String(size),
      String(ttlMs),
      newEpoch(),
      String(META_MS + ttlMs),
    ];
    if (key !== undefined) {
      all.push(keys.answers, keys.answer(key.name));
      args.push(key.name, key.print, String(idempotencyMs), String(idempotencyMax));
    }
    const [what, offset, epoch, count] = await this.link.run<PublishAnswer>(
      TOPICS.PUBLISH,
      all,
      args,
    );
    if (what === "conflict") return keyConflict();
    if (what === "full") return tooManyKeys(idempotencyMax);
    if (count !== undefined) this.#count = Math.max(this.#count, count);
    if (what === "again") this.#countings.delete(call);
    const delivered = what === "again" ? 0 : await counted;
    if (offset === "") return { delivered, scope: "node" };
    return { delivered, scope: "node", offset: Number(offset), epoch };
  }

  /** To how many connections here a publication went, as soon as it has come back. */
  #counted(call: string): Promise<number> {
    return new Promise((done) => {
      this.#countings.set(call, { done, until: performance.now() + COUNT_MS });
    });
  }

  #deliver({ publication, call }: Arrival): void {
    const delivered = this.#options.deliver(publication);
    const counting = this.#countings.get(call);
    if (counting === undefined) return;
    this.#countings.delete(call);
    counting.done(delivered);
  }

  async #read(topic: string, { since, limit, reverse }: Range): Promise<Page> {
    const { size, ttlMs } = this.#kept(topic);
    if (size === 0) return { top: undefined, publications: [] };
    const { keys, newEpoch } = this.#options;
    const [epoch, top, items] = await this.link.run<[string, string, string[]]>(
      TOPICS.READ,
      [keys.meta(topic), keys.log(topic), keys.life],
      [
        String(this.clock.ms),
        String(size),
        String(ttlMs),
        newEpoch(),
        String(META_MS + ttlMs),
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

  async #positions(topics: readonly string[]): Promise<(Position | undefined)[]> {
    const { keys, newEpoch } = this.#options;
    const kept = topics.filter((topic) => this.#kept(topic).size > 0);
    if (kept.length === 0) return topics.map(() => undefined);
    const places = await this.link.run<string[]>(
      TOPICS.POSITIONS,
      [keys.life, ...kept.flatMap((topic) => [keys.meta(topic), keys.log(topic)])],
      [newEpoch(), ...kept.map((topic) => String(META_MS + this.#kept(topic).ttlMs))],
    );
    const found = new Map<string, Position>();
    for (const [i, topic] of kept.entries()) {
      found.set(topic, { epoch: places[2 * i] as string, offset: Number(places[2 * i + 1]) });
    }
    return topics.map((topic) => found.get(topic));
  }

  /** What its rule says; a size of 0 for no history. */
  #kept(topic: string): { size: number; ttlMs: number } {
    const { historySize, historyTtlMs } = this.#options.rules.of(topic);
    return { size: historyTtlMs > 0 ? historySize : 0, ttlMs: historyTtlMs };
  }

  /** Both connections are there, and nothing else was asked of them yet. */
  async #setUp(link: RedisLink): Promise<void> {
    const { keys, newEpoch } = this.#options;
    const about = await link.call<string>("INFO", ["server"]);
    const run = checkServer(about);
    const all = Object.values({ ...TOPICS, ...REGISTRATIONS });
    await Promise.all(all.map(({ text }) => link.call("SCRIPT", ["LOAD", text])));
    await this.clock.read(link);
    const known = this.#run === "" || this.#run === run ? "" : String(this.#count);
    const lost = await link.run<number>(
      TOPICS.JOIN,
      [keys.run, keys.count, keys.life],
      [run, known, newEpoch()],
    );
    if (lost === 1)
      this.#options.warn(`Redis at ${link.address} has lost data: histories begin anew`);
    if (this.#run !== run) this.#count = 0;
    this.#run = run;
    await this.#feeds.setUp(link);
  }

  #down(): void {
    this.#feeds.down(this.link);
    for (const { done } of this.#countings.values()) done(0);
    this.#countings.clear();
  }
}

/** Its run id. Throws an Error of one sentence where the server is none that we can use. */
function checkServer(about: string): string {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, "m").exec(about)?.[1] ?? "";
  if (field("redis_mode") === "cluster") {
    throw new Error("it is a node of a Redis Cluster; Baton takes several single servers instead");
  }
  const version = field("redis_version");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 6 || (major === 6 && minor < 2)) {
    throw new Error(`it is version ${version}; Baton needs 6.2 or newer`);
  }
  return field("run_id");
}
