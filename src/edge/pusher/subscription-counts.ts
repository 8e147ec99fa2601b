// Tells the subscribers of each channel how many they are, and the backend too, where that is wanted. The numbers are asked of all nodes
// at intervals, so that nothing more is done for each client that comes or goes.
import type { Log } from "../../log";
import { throttledLog } from "../../log";
import type { Engine } from "../../relay/contracts/engine";
import type { Witness } from "../../relay/contracts/options";
import type { Relay } from "../../relay/relay";
import { Leadership } from "../../relay/state/leadership";
import { isPersonal } from "../../relay/topics/permissions";
import type { Settings } from "../../settings/definitions";

/** Beyond this, and no more often than every so many milliseconds: as on Pusher. */
const LARGE = 100;
const LARGE_PAUSE_MS = 5_000;

interface SubscriptionCountsOptions {
  readonly relay: Pick<Relay, "backend">;
  /** Only one node tells the backend. */
  readonly leadership: Pick<Leadership, "check" | "resign">;
  readonly witness: Witness | undefined;
  readonly everyMs: number;
  readonly log: Log;
}

interface NodeParts {
  readonly settings: Pick<Settings, "pusherApps" | "pusherSubscriptionCountsMs">;
  readonly relay: Relay;
  readonly engine: Engine;
  readonly node: string;
  readonly webhooks: { readonly witness: Witness | undefined };
  readonly log: Log;
}

interface Told {
  readonly count: number;
  readonly atMs: number;
}

export class SubscriptionCounts {
  readonly #options: SubscriptionCountsOptions;
  readonly #wantsEvents: boolean;
  readonly #logFailure: (error: unknown) => void;
  readonly #timer: ReturnType<typeof setInterval>;
  /** What was told last of each topic that has subscribers anywhere. */
  readonly #told = new Map<string, Told>();
  #isAsking = false;

  /** Undefined where nobody is told. */
  static of({ settings, relay, engine, node, webhooks, log }: NodeParts) {
    const everyMs = settings.pusherSubscriptionCountsMs;
    if (everyMs === 0 || settings.pusherApps.length === 0) return undefined;
    const leadership = new Leadership(engine.groups, node, "subscription counts");
    return new SubscriptionCounts({ relay, leadership, witness: webhooks.witness, everyMs, log });
  }

  private constructor(options: SubscriptionCountsOptions) {
    this.#options = options;
    this.#wantsEvents = options.witness?.wants("counted") === true;
    this.#logFailure = throttledLog(options.log, "subscribers cannot be counted");
    this.#timer = setInterval(() => void this.#tell(), options.everyMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    if (this.#wantsEvents) this.#options.leadership.resign();
  }

  /** Cost: all topics of all nodes. */
  async #tell(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const { relay, leadership, witness } = this.#options;
      const sizes = await relay.backend.topicSizes();
      const leads = this.#wantsEvents && (await leadership.check());
      const teller = leads ? witness : undefined;
      for (const [topic, count] of sizes) if (count > 0) this.#tellOf(topic, count, teller);
      for (const topic of this.#told.keys()) {
        if ((sizes.get(topic) ?? 0) > 0) continue;
        this.#told.delete(topic);
        teller?.tell({ kind: "counted", topic, count: 0 });
      }
    } catch (error) {
      this.#logFailure(error);
    } finally {
      this.#isAsking = false;
    }
  }

  /** `teller` tells the backend, where this node is the one to do so. */
  #tellOf(topic: string, count: number, teller: Witness | undefined): void {
    // No channels to others.
    if (isPersonal(topic)) return;
    const last = this.#told.get(topic);
    const hasChanged = last?.count !== count;
    const { relay } = this.#options;
    // One that came where another went has been told nothing yet.
    if (!hasChanged && !relay.backend.hasUncounted(topic)) return;
    const nowMs = performance.now();
    if (last !== undefined && count > LARGE && nowMs - last.atMs < LARGE_PAUSE_MS) return;
    this.#told.set(topic, { count, atMs: nowMs });
    relay.backend.tellCount(topic, count);
    if (hasChanged) teller?.tell({ kind: "counted", topic, count });
  }
}
