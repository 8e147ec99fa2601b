// The names of Baton's keys and channels in Redis. All begin with one prefix, so that several relays can share a server. The
// scripts for registrations and groups make the names of some keys themselves.

/**
 * How many bits the shared epoch has for topics that took it as their own (topic-scripts.ts). After 10,000 topics, one new topic in
 * a hundred finds its bit set already. They take 128 KiB.
 */
export const EPOCH_TAKEN_BITS = 2 ** 20;

export class Keys {
  readonly prefix: string;
  /** Changes when the server has lost data: numbers of an earlier generation mean nothing. */
  readonly dataGeneration: string;
  /** Which run of the server this is, and how many publications it knew of when a node first met it. */
  readonly run: string;
  /** Not there, or the version of what is kept on the server, once a newer Baton keeps it in a way that this one cannot read. */
  readonly format: string;
  /** How many publications the server has taken. */
  readonly count: string;
  /** The epoch that topics without a publication share, and a bit for each topic that took it as its own. */
  readonly sharedEpoch: string;
  /** Idempotency keys, by when they expire. */
  readonly idempotencyKeys: string;
  /** Registrations that wait for their clients, by when they expire. */
  readonly waiting: string;
  /** The term of the last claim. */
  readonly lastTerm: string;
  /** Where members of groups may be: nodes that are connected. */
  readonly places: string;
  /** The channel to which every node is subscribed. */
  readonly allNodes: string;
  /** On a server without registrations, the channel to which every node is subscribed. */
  readonly silence: string;
  /** The channel of nodes that can read several publications in one entry or message. */
  readonly packs: string;
  /** A key that does not exist, and a channel to which nobody is subscribed. */
  readonly probe: string;

  /** `name` is BATON_REDIS_PREFIX. */
  constructor(name: string) {
    const prefix = `${name}:`;
    this.prefix = prefix;
    this.dataGeneration = `${prefix}life`;
    this.run = `${prefix}run`;
    this.format = `${prefix}format`;
    this.count = `${prefix}count`;
    this.sharedEpoch = `${prefix}blank`;
    this.idempotencyKeys = `${prefix}answers`;
    this.waiting = `${prefix}waiting`;
    this.lastTerm = `${prefix}terms`;
    this.places = `${prefix}places`;
    this.allNodes = `${prefix}everybody`;
    this.silence = `${prefix}quiet`;
    this.packs = `${prefix}packs`;
    this.probe = `${prefix}probe`;
  }

  /** A topic's epoch and newest offset. */
  numbering(topic: string): string {
    return `${this.prefix}topic:${topic}`;
  }

  /** Which bit of the shared epoch is set when the topic takes that epoch as its own. */
  epochTakenBit(topic: string): string {
    return String(Bun.hash.xxHash32(topic) % EPOCH_TAKEN_BITS);
  }

  /** A topic's history. */
  history(topic: string): string {
    return `${this.prefix}log:${topic}`;
  }

  /** The channel that carries a topic's publications. */
  channel(topic: string): string {
    return `${this.prefix}live:${topic}`;
  }

  /** The topic of such a channel. */
  topicOf(channel: string): string {
    return channel.slice(this.prefix.length + "live:".length);
  }

  /** The first answer to a publish with an idempotency key; `name` is the key's name in its topic. */
  firstAnswer(name: string): string {
    return `${this.prefix}answer:${name}`;
  }

  /** Up to which position a partition of a source is published. */
  position(partition: string): string {
    return `${this.prefix}position:${partition}`;
  }

  /** The values of a set of records by name, and when each expires. */
  values(set: string): string {
    return `${this.prefix}values:${set}`;
  }

  expiries(set: string): string {
    return `${this.prefix}expiries:${set}`;
  }

  /** The entries of a queue by number, and the last number. */
  queue(name: string): string {
    return `${this.prefix}queue:${name}`;
  }

  lastNumber(queue: string): string {
    return `${this.prefix}numbers:${queue}`;
  }

  registration(id: string): string {
    return `${this.prefix}registration:${id}`;
  }

  /** Exists while a node is alive. */
  heartbeat(node: string): string {
    return `${this.prefix}node:${node}`;
  }

  /** The channel to which only this node is subscribed. */
  inbox(node: string): string {
    return `${this.prefix}inbox:${node}`;
  }
}
