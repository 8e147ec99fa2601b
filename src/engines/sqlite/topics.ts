// The topics of the SQLite engine and what the file keeps of them: numbering, reading, retention, the bound in bytes.

import type { Statement } from "bun:sqlite";
import type { HistoryPage, HistoryRange } from "../../relay/contracts/engine";
import type { Publication } from "../../relay/contracts/publication";
import type { TopicRules } from "../../relay/contracts/topic-rules";
import type { SqliteFile } from "./file";
import { publicationOf, type Row, rowOf } from "./row";
import { SQL, type StoredTopic, TOPIC_BYTES, type TopicRow } from "./topic";
import { TopicCache } from "./topic-cache";
import type { WallClock } from "./wall-clock";

interface SqliteTopicsOptions {
  readonly rules: TopicRules;
  /** Bound of what all histories may take in the file. */
  readonly bytes: number;
  readonly newEpoch: () => string;
}

/** Topics looked at in one sweep, and publications removed in one: a few ms. */
const SWEEP_TOPICS = 500;
const SWEEP_ROWS = 5_000;
/** Publications that one commit removes beside twice as many as it adds. */
const COMMIT_ROWS = 256;
/** What may be too old for so long before a commit removes it; it is not read any more. */
const SLACK_MS = 1_000;

/** All that writes must be called within SqliteFile.write; after a failure of that, `rolledBack`. */
export class SqliteTopics {
  readonly #options: SqliteTopicsOptions;
  readonly #clock: WallClock;
  readonly #sql: Record<keyof typeof SQL, Statement>;
  readonly #touched = new Set<StoredTopic>();
  /** What the file does not say yet must not be read from there. */
  readonly #cache = new TopicCache(
    (topic) => topic.delivered < topic.top || this.#touched.has(topic),
  );
  /** Of every topic without a row; it changes whenever a topic's row is given up, so that none comes back under it. */
  #epoch: string;
  #bytes: number;
  /** As they are in the file. */
  #kept: { epoch: string; bytes: number };
  #added = 0;
  /** The last topic that a sweep has looked at. */
  #swept = 0;

  constructor(file: SqliteFile, clock: WallClock, options: SqliteTopicsOptions) {
    this.#options = options;
    this.#clock = clock;
    this.#sql = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, file.prepare(sql)]),
    ) as Record<keyof typeof SQL, Statement>;
    const known = this.#first<[string]>(this.#sql.epoch);
    this.#epoch = known?.[0] ?? options.newEpoch();
    if (known === undefined) file.write(() => this.#sql.setEpoch.run(this.#epoch));
    this.#bytes = this.#first<[number]>(this.#sql.bytes)?.[0] ?? 0;
    this.#kept = { epoch: this.#epoch, bytes: this.#bytes };
  }

  /** What the file keeps of all topics, as counted against the bound. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps it and gives it its offset, or gives it back as it is where the topic keeps no history. */
  append(publication: Publication): Publication {
    const { topic: name } = publication;
    const topic = this.#get(name) ?? this.#create(name);
    if (topic === undefined) return publication;
    if (!topic.rule.keepsHistory) {
      // It did when it was written. What is not numbered now would be missing from it unseen.
      this.#remove(topic);
      this.#epoch = this.#options.newEpoch();
      this.#sql.setEpoch.run(this.#epoch);
      return publication;
    }
    const offset = topic.top + 1;
    const time = this.#clock.ms;
    const row = rowOf(publication);
    this.#sql.insert.run(topic.id, offset, time, row.size, row.json, row.about, row.data);
    topic.top = offset;
    topic.oldest ??= { offset, time };
    this.#count(topic, row.size);
    this.#touched.add(topic);
    this.#added++;
    return { ...publication, offset, epoch: topic.epoch };
  }

  /** To be called after all of a transaction: writes the positions, and removes what is too much. Cost: bounded. */
  settle(): void {
    if (this.#touched.size === 0) return;
    let rows = COMMIT_ROWS + 2 * this.#added;
    const now = this.#clock.ms;
    for (const topic of this.#touched) {
      const { oldest, rule, top } = topic;
      const slack = Math.min(256, 16 + rule.historySize / 8);
      const isLong = oldest !== undefined && top - oldest.offset >= rule.historySize + slack;
      const isOld = oldest !== undefined && oldest.time + rule.historyTtlMs + SLACK_MS <= now;
      if (rows > 0 && (isLong || isOld)) rows -= this.#prune(topic, now, rows);
      this.#sql.update.run(topic.top, topic.first, topic.bytes, now, topic.id);
    }
    this.#giveUp(rows);
  }

  committed(): void {
    this.#touched.clear();
    this.#added = 0;
    this.#kept = { epoch: this.#epoch, bytes: this.#bytes };
  }

  /** Back to what the file has. All that is in it must have been delivered. */
  rolledBack(): void {
    this.#cache.clear();
    this.#touched.clear();
    this.#added = 0;
    this.#epoch = this.#kept.epoch;
    this.#bytes = this.#kept.bytes;
  }

  /** From here on `read` gives this publication, which `append` has numbered. */
  delivered({ topic: name, offset }: Publication): void {
    if (offset === undefined) return;
    const topic = this.#cache.peek(name);
    if (topic !== undefined) topic.delivered = offset;
  }

  read(name: string, { since, limit, reverse = false }: HistoryRange): HistoryPage {
    if (!this.#options.rules.of(name).keepsHistory) return { top: undefined, publications: [] };
    const topic = this.#get(name);
    if (topic === undefined)
      return { top: { epoch: this.#kept.epoch, offset: 0 }, publications: [] };
    const { id, epoch, delivered, rule } = topic;
    const top = { epoch, offset: delivered };
    if (limit <= 0) return { top, publications: [] };
    const after = Math.max(topic.first - 1, delivered - rule.historySize);
    const newer = this.#clock.ms - rule.historyTtlMs;
    const most = Math.min(limit, rule.historySize);
    const rows = reverse
      ? this.#sql.readBack.values(
          id,
          after,
          Math.min(delivered, (since ?? Infinity) - 1),
          newer,
          most,
        )
      : this.#sql.read.values(id, Math.max(after, since ?? 0), delivered, newer, most);
    return { top, publications: (rows as Row[]).map((row) => publicationOf(name, epoch, row)) };
  }

  /** Nothing of it is read any more; sweeps remove it. */
  forget(name: string): void {
    const topic = this.#get(name);
    if (topic === undefined) return;
    topic.first = topic.top + 1;
    this.#touched.add(topic);
  }

  /** Topics that a sweep has to write to; goes on with the next ones at the next call. Cost: bounded. */
  due(): readonly StoredTopic[] {
    const rows = this.#sql.next.values(this.#swept, SWEEP_TOPICS) as TopicRow[];
    this.#swept = rows.length < SWEEP_TOPICS ? 0 : (rows.at(-1) as TopicRow)[0];
    const now = this.#clock.ms;
    return rows
      .map((row) => this.#cache.peek(row[1]) ?? this.#from(row))
      .filter(({ oldest, first, top, rule }) => {
        if (oldest === undefined) return false;
        const least = Math.max(first, top - rule.historySize + 1);
        return oldest.offset < least || oldest.time + rule.historyTtlMs <= now;
      });
  }

  get isFull(): boolean {
    return this.#bytes > this.#options.bytes;
  }

  /** Removes what is too old or too many in these topics, and what is too much in all. Cost: bounded. */
  sweep(due: readonly StoredTopic[]): void {
    const now = this.#clock.ms;
    let rows = SWEEP_ROWS;
    for (const topic of due) {
      if (rows <= 0) return;
      rows -= this.#prune(topic, now, rows);
      this.#sql.trim.run(topic.bytes, topic.id);
    }
    this.#giveUp(rows);
  }

  /** Removes up to `rows` of what its rule does not keep; answers how many. */
  #prune(topic: StoredTopic, now: number, rows: number): number {
    const { id, first, top, rule, oldest } = topic;
    if (oldest === undefined) return 0;
    const least = Math.max(first, top - rule.historySize + 1);
    const before = now - rule.historyTtlMs;
    const { stale, beyond } = this.#sql;
    // Times are only looked at where one is too old: at high rates nearly all goes for being too many.
    const found =
      oldest.time <= before
        ? stale.values(id, rows, least, before)
        : beyond.values(id, Math.min(least, oldest.offset + rows));
    const [last, bytes] = found[0] as [number | null, number];
    return last === null ? 0 : this.#cut(topic, last, bytes);
  }

  /** Back under the bound, in steps: the oldest of the topic that was published to least recently, then that topic. */
  #giveUp(rows: number): void {
    const { bytes: bound, newEpoch } = this.#options;
    /** Topics of this transaction that have nothing left. */
    let empty = 0;
    for (let left = rows; left > 0 && this.#bytes > bound; ) {
      const row = this.#first<TopicRow>(this.#sql.idle, empty);
      if (row === undefined) return;
      const topic = this.#cache.peek(row[1]) ?? this.#from(row);
      if (topic.oldest === undefined) {
        if (this.#touched.has(topic)) {
          empty++;
          continue;
        }
        this.#remove(topic);
        this.#epoch = newEpoch();
        this.#sql.setEpoch.run(this.#epoch);
        left--;
        continue;
      }
      const sizes = this.#sql.sizes.values(topic.id, Math.min(left, COMMIT_ROWS));
      let last = 0;
      let bytes = 0;
      for (const [offset, size] of sizes as [number, number][]) {
        if (this.#bytes - bytes <= bound) break;
        last = offset;
        bytes += size;
      }
      left -= this.#cut(topic, last, bytes);
      this.#sql.trim.run(topic.bytes, topic.id);
    }
  }

  /** Removes its publications up to this offset, which take so many bytes; answers how many there were. */
  #cut(topic: StoredTopic, last: number, bytes: number): number {
    const count = last - (topic.oldest?.offset ?? last + 1) + 1;
    this.#sql.cut.run(topic.id, last);
    this.#count(topic, -bytes);
    topic.oldest = this.#oldest(topic.id);
    return count;
  }

  /** The row of a topic, and all it has. */
  #remove(topic: StoredTopic): void {
    this.#sql.cut.run(topic.id, topic.top);
    this.#sql.remove.run(topic.id);
    this.#bytes -= topic.bytes;
    this.#cache.delete(topic.name);
  }

  #count(topic: StoredTopic, bytes: number): void {
    topic.bytes += bytes;
    this.#bytes += bytes;
  }

  #create(name: string): StoredTopic | undefined {
    const rule = this.#options.rules.of(name);
    if (!rule.keepsHistory) return undefined;
    const bytes = TOPIC_BYTES + 2 * Buffer.byteLength(name);
    const row = this.#sql.create.values(name, this.#epoch, bytes, this.#clock.ms)[0] as TopicRow;
    this.#bytes += bytes;
    return this.#cache.add(this.#from(row));
  }

  #get(name: string): StoredTopic | undefined {
    const known = this.#cache.get(name);
    if (known !== undefined) return known;
    const row = this.#first<TopicRow>(this.#sql.topic, name);
    return row && this.#cache.add(this.#from(row));
  }

  #from([id, name, epoch, top, first, bytes]: TopicRow): StoredTopic {
    const rule = this.#options.rules.of(name);
    return {
      ...{ id, name, epoch, rule, top, first, bytes },
      delivered: top,
      oldest: this.#oldest(id),
    };
  }

  #oldest(id: number): StoredTopic["oldest"] {
    const found = this.#first<[number, number]>(this.#sql.oldest, id);
    return found && { offset: found[0], time: found[1] };
  }

  #first<Found>(statement: Statement, ...given: (string | number)[]): Found | undefined {
    return statement.values(...given)[0] as Found | undefined;
  }
}
