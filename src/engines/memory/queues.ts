// Queues in this process's memory.
import type { QueueEntry, Queues } from "../../relay/contracts/store";
import type { StoreSize } from "../store-size";

/** What an entry takes besides its text. */
const ENTRY_BYTES = 100;

/** A queue's list is cut when its empty beginning is at least this long, and half of it. */
const EMPTY_HEAD_MIN = 64;

interface Queue {
  /** The oldest first, and nothing before `head`. */
  entries: (QueueEntry | undefined)[];
  head: number;
}

export class MemoryQueues implements Queues {
  readonly #size: StoreSize;
  readonly #queues = new Map<string, Queue>();
  /** Over all queues, so that none counts twice when it has been empty. */
  #lastNumber = 0;

  constructor(size: StoreSize) {
    this.#size = size;
  }

  append(name: string, entries: readonly string[], max: number): number {
    const queue = this.#queues.get(name) ?? { entries: [], head: 0 };
    let kept = 0;
    for (const entry of entries) {
      if (sizeOf(queue) >= max || !this.#size.take(cost(entry))) break;
      queue.entries.push({ number: ++this.#lastNumber, entry });
      kept++;
    }
    if (kept > 0) this.#queues.set(name, queue);
    return kept;
  }

  first(name: string, limit: number): readonly QueueEntry[] {
    const queue = this.#queues.get(name);
    if (queue === undefined) return [];
    return queue.entries.slice(queue.head, queue.head + limit) as QueueEntry[];
  }

  /** Cost: what is removed, and now and then what is left. */
  removeUpTo(name: string, number: number): undefined {
    const queue = this.#queues.get(name);
    if (queue === undefined) return;
    const { entries } = queue;
    for (
      let oldest = entries[queue.head];
      oldest !== undefined && oldest.number <= number;
      oldest = entries[queue.head]
    ) {
      this.#size.release(cost(oldest.entry));
      entries[queue.head++] = undefined;
    }
    if (queue.head === entries.length) this.#queues.delete(name);
    else if (queue.head >= EMPTY_HEAD_MIN && 2 * queue.head >= entries.length) {
      queue.entries = entries.slice(queue.head);
      queue.head = 0;
    }
  }

  size(name: string): number {
    const queue = this.#queues.get(name);
    return queue === undefined ? 0 : sizeOf(queue);
  }
}

function sizeOf({ entries, head }: Queue): number {
  return entries.length - head;
}

function cost(entry: string): number {
  return ENTRY_BYTES + 2 * entry.length;
}
