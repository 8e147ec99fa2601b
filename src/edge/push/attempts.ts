// Attempts to send a push to a device: what becomes of each is kept, and counted; a backend is told when nothing more can become of
// a push that nobody has.
import type { Maybe } from "../../relay/contracts/maybe";
import type { AttemptResult, DevicePushes, Mark } from "./device-pushes";
import type { Device } from "./devices/devices";
import { type DeviceFate, type DeviceState, type Fate, type Fates, isUndelivered } from "./fates";
import type { PendingPush } from "./outbox";
import type { Retries, Retry } from "./retries";

const OUTCOMES = [
  "accepted",
  "gone",
  "refused",
  "unknown",
  "given_up",
  "collapsed",
  "withdrawn",
  "undelivered",
  "retried",
] as const;

type Outcome = (typeof OUTCOMES)[number];

/** What became of an attempt; the mark that nobody needs when the push is over. */
interface Sent {
  readonly fate: DeviceFate;
  readonly mark: Mark | undefined;
}

interface Attempt {
  readonly pending: PendingPush;
  readonly device: Device;
  /** 1 for the first. */
  readonly number: number;
  /** Since when it is known that the user does not have it, and until when the device is to have it; in ms of Unix time. */
  readonly asOf: number;
  readonly deadline: number;
  /** Undefined for the first attempt. */
  readonly retry?: Retry;
}

type Postponed = Extract<AttemptResult, { waitMs: number | undefined }>;

type EndState = "withdrawn" | "given_up" | "collapsed" | "gone";

interface AttemptsOptions {
  readonly pushes: Pick<DevicePushes, "send" | "release">;
  readonly retries: Retries;
  readonly fates: Fates;
  /** Tells a backend what nobody got; resolves when that is kept. Undefined where nobody wants to know. */
  readonly tellUndelivered: ((pending: PendingPush, fate: Fate) => Maybe<undefined>) | undefined;
  readonly now: () => number;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  /** How often pushes ended in which way here. */
  readonly outcomes: Record<Outcome, number> = Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, 0]),
  ) as Record<Outcome, number>;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Tells of what nobody got. Whoever tells it again tells the same. */
  async tell(pending: PendingPush, fate: Fate): Promise<void> {
    const { tellUndelivered } = this.#options;
    if (tellUndelivered === undefined || !isUndelivered(fate)) return;
    await tellUndelivered(pending, fate);
    this.outcomes.undelivered++;
  }

  /** A push is not tried again. */
  async end(retry: Retry, state: EndState): Promise<void> {
    const { pending, device, attempts } = retry;
    const fate = this.#fateOf(device, { state, attempts });
    await this.tell(pending, await this.#reached(pending, fate));
    await this.#options.retries.remove(retry);
  }

  /** Sends a push to a device, or keeps it to be tried again. May reject with EngineUnavailable. */
  async make(attempt: Attempt): Promise<Sent> {
    const { pushes, retries } = this.#options;
    const { pending, device, number, retry } = attempt;
    for (const older of retries.replacedBy(pending, device.id)) {
      await this.end(older, "collapsed");
    }
    const result = await pushes.send(pending, device, attempt);
    const waiting = "waitMs" in result ? await this.#putOff(attempt, result) : undefined;
    if (waiting !== undefined) return { fate: waiting, mark: undefined };
    const { status, mark } = result;
    const fate = this.#fateOf(device.id, { state: stateOf(result), attempts: number, status });
    if (result.kind !== "repeated") {
      const whole = await this.#reached(pending, fate);
      if (retry !== undefined) await this.tell(pending, whole);
    }
    if (retry !== undefined) await retries.remove(retry);
    return { fate, mark };
  }

  /** Undefined where it cannot be tried again: its time is over by then, or too many others wait. */
  async #putOff(attempt: Attempt, result: Postponed): Promise<DeviceFate | undefined> {
    const { pushes, retries, fates, now } = this.#options;
    const { pending, device, number, deadline } = attempt;
    const { kind, status, waitMs, mark } = result;
    const attempts = kind === "held" ? number - 1 : number;
    const notBefore = retries.nextAt({ attempts, waitMs, deadline });
    if (notBefore === undefined) return undefined;
    const next = { pending, device: device.id, attempts, notBefore, deadline };
    if (!(await retries.keep(next))) return undefined;
    if (mark !== undefined) await pushes.release(mark);
    if (kind === "later") this.outcomes.retried++;
    const fate = this.#fateOf(device.id, { state: "waiting", attempts, status });
    await fates.reached(pending, fate, notBefore - now());
    return fate;
  }

  #fateOf<State extends DeviceState>(
    device: string,
    rest: Pick<DeviceFate, "attempts" | "status"> & { readonly state: State },
  ): DeviceFate & { readonly state: State } {
    return { device, ...rest, at: this.#options.now() };
  }

  /** A push is over for a device. */
  async #reached(
    pending: PendingPush,
    fate: DeviceFate & { readonly state: Exclude<DeviceState, "waiting"> },
  ): Promise<Fate> {
    this.outcomes[fate.state]++;
    return this.#options.fates.reached(pending, fate, 0);
  }
}

/** What an attempt means for a push that is not tried again. */
function stateOf({ kind }: AttemptResult): Exclude<DeviceState, "waiting"> {
  if (kind === "later" || kind === "held") return "given_up";
  // It was over before. What is still known of it counts, if anything is; it was accepted most probably.
  return kind === "repeated" ? "accepted" : kind;
}
