// What the receivers of webhooks are to be told: each has a queue in the engine, to which all nodes add and from which the node that
// leads sends.
import { type Log, throttledLog } from "../../log";
import { type Engine, EngineUnavailable } from "../../relay/contracts/engine";
import type { Maybe } from "../../relay/contracts/maybe";
import type { RelayEvent, Witness } from "../../relay/contracts/options";
import { Leadership } from "../../relay/state/leadership";
import { HookQueue } from "./queue";
import type { HookReceiver } from "./receiver";
import { HookSender } from "./sender";

/** How often the node that leads looks for what other nodes have added, and how often all ask whether they lead. */
const LOOK_MS = 250;
const CHECK_MS = 1_000;

/** The queues that there are, so that those of receivers that are set no longer are found. */
const QUEUES = "webhook queues";
const KEPT = { max: 1_000, ttlMs: 31_536_000_000 };

interface OutboxOptions {
  readonly engine: Pick<Engine, "groups" | "queues" | "records">;
  /** This node's name. */
  readonly node: string;
  readonly receivers: readonly HookReceiver[];
  /** How many events may wait for each. */
  readonly waitingMax: number;
  /** Whether they may have addresses of this machine and of private networks. */
  readonly addresses: "any" | "public";
  readonly log: Log;
}

/** One receiver: what waits for it, and who sends it. */
interface Line {
  readonly receiver: HookReceiver;
  readonly queue: HookQueue;
  readonly sender: HookSender;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #leadership: Leadership;
  readonly #lines: readonly Line[];
  readonly #counts = { sent: 0, givenUp: 0 };
  #leads = false;
  #looking: Timer | undefined;
  #looks = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#leadership = new Leadership(options.engine.groups, options.node, "webhooks");
    this.#lines = options.receivers.map((receiver) => this.#line(receiver));
  }

  /** What the relay tells; undefined where nobody is told. */
  get witness(): Witness | undefined {
    if (this.#lines.length === 0) return undefined;
    return {
      wants: (kind) => this.#lines.some(({ receiver }) => receiver.wants(kind)),
      tell: (happened) => this.#tell(happened),
      keep: (happened) => this.#keep(happened),
    };
  }

  /**
   * Events that wait, as far as the node that leads knows, that were taken, and that nobody will be told of; and for how long the
   * oldest has waited.
   */
  get figures(): Readonly<Record<"waiting" | "sent" | "givenUp" | "lateMs", number>> {
    const waiting = this.#lines.reduce((sum, { sender }) => sum + sender.waiting, 0);
    const lateMs = Math.max(0, ...this.#lines.map(({ sender }) => sender.lateMs));
    return { waiting, lateMs, ...this.#counts };
  }

  /** Begins to send. The engine must have started. */
  start(): void {
    if (this.#lines.length === 0) return;
    void this.#check();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Tries once more to tell what waits. The engine must not be closed yet. */
  async stop(): Promise<void> {
    if (this.#looking === undefined) return;
    clearInterval(this.#looking);
    if (!this.#leads) return;
    await Promise.all(this.#lines.map(({ sender }) => sender.stop()));
    this.#leadership.resign();
  }

  #line(receiver: HookReceiver): Line {
    const { engine, waitingMax, addresses, log } = this.#options;
    const { origin } = new URL(receiver.url);
    const { queues } = engine;
    const logLost = throttledLog(log, `${origin} will not be told of some events`);
    const full = new EngineUnavailable(`${waitingMax} events wait, or the engine has no room`);
    const onLost = (count: number) => {
      this.#counts.givenUp += count;
      logLost(full);
    };
    const queue = new HookQueue({ receiver, queues, max: waitingMax, onLost });
    const leads = () => this.#check();
    const onDone = (outcome: "sent" | "givenUp", count: number) => {
      this.#counts[outcome] += count;
    };
    return {
      receiver,
      queue,
      sender: new HookSender({ receiver, queue, queues, leads, addresses, log, onDone }),
    };
  }

  #tell(happened: RelayEvent): void {
    for (const { receiver, queue, sender } of this.#lines) {
      const text = receiver.textOf(happened);
      if (text === undefined) continue;
      queue.push(text);
      if (this.#leads) sender.wake();
    }
  }

  #keep(happened: RelayEvent): Maybe<undefined> {
    const kept: Promise<undefined>[] = [];
    try {
      for (const { receiver, queue, sender } of this.#lines) {
        const text = receiver.textOf(happened);
        if (text === undefined) continue;
        const added = queue.add(text);
        if (added instanceof Promise) kept.push(added);
        if (this.#leads) sender.wake();
      }
    } catch (error) {
      kept.push(Promise.reject(error));
    }
    return kept.length === 0 ? undefined : Promise.all(kept).then(() => undefined);
  }

  #look(): void {
    if (this.#leads) for (const { sender } of this.#lines) sender.wake();
    if (++this.#looks % (CHECK_MS / LOOK_MS) !== 0) return;
    for (const { queue, sender } of this.#lines) {
      void queue.tick();
      if (this.#leads) void sender.count();
    }
    void this.#check();
  }

  /** Whether this node leads now. Never rejects. */
  async #check(): Promise<boolean> {
    const leads = await this.#leadership.check();
    if (leads === this.#leads) return leads;
    this.#leads = leads;
    if (leads) this.#tidy().catch((error) => this.#failed(error));
    else for (const { sender } of this.#lines) sender.rest();
    return leads;
  }

  /** Empties the queues of receivers that are set no longer. */
  async #tidy(): Promise<void> {
    const { records, queues } = this.#options.engine;
    const names = new Map(this.#lines.map(({ receiver, queue }) => [queue.name, receiver.url]));
    for (const [name, url] of names) await records.put(QUEUES, name, new URL(url).origin, KEPT);
    for (const { name, value } of await records.list(QUEUES)) {
      if (names.has(name)) continue;
      const left = await queues.size(name);
      await queues.removeUpTo(name, Number.MAX_SAFE_INTEGER);
      await records.remove(QUEUES, name);
      if (left === 0) continue;
      this.#counts.givenUp += left;
      this.#options.log.warn(
        `${value} is no receiver of webhooks any more: ${left} events that waited for it are dropped`,
      );
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof EngineUnavailable)) throw error;
  }
}
