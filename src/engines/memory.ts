// The engine of a single process: nothing leaves it and nothing outlives it.
// A publication is delivered before its publish returns, so order is the order of the calls.
import {
  type Deliver,
  type Engine,
  EngineUnavailable,
  type Page,
  type Range,
} from "../relay/engine";
import type { Refusal } from "../relay/errors";
import type { Publication, Published } from "../relay/publication";
import { Answers } from "./answers";
import { History } from "./history";
import type { EngineOptions } from "./options";

/** Healthy from `start` to `close`. */
export class MemoryEngine implements Engine {
  readonly name = "memory";
  readonly #history: History;
  readonly #answers: Answers;
  #deliver: Deliver | undefined;

  constructor(options: EngineOptions) {
    const { rules, now, newEpoch } = options;
    this.#history = new History({ rules, now, newEpoch, bytes: options.historyBytes });
    this.#answers = new Answers({ ms: options.idempotencyMs, max: options.idempotencyMax, now });
  }

  start(deliver: Deliver): void {
    this.#deliver = deliver;
  }

  publish(publication: Publication, key?: string): Published | Refusal {
    if (this.#deliver === undefined) throw new EngineUnavailable("not started");
    if (key !== undefined) {
      const answer = this.#answers.recall(publication, key);
      if (answer !== undefined) return answer;
    }
    const numbered = this.#history.append(publication);
    const { offset, epoch } = numbered;
    const delivered = this.#deliver(numbered);
    const published =
      offset === undefined || epoch === undefined ? { delivered } : { delivered, offset, epoch };
    if (key !== undefined) this.#answers.remember(publication, key, published);
    return published;
  }

  history(topic: string, range: Range): Page {
    if (this.#deliver === undefined) throw new EngineUnavailable("not started");
    return this.#history.read(topic, range);
  }

  forget(topic: string): undefined {
    this.#history.forget(topic);
  }

  sweep(): void {
    this.#history.sweep();
    this.#answers.forget();
  }

  healthy(): boolean {
    return this.#deliver !== undefined;
  }

  close(): void {
    this.#deliver = undefined;
  }
}
