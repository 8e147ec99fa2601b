// Runs one source on this node, while no other node does: reads a batch, has the engine publish it, acknowledges it, reads the next. It never
// reads on while the engine is away, and gives nothing back: the batch waits, and memory has no more than that.
import type { Log } from "../log";
import { EngineUnavailable } from "../relay/contracts/engine";
import type { RecordsOutcome, SourceRecord } from "../relay/contracts/store";
import type { Leadership } from "../relay/state/leadership";
import { sanitized } from "../relay/text/visible";
import type { DeadRecord, InboundRecord, Reader, SourceContext, SourceKind } from "./contract";
import { type PublicationsOptions, type Sorted, sortedBatch } from "./publications";
import { SourceTally } from "./tally";

/** How often this node asks whether it is the one that reads, and how often it looks how much waits. */
const LEADERSHIP_MS = 1_000;
const LAG_MS = 5_000;

/** The first pause after a failure. It doubles with each, up to the longest, and is made shorter by up to a half. */
const PAUSE_MS = 250;
const PAUSE_MAX_MS = 15_000;

/** After so many failures in a row, another node may try. */
const FAILURES_MAX = 3;

/** The shortest time between two lines in the log about records that cannot be published. */
const DEAD_LOG_MS = 1_000;

interface RunnerOptions extends PublicationsOptions {
  readonly kind: SourceKind;
  readonly options: unknown;
  readonly context: SourceContext;
  readonly leadership: Pick<Leadership, "check" | "resign">;
  /** Publishes in the order of the calls. Rejects with EngineUnavailable. */
  readonly publish: (
    partition: string,
    records: readonly SourceRecord[],
  ) => Promise<RecordsOutcome>;
  readonly log: Log;
}

/** Ends what waits when the runner stops. */
class Stop {
  readonly #stopped = Promise.withResolvers<void>();
  isAsked = false;

  ask(): void {
    this.isAsked = true;
    this.#stopped.resolve();
  }

  /** Resolves after so long, or when the runner is to stop. */
  async pause(ms: number): Promise<void> {
    let timer: Timer | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([over, this.#stopped.promise]);
    clearTimeout(timer);
  }
}

export class Runner {
  readonly #options: RunnerOptions;
  readonly #stop = new Stop();
  #deadLoggedAt = Number.NEGATIVE_INFINITY;
  #deadUnlogged = 0;
  #reader: Reader | undefined;
  #running: Promise<void> | undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #lagAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  readonly tally = new SourceTally();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** From now on it reads, whenever no other node does. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when nothing of it is under way. What was read and not acknowledged will be read again. */
  async stop(): Promise<void> {
    this.#stop.ask();
    await this.#reader?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stop.isAsked) {
      if (await this.#leads()) await this.#readWhileLeading();
      else {
        this.tally.state = "waiting";
        await this.#stop.pause(LEADERSHIP_MS);
      }
    }
    this.#options.leadership.resign();
  }

  async #readWhileLeading(): Promise<void> {
    const { kind, options, context, log } = this.#options;
    try {
      if (this.tally.state === "waiting") this.tally.state = "opening";
      this.#reader = await kind.open(options as never, context);
      // It was opened while the runner was told to stop.
      if (this.#stop.isAsked) return;
      // One that has failed may fail again at once, as where a table is locked.
      if (this.tally.state !== "down") {
        log.info(`the source ${context.name} is read by this process`);
        this.tally.state = "reading";
      }
      this.#lagAt = Number.NEGATIVE_INFINITY;
      while (!this.#stop.isAsked && (await this.#leads())) await this.#turn(this.#reader);
    } catch (error) {
      if (!this.#stop.isAsked) await this.#failed(error as Error);
    } finally {
      await this.#reader?.close();
      this.#reader = undefined;
    }
  }

  /** One batch, from the source to the engine and back. */
  async #turn(reader: Reader): Promise<void> {
    const batch = await reader.read();
    if (this.tally.state === "down") {
      this.#options.log.info(`the source ${this.#options.context.name} is back`);
      this.tally.state = "reading";
    }
    if (batch.length > 0) {
      const { calls, dead, skipped } = sortedBatch(batch, this.#options);
      // A batch is published once, but may be read twice: only what is acknowledged counts as read.
      if (!(await this.#arePublished(calls))) return;
      await reader.acknowledge(dead);
      this.tally.read += batch.length;
      this.tally.skipped += skipped;
      this.#count(dead);
    }
    this.#failures = 0;
    const now = performance.now();
    if (now - this.#lagAt < LAG_MS) return;
    this.#lagAt = now;
    this.tally.lag = await reader.lag();
  }

  /** Publishes all, those of each partition in turn. False when this node is not to read any more. */
  async #arePublished(calls: Sorted["calls"]): Promise<boolean> {
    const partitions = [...Map.groupBy(calls, ({ partition }) => partition)];
    const settled = await Promise.allSettled(
      partitions.map(async ([partition, ofPartition]) => {
        for (const { records } of ofPartition) {
          const outcome = await this.#published(partition, records);
          if (outcome === undefined) return false;
          this.tally.published += outcome.published;
          this.tally.repeated += outcome.repeated;
        }
        return true;
      }),
    );
    // None of them goes on when the reader is closed.
    for (const one of settled) if (one.status === "rejected") throw one.reason;
    return settled.every((one) => one.status === "fulfilled" && one.value);
  }

  /** Tries until the engine has them. Undefined when this node is not to read any more. */
  async #published(
    partition: string,
    records: readonly SourceRecord[],
  ): Promise<RecordsOutcome | undefined> {
    const { publish, context } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await publish(`${context.name}/${partition}`, records);
      } catch (error) {
        if (!(error instanceof EngineUnavailable)) throw error;
        if (attempt === 1) {
          this.#options.log.warn(
            `the source ${context.name} waits, since the engine does not take its records: ${sanitized(error.message)}`,
          );
        }
        this.tally.state = "held";
      }
      await this.#stop.pause(pauseAfter(attempt));
      // While the engine is away nobody leads, and nobody else can publish either.
      if (this.#stop.isAsked) return undefined;
    }
  }

  #count(dead: readonly DeadRecord<InboundRecord>[]): void {
    this.tally.state = "reading";
    this.tally.dead += dead.length;
    const [first] = dead;
    if (first === undefined) return;
    const { record, reason } = first;
    const where = `${record.partition} ${record.position ?? record.key ?? ""}`.trim();
    this.#deadUnlogged += dead.length;
    const now = performance.now();
    if (now - this.#deadLoggedAt < DEAD_LOG_MS) return;
    this.#deadLoggedAt = now;
    const { context, log } = this.#options;
    log.warn(
      { code: reason.code, records: this.#deadUnlogged },
      `records of the source ${context.name} cannot be published and are in its dead-letter place, such as ${sanitized(where)}: ${sanitized(reason.message)}`,
    );
    this.#deadUnlogged = 0;
  }

  /** Asks at most once a second; what was true a moment ago still is, since reading twice does no harm. */
  async #leads(): Promise<boolean> {
    const now = performance.now();
    if (now - this.#checkedAt < LEADERSHIP_MS) return true;
    const leads = await this.#options.leadership.check();
    this.#checkedAt = leads ? now : Number.NEGATIVE_INFINITY;
    return leads;
  }

  /** The server has failed: the next attempt comes after a pause. */
  async #failed(error: Error): Promise<void> {
    const { context, leadership, log } = this.#options;
    this.#failures++;
    const isNews = this.tally.failure !== error.message || this.tally.state !== "down";
    this.tally.down(error.message);
    if (isNews) {
      log.warn(
        `the source ${context.name} cannot be read, trying again: ${sanitized(error.message)}`,
      );
    }
    // Another node may reach the server.
    if (this.#failures % FAILURES_MAX === 0) {
      leadership.resign();
      this.#checkedAt = Number.NEGATIVE_INFINITY;
    }
    await this.#stop.pause(pauseAfter(this.#failures));
  }
}

/** All nodes have lost a server at once, so each comes back at another moment. */
function pauseAfter(failures: number): number {
  const pause = Math.min(PAUSE_MS * 2 ** Math.min(failures - 1, 16), PAUSE_MAX_MS);
  return pause * (0.5 + Math.random() / 2);
}
