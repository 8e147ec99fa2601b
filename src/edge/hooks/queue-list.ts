// Which queues there are for receivers of webhooks, kept in the engine, so that those of receivers that are set no longer are emptied.
import type { Engine } from "../../relay/contracts/engine";

const SET = "webhook queues";
const KEPT = { max: 1_000, ttlMs: 31_536_000_000 };

/**
 * How long this node has led before it empties queues: while the nodes of a relay are replaced one after the other, one with the
 * settings of before may lead, and does not know a receiver that is new.
 */
export const SETTLED_MS = 600_000;

interface QueueListOptions {
  readonly engine: Pick<Engine, "queues" | "records">;
  /** The queues of the receivers that are set, and where those are, as the log may show it. */
  readonly origins: ReadonlyMap<string, string>;
  readonly now: () => number;
  /** So many events waited for one that is set no longer. */
  readonly onDropped: (count: number, origin: string) => void;
}

export class QueueList {
  readonly #options: QueueListOptions;
  #ledSince: number | undefined;
  #isListed = false;
  #isTidy = false;
  #isBusy = false;

  constructor(options: QueueListOptions) {
    this.#options = options;
  }

  /** Another node leads. */
  rest(): void {
    this.#ledSince = undefined;
    this.#isListed = false;
    this.#isTidy = false;
  }

  /** To be called about once a second while this node leads. Rejects with EngineUnavailable, and goes on with the next call. */
  async tend(): Promise<void> {
    if (this.#isBusy || this.#isTidy) return;
    this.#isBusy = true;
    try {
      const { now } = this.#options;
      this.#ledSince ??= now();
      const isSettled = now() - this.#ledSince >= SETTLED_MS;
      if (!this.#isListed) await this.#listOwn();
      this.#isListed = true;
      if (!isSettled) return;
      await this.emptyOthers();
      this.#isTidy = true;
    } finally {
      this.#isBusy = false;
    }
  }

  async #listOwn(): Promise<void> {
    const { engine, origins } = this.#options;
    for (const [name, origin] of origins) await engine.records.put(SET, name, origin, KEPT);
  }

  /** To be called by a node that leads. Rejects with EngineUnavailable. */
  async emptyOthers(): Promise<void> {
    const { records, queues } = this.#options.engine;
    for (const { name, value: origin } of await records.list(SET)) {
      if (this.#options.origins.has(name)) continue;
      const left = await queues.size(name);
      await queues.removeUpTo(name, Number.MAX_SAFE_INTEGER);
      await records.remove(SET, name);
      if (left > 0) this.#options.onDropped(left, origin);
    }
  }
}
