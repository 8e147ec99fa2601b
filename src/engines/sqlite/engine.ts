// The engine that is durable on one machine: what it has acknowledged is in a file and outlives the process.
// All that is published in one turn of the loop is one transaction, and is delivered and answered only after its commit.
import { SQLiteError } from "bun:sqlite";
import {
  type EngineEvents,
  EngineUnavailable,
  type GroupEvents,
  type Groups,
  type HistoryPage,
  type HistoryRange,
  type LocalEngine,
  type Registrations,
} from "../../relay/contracts/engine";
import { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import type { Queues, Records, RecordsOutcome, SourceRecord } from "../../relay/contracts/store";
import { nameOf } from "../idempotency-key";
import { MemoryGroups } from "../memory/groups";
import { IdempotencyCache } from "../memory/idempotency";
import type { EngineOptions } from "../options";
import { checkRecords, partsOf, RecordConflicts, sumOf } from "../source-records";
import { StoreSize } from "../store-size";
import { SqliteFile } from "./file";
import { SqliteIdempotency } from "./idempotency";
import { type Job, RecordsJob, SqlitePositions, type Uncounted, uncounted } from "./jobs";
import { SqliteQueues } from "./queues";
import { SqliteRecords } from "./records";
import { SqliteRegistrations } from "./registrations";
import { SqliteTopics } from "./topics";
import { WallClock } from "./wall-clock";

/** The most that one transaction takes, which then lasts less than about 20 ms. The rest goes into the next turn's. */
const BATCH_JOBS_MAX = 2_000;
const BATCH_CHARACTERS_MAX = 4_194_304;

/** Records of a source that are more than this go into several transactions. */
const RECORDS_CHARACTERS_MAX = 1_048_576;

/** The pause after a failed write before the next attempt. It is doubled after each further failure, up to the longest. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 16_000;

/** What `start` opens. */
interface Opened {
  readonly file: SqliteFile;
  readonly topics: SqliteTopics;
  readonly idempotency: SqliteIdempotency;
  readonly positions: SqlitePositions;
  readonly records: SqliteRecords;
  readonly queues: SqliteQueues;
  readonly size: StoreSize;
}

/** Healthy from `start` to `close`, except between a write that has failed and the next one that succeeds. */
export class SqliteEngine implements LocalEngine {
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly records: Records;
  readonly queues: Queues;
  readonly #registrations: SqliteRegistrations;
  readonly #groups: MemoryGroups;
  readonly #options: EngineOptions;
  readonly #path: string;
  readonly #wallClock: () => number;
  readonly #idempotency: IdempotencyCache;
  readonly #conflicts: RecordConflicts;
  #opened: Opened | undefined;
  #events: EngineEvents | undefined;
  #queue: Job[] = [];
  #isScheduled = false;
  #failure: { readonly error: EngineUnavailable; pauseMs: number; retryAt: number } | undefined;

  /** `start` opens the file at `path`. `wallClock` tells the time of day, in ms since 1970. */
  constructor(options: EngineOptions, path: string, wallClock: () => number = Date.now) {
    this.#options = options;
    this.#path = path;
    this.#wallClock = wallClock;
    const { idempotencyMs, idempotencyMax, now, warn } = options;
    this.#idempotency = new IdempotencyCache({
      ttlMs: idempotencyMs,
      keysMax: idempotencyMax,
      now,
      warn,
    });
    this.#registrations = new SqliteRegistrations(options, (work) => this.#write(work));
    this.registrations = this.#registrations.of("");
    this.#groups = new MemoryGroups();
    this.groups = this.#groups.of("", {
      groupChanged: (change) => this.#events?.groupChanged(change),
    });
    this.#conflicts = new RecordConflicts(options);
    this.records = {
      put: (...put) => this.#write(({ records }) => records.put(...put)),
      get: (...name) => this.#read(({ records }) => records.get(...name)),
      list: (set) => this.#read(({ records }) => records.list(set)),
      remove: (...name) => this.#write(({ records }) => records.remove(...name)),
    };
    this.queues = {
      append: (...entries) => this.#write(({ queues }) => queues.append(...entries)),
      first: (...range) => this.#read(({ queues }) => queues.first(...range)),
      removeUpTo: (...upTo) => this.#write(({ queues }) => queues.removeUpTo(...upTo)),
      size: (queue) => this.#read(({ queues }) => queues.size(queue)),
    };
  }

  /** Rejects with an Error of one sentence when the file cannot be used. */
  async start(events: EngineEvents): Promise<void> {
    this.#opened = await SqliteFile.open(this.#path, (file) => this.#open(file));
    this.#events = events;
  }

  get historyBytes(): number | undefined {
    return this.#opened?.topics.bytes;
  }

  get storeBytes(): number | undefined {
    return this.#opened?.size.bytes;
  }

  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    const { promise, resolve, reject } = Promise.withResolvers<Published | Refusal>();
    const { topics, idempotency } = this.#writable();
    const name = key === undefined ? undefined : nameOf(publication, key);
    let numbered: Publication | undefined;
    let answer: Uncounted | Refusal;
    this.#enqueue({
      characters: publication.data.length,
      write: () => {
        const known = name === undefined ? undefined : this.#idempotency.recall(name, publication);
        if (known !== undefined) {
          answer = known;
          return;
        }
        numbered = topics.append(publication);
        const published = uncounted(numbered);
        answer = published;
        if (name === undefined) return;
        // From here on the same key gets this answer, also within this transaction.
        idempotency.add(name, this.#idempotency.remember(name, publication, published));
      },
      committed: () => {
        if (numbered !== undefined && !(answer instanceof Refusal)) {
          try {
            answer.delivered = this.#events?.deliver(numbered) ?? 0;
          } catch (error) {
            reject(error);
          }
          topics.delivered(numbered);
        }
        resolve(answer);
      },
      failed: (error) => {
        if (numbered !== undefined && name !== undefined) this.#idempotency.retract(name);
        reject(error);
      },
    });
    return promise;
  }

  async publishRecords(
    partition: string,
    records: readonly SourceRecord[],
  ): Promise<RecordsOutcome> {
    checkRecords(records);
    const parts = {
      ...this.#writable(),
      cache: this.#idempotency,
      deliver: (publication: Publication) => void this.#events?.deliver(publication),
      conflicted: (name: string, count: number) => this.#conflicts.found(name, count),
    };
    const jobs = partsOf(records, RECORDS_CHARACTERS_MAX).map(
      (part) => new RecordsJob(parts, partition, part),
    );
    // When one fails, so do those after it: no later record may be published without an earlier one.
    for (const job of jobs) this.#enqueue(job);
    return sumOf(await Promise.all(jobs.map(({ outcome }) => outcome)));
  }

  positionOf(partition: string): string | undefined {
    return this.#read(({ positions }) => positions.get(partition));
  }

  history(topic: string, range: HistoryRange): HistoryPage {
    return this.#read(({ topics }) => topics.read(topic, range));
  }

  forget(topic: string): Promise<undefined> {
    return this.#write(({ topics }) => topics.forget(topic));
  }

  registrationsOf(node: string): Registrations {
    return this.#registrations.of(node);
  }

  groupsOf(node: string, events: GroupEvents): Groups {
    return this.#groups.of(node, events);
  }

  releaseAll(node: string): void {
    this.#registrations.releaseAll(node);
    this.#groups.releaseAll(node);
  }

  follow(): void {}

  unfollow(): void {}

  sendToNodes(): number {
    return 0;
  }

  rulesChanged(): void {
    this.#opened?.topics.rulesChanged();
  }

  /** Removes what is too old, in small steps, and tries to write again after a failure. */
  sweep(): void {
    this.#idempotency.expire();
    this.#registrations.expire();
    if (this.#opened === undefined) return;
    const { file, topics, idempotency, records } = this.#opened;
    try {
      if (this.#failure !== undefined) {
        if (this.#options.now() < this.#failure.retryAt) return;
        file.probe();
        this.#failure = undefined;
      }
      const expired = topics.expired();
      const isDue = [topics.isFull, idempotency.isDue, this.#registrations.isDue, records.isDue];
      if (expired.length > 0 || isDue.includes(true)) {
        file.write(() => {
          topics.expire(expired);
          idempotency.expire();
          records.expire();
          this.#registrations.beforeCommit();
        });
        this.#afterCommit();
      }
      file.shrink();
    } catch (error) {
      this.#fail(error);
    }
  }

  healthy(): boolean {
    return this.#opened !== undefined && this.#failure === undefined;
  }

  close(): void {
    if (this.#opened === undefined) return;
    while (this.#queue.length > 0) this.#commit();
    this.#opened.file.close();
    this.#opened = undefined;
  }

  #open(file: SqliteFile): Opened {
    const { now, rules, historyBytes, storeBytes, newEpoch } = this.#options;
    const newest = file.prepare("SELECT max(used) FROM topics").values()[0] as [number | null];
    const clock = new WallClock(now, this.#wallClock(), newest[0] ?? 0);
    const topics = new SqliteTopics(file, clock, { rules, newEpoch, bytesMax: historyBytes });
    const idempotency = new SqliteIdempotency(file, clock, this.#idempotency);
    this.#registrations.open(file);
    const size = new StoreSize(storeBytes);
    const records = new SqliteRecords(file, clock, size);
    const queues = new SqliteQueues(file, size);
    const positions = new SqlitePositions(file);
    return { file, topics, idempotency, positions, records, queues, size };
  }

  /** Throws unless the file is open. */
  #running(): Opened {
    if (this.#opened === undefined) throw new EngineUnavailable("the engine is not running");
    return this.#opened;
  }

  /** Throws unless the file is open and the last write succeeded. */
  #writable(): Opened {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#running();
  }

  /** Runs this at once. */
  #read<Value>(read: (opened: Opened) => Value): Value {
    const opened = this.#running();
    try {
      return read(opened);
    } catch (error) {
      throw isFileError(error) ? unavailable(error) : error;
    }
  }

  /** Runs this within the next transaction. Resolves after its commit; rejects, with nothing done, when that fails. */
  async #write<Value>(write: (opened: Opened) => Value): Promise<Value> {
    const opened = this.#writable();
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    let value: Value;
    this.#enqueue({
      characters: 0,
      write: () => {
        value = write(opened);
      },
      committed: () => resolve(value),
      failed: reject,
    });
    return promise;
  }

  #enqueue(job: Job): void {
    this.#queue.push(job);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#queue.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#commit();
      this.#schedule();
    });
  }

  /** Makes one transaction of what waits, as far as it fits, and then delivers and answers. */
  #commit(): void {
    if (this.#opened === undefined) return;
    const { file, topics, idempotency } = this.#opened;
    const jobs = this.#nextJobs();
    try {
      file.write(() => {
        for (const job of jobs) job.write();
        topics.beforeCommit();
        idempotency.beforeCommit();
        this.#registrations.beforeCommit();
      });
    } catch (error) {
      this.#fail(error);
      const all = [...jobs, ...this.#queue];
      this.#queue = [];
      const failure = isFileError(error) ? unavailable(error) : (error as Error);
      for (const job of all) job.failed(failure);
      return;
    }
    this.#afterCommit();
    for (const job of jobs) job.committed();
  }

  #nextJobs(): Job[] {
    let characters = 0;
    let count = 0;
    for (const job of this.#queue) {
      if (count >= BATCH_JOBS_MAX || characters > BATCH_CHARACTERS_MAX) break;
      characters += job.characters;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #afterCommit(): void {
    this.#opened?.topics.afterCommit();
    this.#opened?.size.commit();
    this.#registrations.afterCommit();
  }

  /** A transaction has failed and was undone. */
  #fail(error: unknown): void {
    this.#opened?.topics.afterRollback();
    this.#opened?.idempotency.afterRollback();
    this.#opened?.records.afterRollback();
    this.#opened?.queues.afterRollback();
    this.#opened?.size.rollback();
    if (!isFileError(error)) return;
    const last = this.#failure?.pauseMs;
    const pauseMs = last === undefined ? RETRY_MS : Math.min(2 * last, RETRY_MAX_MS);
    const retryAt = this.#options.now() + pauseMs;
    this.#failure = { error: unavailable(error), pauseMs, retryAt };
  }
}

/** Whether the file is to blame, and not a bug. */
function isFileError(error: unknown): boolean {
  return error instanceof SQLiteError;
}

function unavailable(error: unknown): EngineUnavailable {
  const { code, message } = error as Error & { code?: string };
  return new EngineUnavailable(`the engine's file has failed: ${message} (${code ?? "no code"})`);
}
