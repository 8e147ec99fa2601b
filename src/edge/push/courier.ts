// Sends pushes when they are due, on one node at a time: asks all nodes whether a connection took the publication and, where none did,
// sends it to the devices of its user. Whatever it does may be done twice, after a death or by two nodes for a moment: marks see to it
// that no device is sent the same push again.
import { type Log, throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import type { Maybe } from "../../relay/contracts/maybe";
import type { Queues, Records } from "../../relay/contracts/store";
import type { ReceiptAnswer, Receipts } from "../../relay/publishing/receipts";
import type { Leadership } from "../../relay/state/leadership";
import type { AttemptResult, DevicePushes } from "./device-pushes";
import type { DeviceCipher } from "./devices/device-cipher";
import type { Device, Devices } from "./devices/devices";
import { type DeviceState, type Fate, type Fates, isUndelivered } from "./fates";
import { type PendingPush, QUEUE } from "./outbox";
import type { Retries, Retry } from "./retries";

/** Entries of the queue that are looked at together. */
const ENTRIES_MAX = 1_000;

/** How long a connection, or a node, that has given no sign of life may take to give one, beyond the time for a pong. */
const UNSURE_MS = 2_000;

/** A push has at least so long from its due time, however short its ttl: the node that leads may have died just then. */
const GRACE_MS = 30_000;

/** How long answers are waited for when the relay stops. */
const STOP_MS = 5_000;

/** How long an entry is remembered whose publication may be repeated. */
const DECIDED_MS = 3_600_000;

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

interface CourierOptions {
  readonly queues: Queues;
  readonly records: Records;
  readonly leadership: Pick<Leadership, "check" | "resign">;
  readonly receipts: Pick<Receipts, "ask">;
  readonly cipher: DeviceCipher;
  /** Undefined where no devices are kept. */
  readonly devices: Pick<Devices, "of" | "one"> | undefined;
  readonly pushes: DevicePushes;
  readonly retries: Retries;
  readonly fates: Fates;
  /** Tells a backend what nobody got; resolves when that is kept. Undefined where nobody wants to know. */
  readonly tellUndelivered: ((pending: PendingPush, fate: Fate) => Maybe<undefined>) | undefined;
  readonly pushAfterMs: number;
  readonly pongMs: number;
  readonly now: () => number;
  readonly log: Log;
  /** How often it looks for what is due. */
  readonly tickMs: number;
}

export class Courier {
  readonly #options: CourierOptions;
  readonly #logFailure: (error: unknown) => void;
  /** Numbers of entries that are being worked on, and of those that are done but behind one that is not. */
  readonly #underWay = new Set<number>();
  readonly #done = new Set<number>();
  /** Names of retries that are being sent. */
  readonly #retrying = new Set<Retry>();
  /** What is under way. */
  readonly #works = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #tick: Promise<void> = Promise.resolve();
  #isStopped = false;
  #isLeading = false;
  /** How often pushes ended in which way here. */
  readonly outcomes: Record<Outcome, number> = Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, 0]),
  ) as Record<Outcome, number>;
  /** Publications whose push waits, and pushes that wait to be tried again, as the node that leads knows them; else 0. */
  waiting = 0;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#logFailure = throttledLog(options.log, "pushes could not be sent for now");
    this.#schedule();
  }

  /** Begins nothing more, and waits for the answers to what is under way: what has none by then is lost. Another node goes on. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#tick;
    this.#options.pushes.stop();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, STOP_MS);
    await Promise.race([Promise.allSettled([...this.#works]), late.promise]);
    clearTimeout(timer);
    if (this.#isLeading) this.#options.leadership.resign();
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#tick = this.#work()
        .catch((error) => this.#failed(error))
        .then(() => this.#schedule());
    }, this.#options.tickMs);
    this.#timer.unref();
  }

  #failed(error: unknown): void {
    // Another node does it again.
    if (this.#isStopped) return;
    if (error instanceof EngineUnavailable) this.#logFailure(error);
    else this.#options.log.error({ err: error }, "pushes: a fault");
  }

  async #work(): Promise<void> {
    const { leadership, retries, queues } = this.#options;
    this.#isLeading = await leadership.check();
    if (!this.#isLeading || this.#isStopped) {
      retries.forget();
      this.waiting = 0;
      return;
    }
    await retries.load();
    await this.#workOnQueue();
    await this.#workOnRetries();
    this.waiting = (await queues.size(QUEUE)) + retries.waiting;
  }

  async #workOnQueue(): Promise<void> {
    const { queues, cipher } = this.#options;
    const entries = await queues.first(QUEUE, ENTRIES_MAX);
    const due: { readonly number: number; readonly pending: PendingPush }[] = [];
    for (const { number, entry } of entries) {
      if (this.#underWay.has(number) || this.#done.has(number)) continue;
      const opened = await cipher.open(entry, QUEUE);
      // Its secret is gone, so it stays unreadable.
      if (opened === undefined) this.#done.add(number);
      else {
        const pending: PendingPush = JSON.parse(opened.text);
        // Those behind it came later.
        if (this.#dueAt(pending) > this.#options.now()) break;
        due.push({ number, pending });
      }
    }
    const answers = await this.#ask(due.map(({ pending }) => pending));
    due.forEach(({ number, pending }, i) => {
      if (this.#mustWait(pending, answers[i])) return;
      this.#underWay.add(number);
      const work = this.#decide(pending, answers[i] as ReceiptAnswer)
        .then(() => void this.#done.add(number))
        .finally(() => this.#underWay.delete(number));
      this.#run(work);
    });
    await this.#removeDone(entries.map(({ number }) => number));
  }

  /** Only the first entries of a queue can be removed. */
  async #removeDone(numbers: readonly number[]): Promise<void> {
    let last: number | undefined;
    for (const number of numbers) {
      if (!this.#done.has(number)) break;
      last = number;
    }
    if (last === undefined) return;
    await this.#options.queues.removeUpTo(QUEUE, last);
    for (const number of numbers) if (number <= last) this.#done.delete(number);
  }

  #dueAt({ acceptedAt }: PendingPush): number {
    return acceptedAt + this.#options.pushAfterMs;
  }

  #deadlineOf(pending: PendingPush): number {
    return Math.max(pending.acceptedAt + 1_000 * pending.ttlS, this.#dueAt(pending) + GRACE_MS);
  }

  async #ask(pushes: readonly PendingPush[]): Promise<readonly ReceiptAnswer[]> {
    if (pushes.length === 0) return [];
    return this.#options.receipts.ask(
      pushes.map(({ id, user, topic, position }) => ({ id, user, topic, position })),
    );
  }

  #mustWait(pending: PendingPush, answer: ReceiptAnswer | undefined): boolean {
    const { now, pongMs } = this.#options;
    return answer === "unsure" && now() < this.#dueAt(pending) + pongMs + UNSURE_MS;
  }

  /** The time of a publication to be taken is over. */
  async #decide(pending: PendingPush, answer: ReceiptAnswer): Promise<void> {
    const { records, devices, fates, now } = this.#options;
    if (pending.isKeyed) {
      const bounds = { ttlMs: DECIDED_MS, max: 1 };
      const mark = await records.put(`push-decided:${pending.id}`, pending.entry, "", bounds);
      if (mark === "full") return;
    }
    if (answer === "taken") {
      this.outcomes.withdrawn++;
      await fates.decided(pending, "taken", now());
      return;
    }
    if (now() > this.#deadlineOf(pending)) {
      this.outcomes.given_up++;
      await this.#tell(pending, await fates.decided(pending, "expired", now()));
      return;
    }
    const found = (await devices?.of(pending.user)) ?? [];
    const decided = await fates.decided(pending, "pushed", now());
    await Promise.all(found.map((device) => this.#send(pending, device, 1)));
    await this.#tell(pending, (await fates.of(pending)) ?? decided);
  }

  /** Tells of what nobody got. Whoever tells it again tells the same. */
  async #tell(pending: PendingPush, fate: Fate): Promise<void> {
    const { tellUndelivered } = this.#options;
    if (tellUndelivered === undefined || !isUndelivered(fate)) return;
    await tellUndelivered(pending, fate);
    this.outcomes.undelivered++;
  }

  async #workOnRetries(): Promise<void> {
    const due = this.#options.retries.due().filter((retry) => !this.#retrying.has(retry));
    const answers = await this.#ask(due.map(({ pending }) => pending));
    due.forEach((retry, i) => {
      this.#retrying.add(retry);
      this.#run(this.#retry(retry, answers[i]).finally(() => this.#retrying.delete(retry)));
    });
  }

  #run(work: Promise<void>): void {
    const settled: Promise<void> = work
      .catch((error) => this.#failed(error))
      .finally(() => this.#works.delete(settled));
    this.#works.add(settled);
  }

  async #retry(retry: Retry, answer: ReceiptAnswer | undefined): Promise<void> {
    const { pending, attempts, deadline } = retry;
    if (answer === "taken") return this.#endRetry(retry, "withdrawn");
    if (this.#options.now() > deadline) return this.#endRetry(retry, "given_up");
    const device = await this.#options.devices?.one(pending.user, retry.device);
    if (device === undefined) return this.#endRetry(retry, "gone");
    await this.#send(pending, device, attempts + 1, retry);
  }

  async #endRetry(retry: Retry, state: EndState): Promise<void> {
    const { pending, device, attempts } = retry;
    await this.#tell(pending, await this.#reached(pending, device, { state, attempts }));
    await this.#options.retries.remove(retry);
  }

  async #send(
    pending: PendingPush,
    device: Device,
    attempts: number,
    retry?: Retry,
  ): Promise<void> {
    const { pushes, retries } = this.#options;
    const { id } = device;
    for (const older of retries.replacedBy(pending, id)) await this.#endRetry(older, "collapsed");
    const deadline = this.#deadlineOf(pending);
    const result = await pushes.send(pending, device, deadline);
    const { status } = result;
    if (result.kind === "later") {
      const notBefore = retries.nextAt(attempts, result.waitMs);
      const next = { pending, device: id, attempts, notBefore, deadline };
      if (notBefore <= deadline && (await retries.keep(next))) {
        await result.release();
        this.outcomes.retried++;
        await this.#reached(pending, id, { state: "waiting", attempts, status });
        return;
      }
    }
    const state = stateOf(result);
    if (state !== undefined) {
      const fate = await this.#reached(pending, id, { state, attempts, status });
      if (retry !== undefined) await this.#tell(pending, fate);
    }
    if (retry !== undefined) await retries.remove(retry);
  }

  async #reached(
    pending: PendingPush,
    device: string,
    {
      state,
      attempts,
      status,
    }: { state: DeviceState; attempts: number; status?: number | undefined },
  ): Promise<Fate> {
    if (state !== "waiting") this.outcomes[state]++;
    const at = this.#options.now();
    return this.#options.fates.reached(pending, { device, state, attempts, status, at });
  }
}

type EndState = "withdrawn" | "given_up" | "collapsed" | "gone";

/** What an attempt means for a push that is not tried again; undefined where it was ended before. */
function stateOf({ kind }: AttemptResult): Exclude<DeviceState, "waiting"> | undefined {
  if (kind === "repeated") return undefined;
  return kind === "later" ? "given_up" : kind;
}
