// What the receivers of webhooks are to be told: each has a queue in the engine, to which all nodes add and from which the node that
// leads sends.
import { type Log, throttledLog } from "../../log";
import { type Engine, EngineUnavailable } from "../../relay/contracts/engine";
import type { Maybe } from "../../relay/contracts/maybe";
import type { RelayEvent, Witness } from "../../relay/contracts/options";
import { Leadership } from "../../relay/state/leadership";
import { HookQueue } from "./queue";
import { QueueList, SETTLED_MS } from "./queue-list";
import type { HookReceiver } from "./receiver";
import { HookSender } from "./sender";

/** How often the node that leads looks for what other nodes have added, and how often all ask whether they lead. */
const LOOK_MS = 250;
const CHECK_MS = 1_000;

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
  readonly counts: Readonly<Record<"sent" | "givenUp", number>>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #leadership: Leadership;
  readonly #lines: readonly Line[];
  readonly #list: QueueList;
  /** Of those that are no receivers any more. */
  #dropped = 0;
  #leads = false;
  #looking: Timer | undefined;
  #emptying: Timer | undefined;
  #looks = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#leadership = new Leadership(options.engine.groups, options.node, "webhooks");
    this.#lines = options.receivers.map((receiver) => this.#line(receiver));
    const origins = this.#lines.map(
      ({ receiver, queue }) => [queue.name, originOf(receiver)] as const,
    );
    this.#list = new QueueList({
      engine: options.engine,
      origins: new Map(origins),
      now: () => performance.now(),
      onDropped: (count, origin) => this.#drop(count, origin),
    });
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
    const lines = this.lines;
    const sum = (of: "waiting" | "sent" | "givenUp") =>
      lines.reduce((total, line) => total + line[of], 0);
    return {
      waiting: sum("waiting"),
      sent: sum("sent"),
      givenUp: sum("givenUp") + this.#dropped,
      lateMs: Math.max(0, ...lines.map(({ lateMs }) => lateMs)),
    };
  }

  /** The same of each receiver. */
  get lines() {
    return this.#lines.map(({ receiver, sender: { waiting, lateMs }, counts }) => ({
      origin: originOf(receiver),
      waiting,
      lateMs,
      ...counts,
    }));
  }

  /** Begins to send. The engine must have started. */
  start(): void {
    if (this.#lines.length === 0) {
      this.#emptying = setTimeout(() => void this.#emptyAll(), SETTLED_MS).unref();
      return;
    }
    void this.#check();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Tries once more to tell what waits. The engine must not be closed yet. */
  async stop(): Promise<void> {
    clearTimeout(this.#emptying);
    if (this.#looking === undefined) return;
    clearInterval(this.#looking);
    if (!this.#leads) return;
    await Promise.all(this.#lines.map(({ sender }) => sender.stop()));
    this.#leadership.resign();
  }

  #line(receiver: HookReceiver): Line {
    const { engine, waitingMax, addresses, log } = this.#options;
    const { queues } = engine;
    const logLost = throttledLog(log, `${originOf(receiver)} will not be told of some events`);
    const full = new EngineUnavailable(`${waitingMax} events wait, or the engine has no room`);
    const counts = { sent: 0, givenUp: 0 };
    const onLost = (count: number) => {
      counts.givenUp += count;
      logLost(full);
    };
    const queue = new HookQueue({ receiver, queues, max: waitingMax, onLost });
    const leads = () => this.#check();
    const onDone = (outcome: "sent" | "givenUp", count: number) => {
      counts[outcome] += count;
    };
    return {
      receiver,
      queue,
      counts,
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
    if (this.#leads) this.#list.tend().catch((error) => this.#failed(error));
    void this.#check();
  }

  /** Whether this node leads now. Never rejects. */
  async #check(): Promise<boolean> {
    const leads = await this.#leadership.check();
    if (leads === this.#leads) return leads;
    this.#leads = leads;
    if (leads) return true;
    this.#list.rest();
    for (const { sender } of this.#lines) sender.rest();
    return false;
  }

  /** Nobody is told any more. Where another node still has receivers, that one leads. */
  async #emptyAll(): Promise<void> {
    if (!(await this.#leadership.check())) return;
    await this.#list.emptyOthers().catch((error) => this.#failed(error));
    this.#leadership.resign();
  }

  #drop(count: number, origin: string): void {
    this.#dropped += count;
    this.#options.log.warn(
      `${origin} is no receiver of webhooks any more: ${count} events that waited for it are dropped`,
    );
  }

  #failed(error: unknown): void {
    if (!(error instanceof EngineUnavailable)) throw error;
  }
}

/** What the log may show of it. */
function originOf({ url }: HookReceiver): string {
  return new URL(url).origin;
}
