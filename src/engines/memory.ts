// The engine of a single process: nothing leaves it and nothing outlives it.
// A publication is delivered before its publish returns, so order is the order of the calls.
import { type Deliver, type Engine, EngineUnavailable } from "../relay/engine";
import type { Publication, Published } from "../relay/publication";

/** Keeps nothing and needs nothing; healthy from `start` to `close`. */
export class MemoryEngine implements Engine {
  readonly name = "memory";
  #deliver: Deliver | undefined;

  start(deliver: Deliver): void {
    this.#deliver = deliver;
  }

  publish(publication: Publication): Published {
    if (this.#deliver === undefined) throw new EngineUnavailable("not started");
    return { delivered: this.#deliver(publication) };
  }

  healthy(): boolean {
    return this.#deliver !== undefined;
  }

  close(): void {
    this.#deliver = undefined;
  }
}
