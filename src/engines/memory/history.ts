// The histories of topics in this process's memory: numbered, kept by count and age, bounded in bytes over all topics.
import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import type { Publication } from "../../relay/contracts/publication";
import type { TopicRule, TopicRules } from "../../relay/contracts/topic-rules";

export interface HistoryOptions {
  readonly rules: TopicRules;
  /** Bound of what all histories together may take. */
  readonly bytes: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly newEpoch: () => string;
}

/** What a publication and a topic cost beside their text, measured: test/slow/faults.slow.ts compares. */
const PUBLICATION_BYTES = 160;
const TOPIC_BYTES = 480;

/** Topics looked at in one sweep: below a millisecond. */
const SWEEP_TOPICS = 2_000;

/** One topic's history: a queue of the newest publications, whose offsets follow each other. */
class Stream {
  readonly topic: string;
  readonly epoch: string;
  readonly rule: TopicRule;
  /** Its neighbours in the order of use. */
  older: Stream | undefined = undefined;
  newer: Stream | undefined = undefined;
  top = 0;
  bytes: number;
  publications: Publication[] = [];
  /** When each was accepted. */
  times: number[] = [];
  /** Where the queue begins in the two lists. */
  head = 0;

  constructor(topic: string, epoch: string, rule: TopicRule) {
    this.topic = topic;
    this.epoch = epoch;
    this.rule = rule;
    this.bytes = TOPIC_BYTES + 2 * topic.length;
  }

  get size(): number {
    return this.publications.length - this.head;
  }

  push(publication: Publication, now: number): void {
    this.publications.push(publication);
    this.times.push(now);
    this.bytes += cost(publication);
  }

  /** Drops the oldest; the lists are cut only when half of them is empty, so that it costs little each. */
  shift(): void {
    this.bytes -= cost(this.publications[this.head] as Publication);
    this.publications[this.head] = undefined as unknown as Publication;
    this.head++;
    if (this.head >= 16 && this.head * 2 >= this.publications.length) {
      this.publications = this.publications.slice(this.head);
      this.times = this.times.slice(this.head);
      this.head = 0;
    }
  }

  /** Drops what is too old or too many. Cost: that. */
  prune(now: number): void {
    const { historySize, historyTtlMs } = this.rule;
    while (this.size > historySize) this.shift();
    while (this.size > 0 && (this.times[this.head] as number) + historyTtlMs <= now) this.shift();
  }

  read({ since, limit, reverse = false }: HistoryRange): Publication[] {
    const { publications, head } = this;
    const first = this.top - this.size + 1;
    if (limit <= 0) return [];
    if (!reverse) {
      const from = head + Math.max(0, (since ?? 0) + 1 - first);
      return publications.slice(from, from + limit);
    }
    const to = since === undefined ? publications.length : head + Math.max(0, since - first);
    const end = Math.min(to, publications.length);
    return publications.slice(Math.max(head, end - limit), end).reverse();
  }
}

/** Text takes at most two bytes a character. */
function cost({ data, tags = "" }: Publication): number {
  return PUBLICATION_BYTES + 2 * (data.length + tags.length);
}

export class History {
  readonly #options: HistoryOptions;
  readonly #streams = new Map<string, Stream>();
  // The order of use is a list of its own: a Map is slow to iterate from its beginning when much was deleted there, 29 us
  // for each new topic in a flood of them, against 4.
  #oldest: Stream | undefined;
  #latest: Stream | undefined;
  #bytes = 0;
  /**
   * The epoch of every topic that has no stream. It changes whenever a stream is given up, so that none comes back
   * under the epoch it had; and topics that were only asked for cost nothing.
   */
  #epoch: string;
  #sweeping: IterableIterator<Stream>;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#epoch = options.newEpoch();
    this.#sweeping = this.#streams.values();
  }

  /** What is kept, as counted against the bound. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Topics that have a history now. */
  get topics(): number {
    return this.#streams.size;
  }

  /** The publication with its offset and epoch, or as it is where the topic keeps no history. */
  append(publication: Publication): Publication {
    const stream = this.#streams.get(publication.topic) ?? this.#create(publication.topic);
    if (stream === undefined) return publication;
    const now = this.#options.now();
    this.#touch(stream);
    const numbered = { ...publication, offset: ++stream.top, epoch: stream.epoch };
    const before = stream.bytes;
    stream.push(numbered, now);
    stream.prune(now);
    this.#bytes += stream.bytes - before;
    if (this.#bytes > this.#options.bytes) this.#giveUp(stream);
    return numbered;
  }

  read(topic: string, range: HistoryRange): HistoryPage {
    const stream = this.#streams.get(topic);
    if (stream === undefined) {
      const top = this.#options.rules.of(topic).keepsHistory
        ? { epoch: this.#epoch, offset: 0 }
        : undefined;
      return { top, publications: [] };
    }
    this.#touch(stream);
    this.#prune(stream);
    return {
      top: { epoch: stream.epoch, offset: stream.top },
      publications: stream.read(range),
    };
  }

  /** Drops all that a topic keeps; it goes on counting. */
  forget(topic: string): void {
    const stream = this.#streams.get(topic);
    if (stream === undefined) return;
    const before = stream.bytes;
    while (stream.size > 0) stream.shift();
    this.#bytes += stream.bytes - before;
  }

  /** Drops what is too old in some topics; goes on with the next ones at the next call. */
  sweep(): void {
    for (let i = 0; i < SWEEP_TOPICS; i++) {
      const { done, value } = this.#sweeping.next();
      if (done === true) {
        this.#sweeping = this.#streams.values();
        return;
      }
      this.#prune(value);
    }
  }

  #create(topic: string): Stream | undefined {
    const rule = this.#options.rules.of(topic);
    if (!rule.keepsHistory) return undefined;
    const stream = new Stream(topic, this.#epoch, rule);
    this.#streams.set(topic, stream);
    this.#link(stream);
    this.#bytes += stream.bytes;
    return stream;
  }

  #prune(stream: Stream): void {
    const before = stream.bytes;
    stream.prune(this.#options.now());
    this.#bytes += stream.bytes - before;
  }

  #touch(stream: Stream): void {
    if (this.#latest === stream) return;
    this.#unlink(stream);
    this.#link(stream);
  }

  /** Puts it behind all others, as the one that was used last. */
  #link(stream: Stream): void {
    stream.older = this.#latest;
    if (this.#latest === undefined) this.#oldest = stream;
    else this.#latest.newer = stream;
    this.#latest = stream;
  }

  #unlink(stream: Stream): void {
    const { older, newer } = stream;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#latest = older;
    else newer.older = older;
    stream.older = undefined;
    stream.newer = undefined;
  }

  /** Back under the bound: whole topics, the least recently used first; of `kept` only what is oldest. */
  #giveUp(kept: Stream): void {
    const { bytes } = this.#options;
    while (this.#bytes > bytes && this.#oldest !== undefined && this.#oldest !== kept) {
      const stream = this.#oldest;
      this.#unlink(stream);
      this.#streams.delete(stream.topic);
      this.#bytes -= stream.bytes;
      this.#epoch = this.#options.newEpoch();
    }
    while (this.#bytes > bytes && kept.size > 0) {
      const before = kept.bytes;
      kept.shift();
      this.#bytes += kept.bytes - before;
    }
  }
}
