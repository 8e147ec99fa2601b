// Pushes to devices, at most once to each: before a request is sent, a mark in the engine says so, which no two nodes can set. A mark that
// a dead node has left stays, since nobody knows whether its request arrived: that push is not sent again.
import { EngineUnavailable } from "../../relay/contracts/engine";
import type { Records } from "../../relay/contracts/store";
import { newId } from "../access/random-ids";
import type { Device, Devices } from "./devices/devices";
import type { PendingPush } from "./outbox";
import type { PushResult, PushSender } from "./services/sender";
import type { Turns } from "./services/turns";

/** How long a mark outlives its push: clocks differ. */
const MARK_MS = 60_000;

/** How long a mark is kept once its push is over; whoever has begun to send it before is done by then, or gives up. */
const OVER_MS = 600_000;

/** How old what is known of a push may be when it is its turn: by then its user may be back, or another node may have sent it. */
const KNOWN_MS = OVER_MS / 2;

const SENDING = "sending";

/** A mark in the engine. */
export interface Mark {
  readonly set: string;
  readonly name: string;
  readonly value: string;
}

/**
 * What became of an attempt. "held": its service is left alone for `waitMs`, and nothing was sent. "unknown" and "repeated": it was made
 * before, and not again; whether it arrived is unknown, or known.
 */
export type AttemptResult = (
  | PushResult
  | { readonly kind: "held"; readonly status: undefined; readonly waitMs: number }
  | { readonly kind: "unknown" | "repeated"; readonly status: undefined }
) & {
  /** Of this attempt. */
  readonly mark?: Mark;
};

/** When a push may be sent, in ms of Unix time. */
interface PushTimes {
  /** Since when it is known that it is to be sent. */
  readonly asOf: number;
  /** Until when the device is to have it. */
  readonly deadline: number;
}

interface DevicePushesOptions {
  readonly records: Records;
  /** Undefined where no devices are kept, and nothing is sent. */
  readonly devices: Pick<Devices, "remove"> | undefined;
  readonly sender: Pick<PushSender, "send">;
  readonly turns: Turns;
  readonly now: () => number;
}

export class DevicePushes {
  readonly #options: DevicePushesOptions;

  constructor(options: DevicePushesOptions) {
    this.#options = options;
  }

  /**
   * Sends a push to a device. After "later" the caller must keep what is to be tried again, and then call `release` with the mark; when
   * nobody will send the push again, `over`. Rejects with EngineUnavailable before anything was sent.
   */
  async send(
    pending: PendingPush,
    device: Device,
    { asOf, deadline }: PushTimes,
  ): Promise<AttemptResult> {
    const { turns, now } = this.#options;
    const { origin } = new URL(device.endpoint);
    const waitMs = await turns.begin(origin);
    if (waitMs > 0) return { kind: "held", status: undefined, waitMs };
    let outcome: "answered" | "failed" | "unsent" = "unsent";
    try {
      if (now() - asOf > KNOWN_MS) {
        throw new EngineUnavailable("a push has waited too long for its push service");
      }
      const result = await this.#sendOnce(pending, device, deadline);
      if (result.mark !== undefined) outcome = isFailure(result) ? "failed" : "answered";
      return result;
    } finally {
      turns.end(origin, outcome);
    }
  }

  /** The push may be sent to the device again. */
  async release(mark: Mark): Promise<void> {
    await this.#options.records.remove(mark.set, mark.name);
  }

  /** Nobody sends the push to the device again, so the mark need not stay for as long as the push could be sent. */
  async over({ set, name, value }: Mark): Promise<void> {
    await this.#options.records.put(set, name, value, { ttlMs: OVER_MS, max: 1 });
  }

  /** What has not begun is not sent any more: it rejects with EngineUnavailable. */
  stop(): void {
    this.#options.turns.stop();
  }

  async #sendOnce(pending: PendingPush, device: Device, deadline: number): Promise<AttemptResult> {
    const { records, devices, sender, now } = this.#options;
    const set = `push-sent:${pending.id}/${device.id}`;
    const name = newId();
    const bounds = { ttlMs: Math.max(1, deadline - now()) + MARK_MS, max: 1 };
    if ((await records.put(set, name, SENDING, bounds)) === "full") {
      const [other] = await records.list(set);
      if (other === undefined) {
        throw new EngineUnavailable("the store has no room for what was sent (BATON_STORE_BYTES)");
      }
      return { kind: other.value === SENDING ? "unknown" : "repeated", status: undefined };
    }
    const ttlS = Math.max(0, Math.min(pending.ttlS, Math.ceil((deadline - now()) / 1_000)));
    const result = await sender.send(device, { ...pending, ttlS });
    const { kind } = result;
    if (kind === "gone") await devices?.remove(pending.user, device.id);
    if (kind !== "later") await records.put(set, name, kind, bounds);
    return { ...result, mark: { set, name, value: kind } };
  }
}

/** Whether a service has an error, or does not answer; one that has too much to do does answer. */
function isFailure({ kind, status }: AttemptResult): boolean {
  return kind === "later" && status !== 429;
}
