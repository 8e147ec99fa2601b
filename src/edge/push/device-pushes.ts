// Pushes to devices, at most once to each: before a request is sent, a mark in the engine says so, which no two nodes can set. A mark that
// a dead node has left stays, since nobody knows whether its request arrived: that push is not sent again.
import { EngineUnavailable } from "../../relay/contracts/engine";
import type { Records } from "../../relay/contracts/store";
import { newId } from "../access/random-ids";
import type { Device, Devices } from "./devices/devices";
import type { PendingPush } from "./outbox";
import type { PushResult, PushSender } from "./sender";

/** How many requests are under way at once, in all and to one push service: one that is out of reach must not stop the others. */
const REQUESTS_MAX = 128;
const ORIGIN_REQUESTS_MAX = 32;

/** How long a mark outlives its push. */
const MARK_MS = 60_000;

const SENDING = "sending";

/** A request that waits for others to be answered. */
interface PromisedSlot {
  readonly origin: string;
  readonly start: () => void;
  readonly fail: (error: Error) => void;
}

/** What became of an attempt; "unknown" and "repeated": it was made before, and not again. */
export type AttemptResult =
  | PushResult
  | { readonly kind: "unknown" | "repeated"; readonly status: undefined };

interface DevicePushesOptions {
  readonly records: Records;
  /** Undefined where no devices are kept, and nothing is sent. */
  readonly devices: Pick<Devices, "remove"> | undefined;
  readonly sender: Pick<PushSender, "send">;
  readonly now: () => number;
}

export class DevicePushes {
  readonly #options: DevicePushesOptions;
  readonly #active = new Map<string, number>();
  #total = 0;
  readonly #waiting: PromisedSlot[] = [];
  #isStopped = false;

  constructor(options: DevicePushesOptions) {
    this.#options = options;
  }

  /**
   * Sends a push to a device, which has until `deadline` (ms of Unix time) to get it. After "later" the caller must keep what is to be
   * tried again, and then call `release`. Rejects with EngineUnavailable before anything was sent.
   */
  async send(
    pending: PendingPush,
    device: Device,
    deadline: number,
  ): Promise<AttemptResult & { readonly release: () => Promise<unknown> }> {
    const { records, devices, sender, now } = this.#options;
    const set = markOf(pending.id, device.id);
    const bounds = { ttlMs: Math.max(1, deadline - now()) + MARK_MS, max: 1 };
    const mark = newId();
    const release = async () => records.remove(set, mark);
    const { origin } = new URL(device.endpoint);
    await this.#slot(origin);
    try {
      if ((await records.put(set, mark, SENDING, bounds)) === "full") {
        const [other] = await records.list(set);
        const kind = other === undefined || other.value === SENDING ? "unknown" : "repeated";
        return { kind, status: undefined, release };
      }
      const ttlS = Math.max(0, Math.min(pending.ttlS, Math.ceil((deadline - now()) / 1_000)));
      const result = await sender.send(device, { ...pending, ttlS });
      if (result.kind === "gone") await devices?.remove(pending.user, device.id);
      if (result.kind !== "later") await records.put(set, mark, result.kind, bounds);
      return { ...result, release };
    } finally {
      this.#free(origin);
    }
  }

  /** What has not begun is not sent any more: it rejects with EngineUnavailable. */
  stop(): void {
    this.#isStopped = true;
    for (const { fail } of this.#waiting.splice(0)) fail(stopped());
  }

  async #slot(origin: string): Promise<void> {
    if (this.#isStopped) throw stopped();
    if (!this.#hasRoom(origin)) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#waiting.push({ origin, start: resolve, fail: reject });
      await promise;
      return;
    }
    this.#take(origin);
  }

  #take(origin: string): void {
    this.#total++;
    this.#active.set(origin, (this.#active.get(origin) ?? 0) + 1);
  }

  #free(origin: string): void {
    this.#total--;
    const left = (this.#active.get(origin) ?? 1) - 1;
    if (left === 0) this.#active.delete(origin);
    else this.#active.set(origin, left);
    const at = this.#waiting.findIndex((one) => this.#hasRoom(one.origin));
    if (at < 0) return;
    const [next] = this.#waiting.splice(at, 1);
    if (next === undefined) return;
    this.#take(next.origin);
    next.start();
  }

  #hasRoom(origin: string): boolean {
    return this.#total < REQUESTS_MAX && (this.#active.get(origin) ?? 0) < ORIGIN_REQUESTS_MAX;
  }
}

function stopped(): EngineUnavailable {
  return new EngineUnavailable("the relay stops");
}

function markOf(id: string, device: string): string {
  return `push-sent:${id}/${device}`;
}
