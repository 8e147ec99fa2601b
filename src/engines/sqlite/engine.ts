// The engine that is durable on one machine: what it has acknowledged is in a file, and outlives the process.
// What is published in one turn of the loop is one transaction; it is delivered and answered after its commit.
import { SQLiteError } from "bun:sqlite";
import {
  type EngineEvents,
  EngineUnavailable,
  type HistoryPage,
  type HistoryRange,
  type LocalEngine,
  type Registrations,
} from "../../relay/contracts/engine";
import { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { IdempotencyCache } from "../memory/idempotency";
import type { EngineOptions } from "../options";
import { SqliteFile } from "./file";
import { SqliteIdempotency } from "./idempotency";
import { SqliteRegistrations } from "./registrations";
import { SqliteTopics } from "./topics";
import { WallClock } from "./wall-clock";

/** What one transaction takes at most: below about 20 ms. The rest goes into the next turn's. */
const BATCH_JOBS = 2_000;
const BATCH_CHARACTERS = 4_194_304;
/** Pauses between attempts to write after a failure: doubled up to the longest, in ms. */
const PROBE_MS = 1_000;
const PROBE_MAX_MS = 16_000;

/** Work that waits for the next transaction. */
interface Job {
  readonly characters: number;
  /** Within the transaction. */
  write(): void;
  /** After its commit. Never throws. */
  done(): void;
  failed(error: Error): void;
}

/** An answer whose count is filled in when it was delivered. */
type Counted = { -readonly [Name in keyof Published]: Published[Name] };

/** What `start` opens. */
interface Opened {
  readonly file: SqliteFile;
  readonly topics: SqliteTopics;
  readonly answers: SqliteIdempotency;
}

/** Healthy from `start` to `close`, but after a write that failed, until one succeeds. */
export class SqliteEngine implements LocalEngine {
  readonly name = "sqlite";
  readonly registrations: Registrations;
  readonly #registrations: SqliteRegistrations;
  readonly #options: EngineOptions;
  readonly #path: string;
  readonly #wall: () => number;
  readonly #answers: IdempotencyCache;
  #opened: Opened | undefined;
  #events: EngineEvents | undefined;
  #queue: Job[] = [];
  #scheduled = false;
  #failure: { readonly error: EngineUnavailable; pauseMs: number; probeAt: number } | undefined;

  /** The file at `path` is opened by `start`. `wall` is the time of day, in ms since 1970. */
  constructor(options: EngineOptions, path: string, wall: () => number = Date.now) {
    this.#options = options;
    this.#path = path;
    this.#wall = wall;
    const { idempotencyMs, idempotencyMax, now } = options;
    this.#answers = new IdempotencyCache({ ms: idempotencyMs, max: idempotencyMax, now });
    this.#registrations = new SqliteRegistrations(options, (work) => this.#later(work));
    this.registrations = this.#registrations.of("");
  }

  /** The file while it is open, for tests. */
  get file(): SqliteFile | undefined {
    return this.#opened?.file;
  }

  /** Rejects with an Error of one sentence when the file cannot be used. */
  async start(events: EngineEvents): Promise<void> {
    this.#opened = await SqliteFile.open(this.#path, (file) => this.#open(file));
    this.#events = events;
  }

  publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    const { promise, resolve, reject } = Promise.withResolvers<Published | Refusal>();
    const { topics, answers } = this.#ready();
    let numbered: Publication | undefined;
    let answer: Counted | Refusal;
    this.#enqueue({
      characters: publication.data.length,
      write: () => {
        const known = key === undefined ? undefined : this.#answers.recall(publication, key);
        if (known !== undefined) {
          answer = known;
          return;
        }
        numbered = topics.append(publication);
        const { offset, epoch } = numbered;
        const counted: Counted = offset === undefined ? { delivered: 0 } : { delivered: 0, offset };
        if (epoch !== undefined) counted.epoch = epoch;
        answer = counted;
        if (key === undefined) return;
        // From here on the same key in this transaction gets this answer.
        const remembered = this.#answers.remember(publication, key, counted);
        answers.add(publication, key, counted, remembered);
      },
      done: () => {
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
        if (numbered !== undefined && key !== undefined) this.#answers.retract(publication, key);
        reject(error);
      },
    });
    return promise;
  }

  history(topic: string, range: HistoryRange): HistoryPage {
    const { topics } = this.#needOpened();
    try {
      return topics.read(topic, range);
    } catch (error) {
      throw this.#isOurs(error) ? error : unavailable(error);
    }
  }

  async forget(topic: string): Promise<undefined> {
    const { topics } = this.#ready();
    await this.#later(() => topics.forget(topic));
  }

  registrationsOf(node: string): Registrations {
    return this.#registrations.of(node);
  }

  releaseAll(node: string): void {
    this.#registrations.releaseAll(node);
  }

  follow(): void {}

  unfollow(): void {}

  sendToNodes(): number {
    return 0;
  }

  /** Removes what is too old, in small steps, and tries to write again after a failure. */
  sweep(): void {
    this.#answers.forget();
    this.#registrations.expire();
    if (this.#opened === undefined) return;
    const { file, topics, answers } = this.#opened;
    try {
      if (this.#failure !== undefined) {
        if (this.#options.now() < this.#failure.probeAt) return;
        file.probe();
        this.#failure = undefined;
      }
      const due = topics.due();
      if (due.length > 0 || topics.isFull || answers.isDue || this.#registrations.isDue) {
        file.write(() => {
          topics.sweep(due);
          answers.sweep();
          this.#registrations.settle();
        });
        this.#committed();
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
    const { now, rules, historyBytes, newEpoch } = this.#options;
    const newest = file.prepare("SELECT max(used) FROM topics").values()[0] as [number | null];
    const clock = new WallClock(now, this.#wall(), newest[0] ?? 0);
    const topics = new SqliteTopics(file, clock, { rules, newEpoch, bytes: historyBytes });
    const answers = new SqliteIdempotency(file, clock, this.#answers);
    this.#registrations.open(file);
    return { file, topics, answers };
  }

  #needOpened(): Opened {
    if (this.#opened === undefined) throw new EngineUnavailable("not started");
    return this.#opened;
  }

  #ready(): Opened {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#needOpened();
  }

  async #later(write: () => void): Promise<void> {
    this.#ready();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#enqueue({ characters: 0, write, done: resolve, failed: reject });
    return promise;
  }

  #enqueue(job: Job): void {
    this.#queue.push(job);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#commit();
      this.#schedule();
    });
  }

  /** One transaction with what waits, as much as fits; then delivers and answers. */
  #commit(): void {
    if (this.#opened === undefined) return;
    const { file, topics, answers } = this.#opened;
    const batch = this.#take();
    try {
      file.write(() => {
        for (const job of batch) job.write();
        topics.settle();
        answers.settle();
        this.#registrations.settle();
      });
    } catch (error) {
      this.#fail(error);
      const all = [...batch, ...this.#queue];
      this.#queue = [];
      const failure = this.#isOurs(error) ? (error as Error) : unavailable(error);
      for (const job of all) job.failed(failure);
      return;
    }
    this.#committed();
    for (const job of batch) job.done();
  }

  #take(): Job[] {
    let characters = 0;
    let count = 0;
    for (const job of this.#queue) {
      if (count >= BATCH_JOBS || characters > BATCH_CHARACTERS) break;
      characters += job.characters;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #committed(): void {
    this.#opened?.topics.committed();
    this.#registrations.committed();
  }

  /** The transaction was undone. */
  #fail(error: unknown): void {
    this.#opened?.topics.rolledBack();
    this.#opened?.answers.rolledBack();
    if (this.#isOurs(error)) return;
    const last = this.#failure?.pauseMs;
    const pauseMs = last === undefined ? PROBE_MS : Math.min(2 * last, PROBE_MAX_MS);
    const probeAt = this.#options.now() + pauseMs;
    this.#failure = { error: unavailable(error), pauseMs, probeAt };
  }

  /** Whether it is a fault in the code, and not the file's. */
  #isOurs(error: unknown): boolean {
    return !(error instanceof SQLiteError);
  }
}

function unavailable(error: unknown): EngineUnavailable {
  const { code, message } = error as Error & { code?: string };
  return new EngineUnavailable(`the file of the engine: ${message} (${code ?? "no code"})`);
}
