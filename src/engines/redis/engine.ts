// The engine for several nodes: what is published goes through Redis, which numbers it, keeps it for a while and tells the
// nodes that follow its topic. With several servers, each topic has one of them; one has the registrations.
import {
  type Engine,
  type EngineEvents,
  EngineUnavailable,
  type HistoryPage,
  type HistoryRange,
  type Registrations,
} from "../../relay/contracts/engine";
import type { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { Batcher } from "../batcher";
import type { EngineOptions } from "../options";
import { RedisRegistrations } from "./registrations";
import { Keys } from "./server/keys";
import { Shard } from "./shard";
import { ShardMap } from "./shard-map";

/** What cannot become right by waiting: it ends the start. */
const HOPELESS = /WRONGPASS|NOAUTH|NOPERM|invalid password|Redis Cluster|needs 6\.2|HELLO|DB index/;

/** Healthy while all its servers can be reached and take publications. */
export class RedisEngine implements Engine {
  readonly name = "redis";
  readonly registrations: Registrations;
  readonly #node: string;
  readonly #warn: (sentence: string) => void;
  readonly #keys: Keys;
  readonly #ring: ShardMap<Shard>;
  /** The server of the registrations and of what nodes tell each other. */
  readonly #home: Shard;
  readonly #registrations: RedisRegistrations;
  #events: EngineEvents | undefined;
  /** What was to be said while it starts. */
  #warnings: string[] | undefined = [];
  /** Publishes that are under way. */
  readonly #publishing = new Set<Promise<unknown>>();

  /** `list` are addresses, separated by commas. */
  constructor(options: EngineOptions, list: string) {
    this.#node = options.node;
    this.#warn = options.warn;
    this.#keys = new Keys(options.prefix);
    const { everybody } = this.#keys;
    const urls = list.split(",");
    const wave = new Batcher();
    const home = new ShardMap(urls, (url) => url).of("registrations");
    const shard = (url: string): Shard =>
      new Shard({
        ...options,
        url,
        keys: this.#keys,
        wave,
        warn: (sentence) => {
          if (this.#warnings === undefined) this.#warn(sentence);
          else this.#warnings.push(sentence);
        },
        inboxes: url === home ? [everybody, this.#keys.inbox(this.#node)] : [this.#keys.quiet],
        heard: (message) => this.#heard(message),
        deliver: (publication) => this.#events?.deliver(publication) ?? 0,
        lost: (topic) => this.#events?.historyReset(topic),
        onUp: () => {
          if (url === home) this.#registrations.up();
        },
      });
    this.#ring = new ShardMap(urls, shard);
    this.#home = this.#ring.of("registrations");
    this.#registrations = new RedisRegistrations({
      ...options,
      keys: this.#keys,
      link: this.#home.link,
      clock: this.#home.clock,
      ended: (id, term) => this.#events?.registrationRevoked(id, term),
    });
    this.registrations = this.#registrations;
  }

  /** Resolves whether or not the servers can be reached. Rejects with an Error of one sentence where that is hopeless. */
  async start(events: EngineEvents): Promise<void> {
    this.#events = events;
    await Promise.all(this.#ring.all.map(({ link }) => link.start()));
    for (const { link } of this.#ring.all) {
      if (link.isUp || !HOPELESS.test(link.unavailable.message)) continue;
      this.#stop();
      throw new Error(`BATON_ENGINE: ${link.unavailable.message.replace(/\.?$/, ".")}`);
    }
    for (const sentence of this.#warnings ?? []) this.#warn(sentence);
    this.#warnings = undefined;
  }

  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    if (this.#events === undefined) return Promise.reject(new EngineUnavailable("not started"));
    const published = this.#ring.of(publication.topic).publish(publication, key);
    this.#publishing.add(published);
    const done = () => this.#publishing.delete(published);
    published.then(done, done);
    return published;
  }

  history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    if (this.#events === undefined) return Promise.reject(new EngineUnavailable("not started"));
    return this.#ring.of(topic).history(topic, range);
  }

  forget(topic: string): Promise<undefined> {
    return this.#ring.of(topic).forget(topic);
  }

  follow(topic: string): void {
    this.#ring.of(topic).follow(topic);
  }

  unfollow(topic: string): void {
    this.#ring.of(topic).unfollow(topic);
  }

  /** What goes to everybody comes back too, and is known by the node's name before it. */
  async sendToNodes(message: string, to?: string): Promise<number> {
    const { everybody } = this.#keys;
    const channel = to === undefined ? everybody : this.#keys.inbox(to);
    const text = `${this.#node}\n${message}`;
    const heard = await this.#home.link.call<number>("PUBLISH", [channel, text]);
    // One fewer than none: our own subscription has just broken.
    return Math.max(0, to === undefined ? heard - 1 : heard);
  }

  sweep(): void {
    for (const shard of this.#ring.all) shard.sweep();
    if (this.#home.link.isUp) this.#registrations.sweep();
  }

  healthy(): boolean {
    return this.#events !== undefined && this.#ring.all.every((shard) => shard.healthy);
  }

  async close(): Promise<void> {
    if (this.#events === undefined) return;
    // Taken before: what comes of them is still delivered.
    await Promise.allSettled(this.#publishing);
    await this.#registrations.close();
    this.#stop();
  }

  #stop(): void {
    this.#events = undefined;
    for (const { link } of this.#ring.all) link.stop();
  }

  #heard(text: string): void {
    const end = text.indexOf("\n");
    if (text.slice(0, end) !== this.#node) this.#events?.messageReceived(text.slice(end + 1));
  }
}
