// The histories of all topics, in this process's memory. Each numbers its publications 1, 2, 3… and keeps the newest of them, by
// count and age; all of them together are bounded in bytes, so the least recently used ones are evicted.
import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import type { Publication } from "../../relay/contracts/publication";
import type { TopicRule, TopicRules } from "../../relay/contracts/topic-rules";
import { fitting } from "../../relay/topics/history";
import { Rounds } from "../rounds";

interface HistoriesOptions {
  readonly rules: TopicRules;
  /** Bound of what all histories together may take. */
  readonly bytesMax: number;
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly newEpoch: () => string;
}

/** What a publication and a topic cost besides their text, as measured. The slow test E5 compares that with the process's memory. */
const PUBLICATION_BYTES = 160;
const TOPIC_BYTES = 480;

/** Topics that one sweep looks at: they take less than a millisecond. */
const SWEEP_TOPICS_MAX = 2_000;

/** The lists of a history are cut when their empty beginning is at least this long, and half of them. */
const EMPTY_HEAD_MIN = 16;

/** One topic's history: a queue of its newest publications, whose offsets follow each other. */
class TopicHistory {
  readonly topic: string;
  readonly epoch: string;
  rule: TopicRule;
  /** How often the rules had changed when it got this one. */
  ruleChanges: number;
  /** Its neighbours in the order of use. */
  older: TopicHistory | undefined = undefined;
  newer: TopicHistory | undefined = undefined;
  /** The newest offset. */
  top = 0;
  bytes: number;
  /** Publications, and when each was accepted. Both lists are empty before `#head`. */
  #publications: Publication[] = [];
  #times: number[] = [];
  #head = 0;

  constructor(topic: string, epoch: string, rule: TopicRule, ruleChanges: number) {
    this.topic = topic;
    this.epoch = epoch;
    this.rule = rule;
    this.ruleChanges = ruleChanges;
    this.bytes = TOPIC_BYTES + 2 * topic.length;
  }

  get size(): number {
    return this.#publications.length - this.#head;
  }

  push(publication: Publication, now: number): void {
    this.#publications.push(publication);
    this.#times.push(now);
    this.bytes += cost(publication);
  }

  /** Drops the oldest publication. Cutting the lists seldom keeps the cost of each call small. */
  shift(): void {
    this.bytes -= cost(this.#publications[this.#head] as Publication);
    this.#publications[this.#head] = undefined as unknown as Publication;
    this.#head++;
    if (this.#head >= EMPTY_HEAD_MIN && this.#head * 2 >= this.#publications.length) {
      this.#publications = this.#publications.slice(this.#head);
      this.#times = this.#times.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Drops what the rule does not keep: what is too old, or beyond the count. Cost: what is dropped. */
  prune(now: number): void {
    const { historySize, historyTtlMs } = this.rule;
    while (this.size > historySize) this.shift();
    while (this.size > 0 && (this.#times[this.#head] as number) + historyTtlMs <= now) this.shift();
  }

  read(range: HistoryRange): readonly Publication[] {
    const { limit, size } = range;
    return limit <= 0 ? [] : fitting(this.#slice(range), size);
  }

  #slice({ since, limit, reverse = false }: HistoryRange): Publication[] {
    const publications = this.#publications;
    const head = this.#head;
    const oldest = this.top - this.size + 1;
    if (!reverse) {
      const from = head + Math.max(0, (since ?? 0) + 1 - oldest);
      return publications.slice(from, from + limit);
    }
    const before = since === undefined ? publications.length : head + Math.max(0, since - oldest);
    const end = Math.min(before, publications.length);
    return publications.slice(Math.max(head, end - limit), end).reverse();
  }
}

/** A character of text takes at most two bytes. */
function cost({ data, tags = "", event = "" }: Publication): number {
  return PUBLICATION_BYTES + 2 * (data.length + tags.length + event.length);
}

export class Histories {
  readonly #options: HistoriesOptions;
  /** By topic. */
  readonly #histories = new Map<string, TopicHistory>();
  // The order of use is a linked list, not the Map's own order: a Map is slow to iterate from its beginning once much was
  // deleted there. In a flood of new topics that cost 29 us for each, against 4.
  #leastRecent: TopicHistory | undefined;
  #mostRecent: TopicHistory | undefined;
  /** What all histories take. */
  #bytes = 0;
  /**
   * The epoch of every topic that has no history yet. It changes whenever one is evicted, so that no topic comes back under
   * the epoch that it had; and a topic that was only asked for costs nothing.
   */
  #epoch: string;
  /** How often the rules have changed. Each history gets its new rule when it is used next: there may be a million of them. */
  #ruleChanges = 0;
  readonly #sweeping = new Rounds(() => this.#histories.values());

  constructor(options: HistoriesOptions) {
    this.#options = options;
    this.#epoch = options.newEpoch();
  }

  /** What all histories take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the publication with its offset and epoch, or unchanged if its topic keeps no history. */
  append(publication: Publication): Publication {
    const history = this.#get(publication.topic) ?? this.#create(publication.topic);
    if (history === undefined) return publication;
    if (!history.rule.keepsHistory) {
      // It did before. This publication gets no offset, so the old history would lack it unnoticed.
      this.#remove(history);
      return publication;
    }
    const now = this.#options.now();
    this.#touch(history);
    const numbered = { ...publication, offset: ++history.top, epoch: history.epoch };
    const before = history.bytes;
    history.push(numbered, now);
    history.prune(now);
    this.#bytes += history.bytes - before;
    if (this.#bytes > this.#options.bytesMax) this.#evict(history);
    return numbered;
  }

  read(topic: string, range: HistoryRange): HistoryPage {
    const history = this.#get(topic);
    const { keepsHistory } = history?.rule ?? this.#options.rules.of(topic);
    if (!keepsHistory) return { top: undefined, publications: [] };
    if (history === undefined) {
      return { top: { epoch: this.#epoch, offset: 0 }, publications: [] };
    }
    this.#touch(history);
    this.#prune(history);
    return {
      top: { epoch: history.epoch, offset: history.top },
      publications: history.read(range),
    };
  }

  /** Drops all publications of a topic. Its epoch stays, and its offsets go on. */
  forget(topic: string): void {
    const history = this.#histories.get(topic);
    if (history === undefined) return;
    const before = history.bytes;
    while (history.size > 0) history.shift();
    this.#bytes += history.bytes - before;
  }

  /** The rules have changed. */
  rulesChanged(): void {
    this.#ruleChanges++;
  }

  /** Drops what is too old in some topics. The next call goes on with the topics after them. */
  expire(): void {
    for (const history of this.#sweeping.next(SWEEP_TOPICS_MAX)) {
      this.#prune(this.#withItsRule(history));
    }
  }

  #get(topic: string): TopicHistory | undefined {
    const history = this.#histories.get(topic);
    return history && this.#withItsRule(history);
  }

  #withItsRule(history: TopicHistory): TopicHistory {
    if (history.ruleChanges === this.#ruleChanges) return history;
    history.ruleChanges = this.#ruleChanges;
    history.rule = this.#options.rules.of(history.topic);
    return history;
  }

  #create(topic: string): TopicHistory | undefined {
    const rule = this.#options.rules.of(topic);
    if (!rule.keepsHistory) return undefined;
    const history = new TopicHistory(topic, this.#epoch, rule, this.#ruleChanges);
    this.#histories.set(topic, history);
    this.#link(history);
    this.#bytes += history.bytes;
    return history;
  }

  #prune(history: TopicHistory): void {
    const before = history.bytes;
    history.prune(this.#options.now());
    this.#bytes += history.bytes - before;
  }

  #remove(history: TopicHistory): void {
    this.#unlink(history);
    this.#histories.delete(history.topic);
    this.#bytes -= history.bytes;
    this.#epoch = this.#options.newEpoch();
  }

  /** Makes it the most recently used one. */
  #touch(history: TopicHistory): void {
    if (this.#mostRecent === history) return;
    this.#unlink(history);
    this.#link(history);
  }

  #link(history: TopicHistory): void {
    history.older = this.#mostRecent;
    if (this.#mostRecent === undefined) this.#leastRecent = history;
    else this.#mostRecent.newer = history;
    this.#mostRecent = history;
  }

  #unlink(history: TopicHistory): void {
    const { older, newer } = history;
    if (older === undefined) this.#leastRecent = newer;
    else older.newer = newer;
    if (newer === undefined) this.#mostRecent = older;
    else newer.older = older;
    history.older = undefined;
    history.newer = undefined;
  }

  /**
   * Goes back under the bound: evicts whole histories, the least recently used first, down to this one, of which it drops
   * the oldest publications.
   */
  #evict(current: TopicHistory): void {
    const { bytesMax } = this.#options;
    while (this.#bytes > bytesMax) {
      const history = this.#leastRecent;
      if (history === undefined || history === current) break;
      this.#remove(history);
    }
    while (this.#bytes > bytesMax && current.size > 0) {
      const before = current.bytes;
      current.shift();
      this.#bytes += current.bytes - before;
    }
  }
}
