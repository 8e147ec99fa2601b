// The engine that keeps everything in the memory of one process: nothing leaves it, and nothing outlives it.
// A publication is delivered before its publish returns, so publications are delivered in the order of the calls.
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
import type { EngineOptions } from "../options";
import { checkRecords, isAbove, RecordConflicts } from "../source-records";
import { StoreSize } from "../store-size";
import { MemoryGroups } from "./groups";
import { Histories } from "./history";
import { IdempotencyCache } from "./idempotency";
import { MemoryQueues } from "./queues";
import { MemoryRecords } from "./records";
import { MemoryRegistrations } from "./registrations";

/** Healthy from `start` to `close`. */
export class MemoryEngine implements LocalEngine {
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly records: Records;
  readonly queues: Queues;
  readonly #histories: Histories;
  readonly #idempotency: IdempotencyCache;
  readonly #registrations: MemoryRegistrations;
  readonly #groups: MemoryGroups;
  readonly #size: StoreSize;
  readonly #records: MemoryRecords;
  /** The last position of each partition. */
  readonly #positions = new Map<string, string>();
  readonly #conflicts: RecordConflicts;
  #events: EngineEvents | undefined;

  constructor(options: EngineOptions) {
    const { rules, now, newEpoch, warn, historyBytes, idempotencyMs, idempotencyMax } = options;
    this.#histories = new Histories({ rules, now, newEpoch, bytesMax: historyBytes });
    this.#idempotency = new IdempotencyCache({
      ttlMs: idempotencyMs,
      keysMax: idempotencyMax,
      now,
      warn,
    });
    this.#registrations = new MemoryRegistrations(options);
    this.registrations = this.#registrations.of("");
    this.#groups = new MemoryGroups();
    this.groups = this.#groups.of("", {
      groupChanged: (change) => this.#events?.groupChanged(change),
    });
    this.#size = new StoreSize(options.storeBytes);
    this.#records = new MemoryRecords(now, this.#size);
    this.records = this.#records;
    this.queues = new MemoryQueues(this.#size);
    this.#conflicts = new RecordConflicts(options);
  }

  get historyBytes(): number {
    return this.#histories.bytes;
  }

  get storeBytes(): number {
    return this.#size.bytes;
  }

  start(events: EngineEvents): void {
    this.#events = events;
  }

  publish(publication: Publication, key?: string): Published | Refusal {
    const events = this.#started();
    const name = key === undefined ? undefined : nameOf(publication, key);
    if (name !== undefined) {
      const answer = this.#idempotency.recall(name, publication);
      if (answer !== undefined) return answer;
    }
    return this.#accept(events, publication, name);
  }

  publishRecords(partition: string, records: readonly SourceRecord[]): RecordsOutcome {
    const events = this.#started();
    checkRecords(records);
    let published = 0;
    let conflicts = 0;
    for (const { publication, position, key } of records) {
      let name: string | undefined;
      if (position !== undefined) {
        if (!isAbove(position, this.#positions.get(partition))) continue;
        // Before the delivery, so that a fault there does not publish it twice.
        this.#positions.set(partition, position);
      } else if (key !== undefined) {
        name = nameOf(publication, key);
        const answer = this.#idempotency.recall(name, publication);
        if (answer instanceof Refusal) conflicts++;
        if (answer !== undefined) continue;
      }
      this.#accept(events, publication, name);
      published++;
    }
    this.#conflicts.found(partition, conflicts);
    return { published, repeated: records.length - published };
  }

  positionOf(partition: string): string | undefined {
    this.#started();
    return this.#positions.get(partition);
  }

  /** Numbers, keeps and delivers a publication that is new. */
  #accept(events: EngineEvents, publication: Publication, name: string | undefined): Published {
    const numbered = this.#histories.append(publication);
    const { offset, epoch } = numbered;
    const delivered = events.deliver(numbered);
    const published =
      offset === undefined || epoch === undefined ? { delivered } : { delivered, offset, epoch };
    if (name !== undefined) this.#idempotency.remember(name, publication, published);
    return published;
  }

  history(topic: string, range: HistoryRange): HistoryPage {
    this.#started();
    return this.#histories.read(topic, range);
  }

  forget(topic: string): undefined {
    this.#histories.forget(topic);
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
    this.#histories.rulesChanged();
  }

  sweep(): void {
    this.#histories.expire();
    this.#idempotency.expire();
    this.#registrations.expire();
    this.#records.expire();
  }

  healthy(): boolean {
    return this.#events !== undefined;
  }

  close(): void {
    this.#events = undefined;
  }

  #started(): EngineEvents {
    if (this.#events === undefined) throw new EngineUnavailable("the engine is not running");
    return this.#events;
  }
}
