// Tells one receiver over HTTP what waits in its queue: in the order of the queue, several events in a request, again and again until
// it takes them or they are too old. Only the node that leads sends. What was taken is removed afterwards, so a request whose answer
// came too late, or whose node died, is sent again.
import type { Log } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import type { Queues } from "../../relay/contracts/store";
import { type CallerOptions, type Failure, HookCaller } from "./caller";
import { readEntry, steadyTime } from "./queue";
import type { HookReceiver } from "./receiver";

/** The pause after a failed attempt. It is doubled after each further one, up to the longest, and made up to a fifth longer at random. */
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 60_000;

/** Events, and characters of them, in one request. One event may be longer. */
const BATCH_MAX = 100;
const BATCH_CHARACTERS_MAX = 1_048_576;

/** The statuses that say something about the request or its receiver (RFC 9110, 15.5.11 and 15.5.14). */
const GONE = 410;
const TOO_LARGE = 413;

/**
 * What is too old is given up only after pauses of this length together: what waited while the relay was away has a chance though its
 * receiver is back a moment later.
 */
const TRIED_MS = 120_000;

/** How long the first event waits for others that happen with it. */
const GATHER_MS = 10;

/** How long a sender that is stopped tries to tell what waits. */
const STOP_MS = 4_000;

interface HookSenderOptions extends Omit<CallerOptions, "url"> {
  readonly receiver: HookReceiver;
  readonly queue: { readonly name: string };
  readonly queues: Queues;
  /** Whether this node still leads. */
  readonly leads: () => Promise<boolean>;
  readonly log: Log;
  /** So many were told, or never will be. */
  readonly onDone: (outcome: "sent" | "givenUp", count: number) => void;
  /** In place of the clock and randomness, for tests. */
  readonly now?: () => number;
  readonly after?: (ms: number, work: () => void) => void;
  readonly random?: () => number;
}

interface WaitingEvent {
  readonly number: number;
  readonly text: string;
  readonly at: number;
}

export class HookSender {
  readonly #options: HookSenderOptions;
  readonly #caller: HookCaller;
  readonly #now: () => number;
  readonly #after: NonNullable<HookSenderOptions["after"]>;
  /** What is under way: it is tried again as it was, so that its receiver can tell that it is the same. */
  #batch: readonly WaitingEvent[] = [];
  /** How many are read at once: fewer where they are long. */
  #limit = BATCH_MAX;
  /** How many characters of events a request has: fewer where the receiver takes no larger one. */
  #charactersMax = BATCH_CHARACTERS_MAX;
  #state: "idle" | "sending" | "stopping" | "stopped" = "idle";
  /** The last pause, and all since the receiver has last taken something. */
  #pauseMs = 0;
  #pausedMs = 0;
  /** Ends the wait that is under way. */
  #goOn: () => void = () => {};
  /** What is under way; settled otherwise. */
  #running = Promise.resolve();
  /** Whether the receiver has said that it is not there any more. */
  #isGone = false;
  /** How many events wait, as far as this node knows; 0 where another one leads. */
  waiting = 0;

  constructor(options: HookSenderOptions) {
    this.#options = options;
    const { receiver, now, after } = options;
    this.#caller = new HookCaller({ ...options, url: receiver.url });
    this.#now = now ?? steadyTime;
    this.#after = after ?? ((ms, work) => void setTimeout(work, ms).unref());
  }

  /** To be called when this node leads and something may wait, as often as you like. */
  wake(): void {
    if (this.#state !== "idle") return;
    this.#state = "sending";
    this.#running = this.#wait(GATHER_MS).then(() => this.#run());
  }

  /** For how long the oldest event has waited that this node could not tell; 0 where there is none. */
  get lateMs(): number {
    const [oldest] = this.#batch;
    return oldest === undefined ? 0 : Math.max(0, this.#now() - oldest.at);
  }

  /** Looks how many events wait. Never rejects. */
  async count(): Promise<void> {
    await this.#size().catch(() => {});
  }

  /** Another node leads. */
  rest(): void {
    this.#batch = [];
    this.#succeeded();
    this.waiting = 0;
  }

  /** Tries once more to tell what waits, for a few seconds. */
  async stop(): Promise<void> {
    const wasSending = this.#state === "sending";
    this.#state = "stopping";
    if (this.waiting === 0 && !wasSending) return;
    this.#goOn();
    // What its receiver is just taking is not sent beside that once more.
    const told = this.#running.then(() => this.#tellRest());
    const isOver = new Promise<void>((resolve) => this.#after(STOP_MS, resolve));
    await Promise.race([told, isOver]);
    this.#state = "stopped";
    if (this.waiting === 0) return;
    this.#options.log.warn(
      `${this.#caller.origin} was not told of ${this.waiting} events, which wait for the next start unless BATON_ENGINE is memory`,
    );
  }

  async #tellRest(): Promise<void> {
    try {
      let left = await this.#size();
      while (left > 0 && this.#state === "stopping" && (await this.#options.leads())) {
        const batch = await this.#next();
        if (batch.length === 0 || (await this.#attempt(batch)) !== undefined) break;
        await this.#done(batch, "sent");
        left -= batch.length;
      }
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
    }
  }

  async #run(): Promise<void> {
    try {
      if ((await this.#size()) === 0) return;
      while (this.#state === "sending") {
        if (!(await this.#options.leads())) {
          // What was counted since is another node's to tell.
          this.rest();
          break;
        }
        const batch = await this.#next();
        if (batch.length === 0) break;
        if (this.#isGone) {
          await this.#done(batch, "givenUp");
          continue;
        }
        const failed = await this.#attempt(batch);
        if (failed !== undefined) await this.#failed(batch, failed);
        else {
          this.#succeeded();
          await this.#done(batch, "sent");
        }
      }
    } catch (error) {
      // What was told and could not be removed is told again.
      this.#batch = [];
      if (!(error instanceof EngineUnavailable)) throw error;
    } finally {
      if (this.#state === "sending") this.#state = "idle";
    }
  }

  async #size(): Promise<number> {
    const { queues, queue } = this.#options;
    this.waiting = await queues.size(queue.name);
    return this.waiting;
  }

  /** The oldest events, or those that were tried last. */
  async #next(): Promise<readonly WaitingEvent[]> {
    if (this.#batch.length > 0) return this.#batch;
    const { queues, queue } = this.#options;
    const entries = await queues.first(queue.name, this.#limit);
    if (entries.length === 0) this.waiting = 0;
    let characters = 0;
    const batch: WaitingEvent[] = [];
    for (const { number, entry } of entries) {
      const event = { number, ...readEntry(entry) };
      characters += event.text.length;
      if (batch.length > 0 && characters > this.#charactersMax) break;
      batch.push(event);
    }
    this.#limit = Math.min(BATCH_MAX, Math.max(1, 2 * batch.length));
    this.#batch = batch;
    return batch;
  }

  #attempt(batch: readonly WaitingEvent[]): Promise<Failure | undefined> {
    return this.#caller.post(this.#options.receiver.requestOf(batch.map(({ text }) => text)));
  }

  #succeeded(): void {
    this.#pauseMs = 0;
    this.#pausedMs = 0;
  }

  async #failed(batch: readonly WaitingEvent[], failed: Failure): Promise<void> {
    const { log } = this.#options;
    if (failed.status === GONE) {
      this.#isGone = true;
      log.error(
        `${this.#caller.origin} does not want webhooks any more (status 410): until the relay starts again, it is told nothing`,
      );
      return;
    }
    if (failed.status === TOO_LARGE && batch.length > 1) {
      this.#charactersMax = charactersOf(batch) / 2;
      this.#batch = [];
      return;
    }
    const old = this.#pausedMs < TRIED_MS ? [] : this.#oldOf(batch);
    if (old.length > 0) await this.#giveUp(old, failed.problem);
    else if (this.#pauseMs === 0) {
      log.warn(
        `${this.#caller.origin} does not take webhooks, which are tried again: ${failed.problem}`,
      );
    }
    await this.#pause(failed.pauseMs);
    if (this.#state === "sending") await this.#size();
  }

  /** The first of these, which happened too long ago. */
  #oldOf(batch: readonly WaitingEvent[]): readonly WaitingEvent[] {
    const oldest = this.#now() - this.#options.receiver.ageMaxMs;
    const firstYoung = batch.findIndex(({ at }) => at > oldest);
    return firstYoung < 0 ? batch : batch.slice(0, firstYoung);
  }

  /** Longer than the last time, and at least as long as the receiver asks for. */
  async #pause(askedMs: number): Promise<void> {
    const { random = Math.random } = this.#options;
    this.#pauseMs = Math.min(PAUSE_MAX_MS, Math.max(PAUSE_MS, 2 * this.#pauseMs));
    const pauseMs = Math.max(askedMs, this.#pauseMs * (1 + random() / 5));
    this.#pausedMs += pauseMs;
    await this.#wait(pauseMs);
  }

  /** Shorter once this is being stopped. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#goOn = resolve;
      if (this.#state === "sending") this.#after(ms, resolve);
      else resolve();
    });
  }

  async #giveUp(events: readonly WaitingEvent[], problem: string): Promise<void> {
    await this.#done(events, "givenUp");
    this.#options.log.error(
      `${this.#caller.origin} was not told of ${events.length} events: ${problem}`,
    );
  }

  /** These are the first of the queue. */
  async #done(events: readonly WaitingEvent[], outcome: "sent" | "givenUp"): Promise<void> {
    const { queues, queue, onDone } = this.#options;
    const last = events.at(-1)?.number;
    if (last === undefined) return;
    this.#batch = this.#batch.slice(events.length);
    await queues.removeUpTo(queue.name, last);
    this.waiting = Math.max(0, this.waiting - events.length);
    onDone(outcome, events.length);
  }
}

function charactersOf(batch: readonly WaitingEvent[]): number {
  return batch.reduce((sum, { text }) => sum + text.length, 0);
}
