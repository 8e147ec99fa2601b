// An engine that answers later, in an order that the test chooses, as a remote engine may do.
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { EngineOptions } from "../../../src/engines/options";
import {
  type Engine,
  type EngineEvents,
  EngineUnavailable,
  type Groups,
  type HistoryPage,
  type HistoryRange,
  type Registrations,
} from "../../../src/relay/contracts/engine";
import type { Refusal } from "../../../src/relay/contracts/errors";
import type { Publication, Published } from "../../../src/relay/contracts/publication";
import type {
  Queues,
  Records,
  RecordsOutcome,
  SourceRecord,
} from "../../../src/relay/contracts/store";

/** Resolves when the test wants the step to happen that `what` names. */
type Wait = (what: string) => Promise<void>;

/** It numbers and delivers publications later, pages of history may be outdated when they arrive, and reads may fail. */
export class AsyncEngine implements Engine {
  readonly #kept: MemoryEngine;
  readonly #wait: Wait;
  /** How many of the next reads of history fail. */
  failures = 0;

  constructor(options: EngineOptions, wait: Wait) {
    this.#kept = new MemoryEngine(options);
    this.#wait = wait;
  }

  get groups(): Groups {
    return this.#kept.groups;
  }

  get records(): Records {
    return this.#kept.records;
  }

  get queues(): Queues {
    return this.#kept.queues;
  }

  get registrations(): Registrations {
    return this.#kept.registrations;
  }

  start(events: EngineEvents): void {
    this.#kept.start(events);
  }

  async publish(publication: Publication, key?: string): Promise<Published | Refusal> {
    await this.#wait("publish");
    return this.#kept.publish(publication, key);
  }

  async publishRecords(
    partition: string,
    records: readonly SourceRecord[],
  ): Promise<RecordsOutcome> {
    await this.#wait("publish");
    return this.#kept.publishRecords(partition, records);
  }

  positionOf(partition: string): string | undefined {
    return this.#kept.positionOf(partition);
  }

  async history(topic: string, range: HistoryRange): Promise<HistoryPage> {
    await this.#wait("read history");
    if (this.failures > 0) {
      this.failures--;
      throw new EngineUnavailable("as the test wants");
    }
    const page = this.#kept.history(topic, range);
    await this.#wait("answer with history");
    return page;
  }

  async forget(topic: string): Promise<undefined> {
    await this.#wait("forget");
    this.#kept.forget(topic);
  }

  follow(): void {}

  unfollow(): void {}

  sendToNodes(): number {
    return 0;
  }

  sweep(): void {
    this.#kept.sweep();
  }

  healthy(): boolean {
    return true;
  }

  close(): void {}
}
