// The engine of a single process: nothing leaves it and nothing outlives it.
// A publication is delivered before its publish returns, so order is the order of the calls.
import {
  type EngineEvents,
  EngineUnavailable,
  type HistoryPage,
  type HistoryRange,
  type LocalEngine,
  type Registrations,
} from "../../relay/contracts/engine";
import type { Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import type { EngineOptions } from "../options";
import { History } from "./history";
import { IdempotencyCache } from "./idempotency";
import { MemoryRegistrations } from "./registrations";

/** Healthy from `start` to `close`. */
export class MemoryEngine implements LocalEngine {
  readonly name = "memory";
  readonly #history: History;
  readonly #answers: IdempotencyCache;
  readonly #directory: MemoryRegistrations;
  readonly registrations: Registrations;
  #events: EngineEvents | undefined;

  constructor(options: EngineOptions) {
    const { rules, now, newEpoch } = options;
    this.#history = new History({ rules, now, newEpoch, bytes: options.historyBytes });
    this.#answers = new IdempotencyCache({
      ms: options.idempotencyMs,
      max: options.idempotencyMax,
      now,
    });
    this.#directory = new MemoryRegistrations(options);
    this.registrations = this.#directory.of("");
  }

  start(events: EngineEvents): void {
    this.#events = events;
  }

  publish(publication: Publication, key?: string): Published | Refusal {
    if (this.#events === undefined) throw new EngineUnavailable("not started");
    if (key !== undefined) {
      const answer = this.#answers.recall(publication, key);
      if (answer !== undefined) return answer;
    }
    const numbered = this.#history.append(publication);
    const { offset, epoch } = numbered;
    const delivered = this.#events.deliver(numbered);
    const published =
      offset === undefined || epoch === undefined ? { delivered } : { delivered, offset, epoch };
    if (key !== undefined) this.#answers.remember(publication, key, published);
    return published;
  }

  history(topic: string, range: HistoryRange): HistoryPage {
    if (this.#events === undefined) throw new EngineUnavailable("not started");
    return this.#history.read(topic, range);
  }

  forget(topic: string): undefined {
    this.#history.forget(topic);
  }

  registrationsOf(node: string): Registrations {
    return this.#directory.of(node);
  }

  releaseAll(node: string): void {
    this.#directory.releaseAll(node);
  }

  follow(): void {}

  unfollow(): void {}

  sendToNodes(): number {
    return 0;
  }

  sweep(): void {
    this.#history.sweep();
    this.#answers.forget();
    this.#directory.expire();
  }

  healthy(): boolean {
    return this.#events !== undefined;
  }

  close(): void {
    this.#events = undefined;
  }
}
