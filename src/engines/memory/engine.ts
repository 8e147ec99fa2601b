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
import type { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { nameOf } from "../idempotency-key";
import type { EngineOptions } from "../options";
import { MemoryGroups } from "./groups";
import { Histories } from "./history";
import { IdempotencyCache } from "./idempotency";
import { MemoryRegistrations } from "./registrations";

/** Healthy from `start` to `close`. */
export class MemoryEngine implements LocalEngine {
  readonly registrations: Registrations;
  readonly groups: Groups;
  readonly #histories: Histories;
  readonly #idempotency: IdempotencyCache;
  readonly #registrations: MemoryRegistrations;
  readonly #groups: MemoryGroups;
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
    this.#groups = new MemoryGroups(options);
    this.groups = this.#groups.of("", {
      groupChanged: (change) => this.#events?.groupChanged(change),
      memberAbsent: (group, name) => this.#events?.memberAbsent(group, name),
    });
  }

  get historyBytes(): number {
    return this.#histories.bytes;
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
    this.#groups.expire();
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
