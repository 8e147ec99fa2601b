// What waits to be told to one receiver, in a queue of the engine, so that it outlives the processes that an engine outlives. Any node adds to it.
// What there is no room for is counted, and the receiver is told how many events are missing where they are.
import { hash } from "node:crypto";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { type Maybe, then } from "../../relay/contracts/maybe";
import type { Queues } from "../../relay/contracts/store";
import type { HookReceiver } from "./receiver";

/** Events that are kept here while the engine cannot be reached. */
const PENDING_MAX = 10_000;

/** Events of one call to the engine. */
const ADDED_MAX = 500;

interface HookQueueOptions {
  readonly receiver: HookReceiver;
  readonly queues: Queues;
  /** How many events may wait in it. */
  readonly max: number;
  /** So many events will never be told. */
  readonly onLost: (count: number) => void;
}

export class HookQueue {
  /** The same for a receiver in every process. */
  readonly name: string;
  readonly receiver: HookReceiver;
  readonly #queues: Queues;
  readonly #max: number;
  readonly #onLost: (count: number) => void;
  /** What waits until the engine can be reached. */
  #pending: string[] = [];
  /** How many events had no room since the receiver was last told of such. */
  #lost = 0;
  #flushing: Promise<void> | undefined;

  constructor({ receiver, queues, max, onLost }: HookQueueOptions) {
    this.receiver = receiver;
    this.name = `webhooks ${hash("sha256", receiver.url).slice(0, 32)}`;
    this.#queues = queues;
    this.#max = max;
    this.#onLost = onLost;
  }

  /** Resolves when the text is in the queue, or has found no room there; rejects with EngineUnavailable. */
  add(text: string): Maybe<undefined> {
    // What waits is older.
    if (this.#pending.length > 0) return this.#flush().then(() => this.add(text));
    return this.#append([entryOf(text)]);
  }

  /** Adds the text as soon as that is possible. */
  push(text: string): void {
    if (this.#pending.length > 0) {
      this.#keep([entryOf(text)]);
      return;
    }
    const entry = entryOf(text);
    try {
      const added = this.#append([entry]);
      if (added instanceof Promise) added.catch((error) => this.#failed([entry], error));
    } catch (error) {
      this.#failed([entry], error);
    }
  }

  /** To be called about once a second: adds what waits for the engine, and what the receiver must know is missing. Never rejects. */
  async tick(): Promise<void> {
    if (this.#pending.length > 0 || this.#lost > 0) await this.#flush().catch(() => {});
  }

  /** Adds what waits for the engine; whoever calls meanwhile waits for the same. */
  #flush(): Promise<void> {
    this.#flushing ??= this.#addPending().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #addPending(): Promise<void> {
    while (this.#pending.length > 0) {
      const some = this.#pending.slice(0, ADDED_MAX);
      await this.#append(some);
      this.#pending.splice(0, some.length);
    }
    if (this.#lost > 0) await this.#append([]);
  }

  #append(entries: readonly string[]): Maybe<undefined> {
    const lost = this.#lost;
    const gap = lost > 0 ? this.receiver.lostTextOf(lost) : undefined;
    this.#lost = 0;
    const all = gap === undefined ? entries : [entryOf(gap), ...entries];
    const restore = () => {
      this.#lost += gap === undefined ? 0 : lost;
    };
    let added: Maybe<number>;
    try {
      added = all.length === 0 ? 0 : this.#queues.append(this.name, all, this.#max);
    } catch (error) {
      restore();
      throw error;
    }
    if (added instanceof Promise) added.catch(restore);
    return then(added, (count) => {
      if (gap !== undefined && count === 0) restore();
      const missing = Math.min(entries.length, all.length - count);
      if (missing > 0) this.#lose(missing);
      return undefined;
    });
  }

  #failed(entries: readonly string[], error: unknown): void {
    if (!(error instanceof EngineUnavailable)) throw error;
    this.#keep(entries);
  }

  #keep(entries: readonly string[]): void {
    if (this.#pending.length + entries.length <= PENDING_MAX) this.#pending.push(...entries);
    else this.#lose(entries.length);
  }

  #lose(count: number): void {
    this.#lost += count;
    this.#onLost(count);
  }
}

/**
 * The Unix time in ms by a clock that nobody sets: that of the start of this process and what has passed since. So a clock that is put
 * right makes no event old.
 */
export function steadyTime(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

/** A text with the time at which it was to be told. */
function entryOf(text: string): string {
  return `${steadyTime()} ${text}`;
}

/** What an entry of a queue says. */
export function readEntry(entry: string): { readonly text: string; readonly at: number } {
  const end = entry.indexOf(" ");
  return { at: Number(entry.slice(0, end)), text: entry.slice(end + 1) };
}
