// All topics of the SQLite engine and their publications in the file: numbering, reading, removing what the rules do not keep,
// and the bound in bytes.
import type { Statement } from "bun:sqlite";
import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import type { Publication } from "../../relay/contracts/publication";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import { fitting } from "../../relay/topics/history";
import type { SqliteFile } from "./file";
import {
  type PublicationRow,
  publicationOf,
  rowOf,
  SQL,
  type StoredTopic,
  TOPIC_BYTES,
  type TopicRow,
} from "./topic";
import { TopicCache } from "./topic-cache";
import type { WallClock } from "./wall-clock";

interface SqliteTopicsOptions {
  readonly rules: TopicRules;
  /** Bound of what all histories may take in the file. */
  readonly bytesMax: number;
  readonly newEpoch: () => string;
}

/** Topics that one sweep looks at, and rows that it removes, at most: they take a few ms. */
const SWEEP_TOPICS_MAX = 500;
const SWEEP_ROWS_MAX = 5_000;

/**
 * Rows that are read at a time at most, of a topic that has more than is asked for. Their lengths cannot be read first: to
 * find the end of a range, SQLite reads every row of a table WITHOUT ROWID as a whole.
 */
const READ_ROWS_MAX = 64;

/** Rows that one commit removes at most, besides twice as many as it adds. */
const COMMIT_ROWS_MAX = 256;

/**
 * How much more than its rule keeps of a topic may stand in the file before a commit removes it: an eighth of the rule's
 * size and a bit, at most 256 publications, and for a second. None of that is read any more.
 */
const SLACK_ROWS = 16;
const SLACK_SHARE = 1 / 8;
const SLACK_ROWS_MAX = 256;
const SLACK_MS = 1_000;

/** Whatever changes the file must be called within SqliteFile.write, and after its failure `afterRollback`. */
export class SqliteTopics {
  readonly #options: SqliteTopicsOptions;
  readonly #clock: WallClock;
  readonly #sql: Record<keyof typeof SQL, Statement>;
  /** Topics that the running transaction changes. */
  readonly #changed = new Set<StoredTopic>();
  /** A topic must stay in the cache while the file does not yet say of it what is known here. */
  readonly #cache = new TopicCache(
    (topic) => topic.delivered < topic.top || this.#changed.has(topic),
  );
  /** The epoch of every topic without a row. It changes whenever a row is removed, so that no topic comes back under its old one. */
  #epoch: string;
  #bytes: number;
  /** As the last commit has left them. */
  #committed: { epoch: string; bytes: number };
  /** Publications that the running transaction adds. */
  #added = 0;
  /** The id of the last topic that a sweep has looked at. */
  #lastSwept = 0;

  constructor(file: SqliteFile, clock: WallClock, options: SqliteTopicsOptions) {
    this.#options = options;
    this.#clock = clock;
    this.#sql = file.prepareAll(SQL);
    const kept = this.#first<[string]>(this.#sql.epoch);
    this.#epoch = kept?.[0] ?? options.newEpoch();
    if (kept === undefined) file.write(() => this.#sql.setEpoch.run(this.#epoch));
    this.#bytes = this.#first<[number]>(this.#sql.bytes)?.[0] ?? 0;
    this.#committed = { epoch: this.#epoch, bytes: this.#bytes };
  }

  /** What all histories take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a publication and returns it with its offset and epoch, or unchanged if its topic keeps no history. */
  append(publication: Publication): Publication {
    const { topic: name } = publication;
    const topic = this.#get(name) ?? this.#create(name);
    if (topic === undefined) return publication;
    if (!topic.rule.keepsHistory) {
      // It did when the row was written. This publication gets no offset, so the old history would lack it unnoticed.
      this.#removeTopic(topic);
      this.#changeEpoch();
      return publication;
    }
    const offset = topic.top + 1;
    const time = this.#clock.ms;
    const row = rowOf(publication);
    this.#sql.insert.run(topic.id, offset, time, row.size, row.json, row.about, row.data);
    topic.top = offset;
    topic.oldest ??= { offset, time };
    this.#count(topic, row.size);
    this.#changed.add(topic);
    this.#added++;
    return { ...publication, offset, epoch: topic.epoch };
  }

  /** To be called last in a transaction that appends: writes the positions and removes what is too much. Cost: bounded. */
  beforeCommit(): void {
    if (this.#changed.size === 0) return;
    let rowsLeft = COMMIT_ROWS_MAX + 2 * this.#added;
    const now = this.#clock.ms;
    for (const topic of this.#changed) {
      const { oldest, rule, top } = topic;
      const slack = Math.min(SLACK_ROWS_MAX, SLACK_ROWS + rule.historySize * SLACK_SHARE);
      const isLong = oldest !== undefined && top - oldest.offset >= rule.historySize + slack;
      const isOld = oldest !== undefined && oldest.time + rule.historyTtlMs + SLACK_MS <= now;
      if (rowsLeft > 0 && (isLong || isOld)) rowsLeft -= this.#prune(topic, now, rowsLeft);
      this.#sql.updateTopic.run(topic.top, topic.first, topic.bytes, now, topic.id);
    }
    this.#evict(rowsLeft);
  }

  afterCommit(): void {
    this.#changed.clear();
    this.#added = 0;
    this.#committed = { epoch: this.#epoch, bytes: this.#bytes };
  }

  /** Goes back to what the file has. All of that must have been delivered. */
  afterRollback(): void {
    this.#cache.clear();
    this.#changed.clear();
    this.#added = 0;
    this.#epoch = this.#committed.epoch;
    this.#bytes = this.#committed.bytes;
  }

  /** From here on `read` returns this publication, which `append` has numbered. */
  delivered({ topic: name, offset }: Publication): void {
    if (offset === undefined) return;
    const topic = this.#cache.peek(name);
    if (topic !== undefined) topic.delivered = offset;
  }

  read(name: string, { since, limit, reverse = false, size }: HistoryRange): HistoryPage {
    if (!this.#options.rules.of(name).keepsHistory) return { top: undefined, publications: [] };
    const topic = this.#get(name);
    if (topic === undefined) {
      return { top: { epoch: this.#committed.epoch, offset: 0 }, publications: [] };
    }
    const { id, epoch, delivered, rule } = topic;
    const top = { epoch, offset: delivered };
    if (limit <= 0) return { top, publications: [] };
    let after = Math.max(topic.first - 1, delivered - rule.historySize);
    let last = delivered;
    if (reverse) last = Math.min(delivered, (since ?? Number.POSITIVE_INFINITY) - 1);
    else after = Math.max(after, since ?? 0);
    const newerThan = this.#clock.ms - rule.historyTtlMs;
    const statement = reverse ? this.#sql.readReversed : this.#sql.read;
    const publications: Publication[] = [];
    let left = Math.min(limit, rule.historySize);
    // What all of the topic takes in the file is more than what its texts do.
    let count = topic.bytes <= size ? left : 1;
    let sum = 0;
    while (left > 0) {
      const rows = statement.values(id, after, last, newerThan, count) as PublicationRow[];
      for (const row of rows) {
        const publication = publicationOf(name, epoch, row);
        publications.push(publication);
        sum += publication.data.length;
      }
      left = rows.length < count ? 0 : left - count;
      const [offset = 0] = rows.at(-1) ?? [];
      if (reverse) last = offset - 1;
      else after = offset;
      if (sum >= size) break;
      // So many more as are still wanted if they are like those before, but no leap: the next ones may be much longer.
      const wanted = Math.ceil((publications.length * (size - sum)) / Math.max(sum, 1));
      count = Math.min(left, wanted, 2 * publications.length, READ_ROWS_MAX);
    }
    return { top, publications: fitting(publications, size) };
  }

  /** From here on nothing of the topic's publications is read; they are removed later. */
  forget(name: string): undefined {
    const topic = this.#get(name);
    if (topic === undefined) return;
    topic.first = topic.top + 1;
    this.#changed.add(topic);
  }

  /** The rules have changed. Cost: the cache. */
  rulesChanged(): void {
    for (const topic of this.#cache.all()) topic.rule = this.#options.rules.of(topic.name);
  }

  /** Some topics with publications to remove. The next call goes on with the topics after them. Cost: bounded. */
  expired(): readonly StoredTopic[] {
    const rows = this.#sql.nextTopics.values(this.#lastSwept, SWEEP_TOPICS_MAX) as TopicRow[];
    this.#lastSwept = rows.length < SWEEP_TOPICS_MAX ? 0 : (rows.at(-1) as TopicRow)[0];
    const now = this.#clock.ms;
    return rows
      .map((row) => this.#cache.peek(row[1]) ?? this.#fromRow(row))
      .filter((topic) => {
        const { oldest, rule } = topic;
        if (oldest === undefined) return false;
        return oldest.offset < firstKept(topic) || oldest.time + rule.historyTtlMs <= now;
      });
  }

  /** Whether the histories take more than they may. */
  get isFull(): boolean {
    return this.#bytes > this.#options.bytesMax;
  }

  /** Removes what the rules of these topics do not keep, and what is too much in all. Cost: bounded. */
  expire(topics: readonly StoredTopic[]): void {
    const now = this.#clock.ms;
    let rowsLeft = SWEEP_ROWS_MAX;
    for (const topic of topics) {
      if (rowsLeft <= 0) return;
      rowsLeft -= this.#prune(topic, now, rowsLeft);
      this.#sql.setBytes.run(topic.bytes, topic.id);
    }
    this.#evict(rowsLeft);
  }

  /** Removes up to this many rows that the topic's rule does not keep. Returns how many it removed. */
  #prune(topic: StoredTopic, now: number, rows: number): number {
    const { id, rule, oldest } = topic;
    if (oldest === undefined) return 0;
    const kept = firstKept(topic);
    const tooOld = now - rule.historyTtlMs;
    const { lastBefore, lastBeforeOrTooOld } = this.#sql;
    // Times are looked at only if one is too old: at high rates nearly every row goes for being beyond the count.
    const found =
      oldest.time <= tooOld
        ? lastBeforeOrTooOld.values(id, rows, kept, tooOld)
        : lastBefore.values(id, Math.min(kept, oldest.offset + rows));
    const [last, bytes] = found[0] as [number | null, number];
    return last === null ? 0 : this.#removeUpTo(topic, last, bytes);
  }

  /** Goes back under the bound, in steps: removes the oldest rows of the topic published to least recently, then that topic. */
  #evict(rows: number): void {
    const { bytesMax } = this.#options;
    /** Topics of this transaction that have nothing left, and must stay for what it has yet to write. */
    let skipped = 0;
    for (let rowsLeft = rows; rowsLeft > 0 && this.#bytes > bytesMax; ) {
      const row = this.#first<TopicRow>(this.#sql.leastRecent, skipped);
      if (row === undefined) return;
      const topic = this.#cache.peek(row[1]) ?? this.#fromRow(row);
      if (topic.oldest !== undefined) {
        rowsLeft -= this.#evictRows(topic, Math.min(rowsLeft, COMMIT_ROWS_MAX));
      } else if (this.#changed.has(topic)) {
        skipped++;
      } else {
        this.#removeTopic(topic);
        this.#changeEpoch();
        rowsLeft--;
      }
    }
  }

  /** Removes up to this many of the topic's oldest rows, until the bound is kept. Returns how many it removed. */
  #evictRows(topic: StoredTopic, rows: number): number {
    const { bytesMax } = this.#options;
    let last = 0;
    let bytes = 0;
    for (const [offset, size] of this.#sql.sizes.values(topic.id, rows) as [number, number][]) {
      if (this.#bytes - bytes <= bytesMax) break;
      last = offset;
      bytes += size;
    }
    const removed = this.#removeUpTo(topic, last, bytes);
    this.#sql.setBytes.run(topic.bytes, topic.id);
    return removed;
  }

  /** Removes the topic's rows up to this offset, which take that many bytes. Returns how many there were. */
  #removeUpTo(topic: StoredTopic, last: number, bytes: number): number {
    const count = last - (topic.oldest?.offset ?? last + 1) + 1;
    this.#sql.removeUpTo.run(topic.id, last);
    this.#count(topic, -bytes);
    topic.oldest = this.#oldestOf(topic.id);
    return count;
  }

  #removeTopic(topic: StoredTopic): void {
    this.#sql.removeUpTo.run(topic.id, topic.top);
    this.#sql.removeTopic.run(topic.id);
    this.#bytes -= topic.bytes;
    this.#cache.delete(topic.name);
  }

  #changeEpoch(): void {
    this.#epoch = this.#options.newEpoch();
    this.#sql.setEpoch.run(this.#epoch);
  }

  #count(topic: StoredTopic, bytes: number): void {
    topic.bytes += bytes;
    this.#bytes += bytes;
  }

  #create(name: string): StoredTopic | undefined {
    const rule = this.#options.rules.of(name);
    if (!rule.keepsHistory) return undefined;
    const bytes = TOPIC_BYTES + 2 * Buffer.byteLength(name);
    const { createTopic } = this.#sql;
    const row = createTopic.values(name, this.#epoch, bytes, this.#clock.ms)[0] as TopicRow;
    this.#bytes += bytes;
    return this.#cache.add(this.#fromRow(row));
  }

  #get(name: string): StoredTopic | undefined {
    const known = this.#cache.get(name);
    if (known !== undefined) return known;
    const row = this.#first<TopicRow>(this.#sql.topic, name);
    return row && this.#cache.add(this.#fromRow(row));
  }

  #fromRow([id, name, epoch, top, first, bytes]: TopicRow): StoredTopic {
    const rule = this.#options.rules.of(name);
    const oldest = this.#oldestOf(id);
    return { id, name, epoch, rule, top, delivered: top, first, oldest, bytes };
  }

  #oldestOf(id: number): StoredTopic["oldest"] {
    const found = this.#first<[number, number]>(this.#sql.oldest, id);
    return found && { offset: found[0], time: found[1] };
  }

  #first<Row>(statement: Statement, ...parameters: (string | number)[]): Row | undefined {
    return statement.values(...parameters)[0] as Row | undefined;
  }
}

/** The first offset of a topic that is neither forgotten nor beyond the count that its rule keeps. */
function firstKept({ first, top, rule }: StoredTopic): number {
  return Math.max(first, top - rule.historySize + 1);
}
