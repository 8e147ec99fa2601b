// The names of Baton's keys and channels in Redis, all under one prefix, so that several relays can share a server. Those of users
// and machines are made by the scripts of registrations.
import { MARKS } from "./topic-scripts";

export class Keys {
  readonly prefix: string;
  /** Changes when the server has lost data: histories of another life mean nothing. */
  readonly life: string;
  /** The server's run, and how many publications it knew of when it was first met. */
  readonly run: string;
  /** How many publications there were. */
  readonly count: string;
  /** What topics without a publication have in common: redis-topic-scripts.ts. */
  readonly blank: string;
  /** Idempotency keys by the end of their time. */
  readonly answers: string;
  /** Registrations that wait, by the end of their time. */
  readonly waiting: string;
  /** The last term of a claim. */
  readonly terms: string;
  /** The channel that every node hears. */
  readonly everybody: string;
  /** A channel that nobody says anything on. */
  readonly quiet: string;

  /** `name` is BATON_REDIS_PREFIX. */
  constructor(name: string) {
    const prefix = `${name}:`;
    this.prefix = prefix;
    this.life = `${prefix}life`;
    this.run = `${prefix}run`;
    this.count = `${prefix}count`;
    this.blank = `${prefix}blank`;
    this.answers = `${prefix}answers`;
    this.waiting = `${prefix}waiting`;
    this.terms = `${prefix}terms`;
    this.everybody = `${prefix}everybody`;
    this.quiet = `${prefix}quiet`;
  }

  /** A topic's epoch and newest offset. */
  meta(topic: string): string {
    return `${this.prefix}topic:${topic}`;
  }

  /** The place of its mark among those of all topics. */
  mark(topic: string): string {
    return String(Bun.hash.xxHash32(topic) % MARKS);
  }

  /** What is kept of it. */
  log(topic: string): string {
    return `${this.prefix}log:${topic}`;
  }

  /** The channel that its publications go over. */
  channel(topic: string): string {
    return `${this.prefix}live:${topic}`;
  }

  /** The topic of such a channel. */
  topicOf(channel: string): string {
    return channel.slice(this.prefix.length + "live:".length);
  }

  /** The answer to a publish with an idempotency key, by what it is remembered by. */
  answer(name: string): string {
    return `${this.prefix}answer:${name}`;
  }

  registration(id: string): string {
    return `${this.prefix}registration:${id}`;
  }

  /** A node's sign of life. */
  node(name: string): string {
    return `${this.prefix}node:${name}`;
  }

  /** The channel that one node hears. */
  inbox(node: string): string {
    return `${this.prefix}inbox:${node}`;
  }
}
