// Sends pushes when they are due, on one node at a time: asks all nodes whether a connection took the publication and, where none did,
// sends it to the devices of its user. Whatever it does may be done twice, after a death or by two nodes for a moment: marks see to it
// that no device is sent the same push again.
import { type Log, throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import type { Queues, Records } from "../../relay/contracts/store";
import type { ReceiptAnswer, Receipts } from "../../relay/publishing/receipts";
import type { Leadership } from "../../relay/state/leadership";
import type { Attempts } from "./attempts";
import type { DevicePushes, Mark } from "./device-pushes";
import type { DeviceCipher } from "./devices/device-cipher";
import type { Devices } from "./devices/devices";
import type { Fates } from "./fates";
import { type PendingPush, QUEUE } from "./outbox";
import type { Retries, Retry } from "./retries";

/** Entries of the queue that are looked at together. */
const ENTRIES_MAX = 1_000;

/** How long a connection, or a node, that has given no sign of life may take to give one, beyond the time for a pong. */
const UNSURE_MS = 2_000;

/** A push has at least so long from its due time, however short its ttl: the node that leads may have died just then. */
const GRACE_MS = 30_000;

/** An entry whose publication is so much later than now was kept before the clock was set back. */
const CLOCK_SLACK_MS = 60_000;

/** How long answers are waited for when the relay stops. */
const STOP_MS = 5_000;

/** How long an entry is remembered whose publication may be repeated. */
const DECIDED_MS = 3_600_000;

interface CourierOptions {
  readonly queues: Queues;
  readonly records: Records;
  readonly leadership: Pick<Leadership, "check" | "resign">;
  readonly receipts: Pick<Receipts, "ask">;
  readonly cipher: DeviceCipher;
  /** Undefined where no devices are kept. */
  readonly devices: Pick<Devices, "of" | "one"> | undefined;
  readonly pushes: Pick<DevicePushes, "over" | "stop">;
  readonly attempts: Attempts;
  readonly retries: Retries;
  readonly fates: Fates;
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
  readonly #logUnreadable: (error: unknown) => void;
  /** Numbers of entries that are being worked on. */
  readonly #underWay = new Set<number>();
  /** Of those that are done but still in the queue: which marks nobody needs once they are out of it. */
  readonly #done = new Map<number, readonly Mark[]>();
  /** Retries that are being sent. */
  readonly #retrying = new Set<Retry>();
  /** What is under way. */
  readonly #works = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #tick: Promise<void> = Promise.resolve();
  #isStopped = false;
  #isLeading = false;
  /** Publications whose push waits, and pushes that wait to be tried again, as the node that leads knows them; else 0. */
  waiting = 0;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#logFailure = throttledLog(options.log, "pushes could not be sent for now");
    this.#logUnreadable = throttledLog(
      options.log,
      "a push is lost: BATON_DEVICES_KEY no longer has its secret",
    );
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
    const { queues, now } = this.#options;
    const asOf = now();
    const entries = await queues.first(QUEUE, ENTRIES_MAX);
    const due: { readonly number: number; readonly pending: PendingPush }[] = [];
    for (const { number, entry } of entries) {
      if (this.#underWay.has(number) || this.#done.has(number)) continue;
      const pending = await this.#opened(entry);
      if (pending === undefined) this.#done.set(number, []);
      // Those behind it came later.
      else if (this.#isEarly(pending)) break;
      else due.push({ number, pending });
    }
    const answers = await this.#ask(due.map(({ pending }) => pending));
    due.forEach(({ number, pending }, i) => {
      if (this.#mustWait(pending, answers[i])) return;
      this.#underWay.add(number);
      const work = this.#decide(pending, answers[i] as ReceiptAnswer, asOf)
        .then((marks) => void this.#done.set(number, marks))
        .finally(() => this.#underWay.delete(number));
      this.#run(work);
    });
    await this.#removeDone(entries.map(({ number }) => number));
  }

  /** Undefined where its secret is gone: it stays unreadable. */
  async #opened(entry: string): Promise<PendingPush | undefined> {
    const opened = await this.#options.cipher.open(entry, QUEUE);
    if (opened !== undefined) return JSON.parse(opened.text);
    this.#logUnreadable(new Error("its entry in the queue cannot be decrypted"));
    return undefined;
  }

  /** Only the first entries of a queue can be removed. */
  async #removeDone(numbers: readonly number[]): Promise<void> {
    const { queues, pushes } = this.#options;
    const behind = numbers.findIndex((number) => !this.#done.has(number));
    const removed = behind < 0 ? numbers : numbers.slice(0, behind);
    const last = removed.at(-1);
    if (last === undefined) return;
    await queues.removeUpTo(QUEUE, last);
    for (const number of removed) {
      for (const mark of this.#done.get(number) ?? []) this.#run(pushes.over(mark));
      this.#done.delete(number);
    }
  }

  #isEarly(pending: PendingPush): boolean {
    const { now } = this.#options;
    return this.#dueAt(pending) > now() && pending.acceptedAt <= now() + CLOCK_SLACK_MS;
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

  /** The time of a publication to be taken is over. Resolves with the marks of what was sent and is over. */
  async #decide(
    pending: PendingPush,
    answer: ReceiptAnswer,
    asOf: number,
  ): Promise<readonly Mark[]> {
    const { records, devices, retries, fates, attempts, now } = this.#options;
    if (pending.isKeyed) {
      const bounds = { ttlMs: DECIDED_MS, max: 1 };
      const mark = await records.put(`push-decided:${pending.id}`, pending.entry, "", bounds);
      if (mark === "full") return [];
    }
    if (answer === "taken") {
      attempts.outcomes.withdrawn++;
      await fates.decided(pending, "taken", now());
      return [];
    }
    const deadline = this.#deadlineOf(pending);
    if (now() > deadline) {
      attempts.outcomes.given_up++;
      await attempts.tell(pending, await fates.decided(pending, "expired", now()));
      return [];
    }
    const found = (await devices?.of(pending.user)) ?? [];
    const decided = await fates.decided(pending, "pushed", now());
    // This is done again when it failed for some of them; the others may wait for their next attempt by then.
    const untried = found.filter(({ id }) => !retries.has(pending, id));
    const settled = await Promise.allSettled(
      untried.map((device) => attempts.make({ pending, device, number: 1, asOf, deadline })),
    );
    const sent = settled.map((one) => {
      if (one.status === "rejected") throw one.reason;
      return one.value;
    });
    // Where the store had no room for it, this is all that is known.
    const here = { ...decided, devices: sent.map(({ fate }) => fate) };
    await attempts.tell(pending, (await fates.of(pending)) ?? here);
    return sent.flatMap(({ mark }) => mark ?? []);
  }

  async #workOnRetries(): Promise<void> {
    const asOf = this.#options.now();
    const due = this.#options.retries.due(this.#retrying);
    const answers = await this.#ask(due.map(({ pending }) => pending));
    due.forEach((retry, i) => {
      this.#retrying.add(retry);
      const work = this.#retry(retry, answers[i], asOf);
      this.#run(work.finally(() => this.#retrying.delete(retry)));
    });
  }

  #run(work: Promise<void>): void {
    const settled: Promise<void> = work
      .catch((error) => this.#failed(error))
      .finally(() => this.#works.delete(settled));
    this.#works.add(settled);
  }

  async #retry(retry: Retry, answer: ReceiptAnswer | undefined, asOf: number): Promise<void> {
    const { devices, pushes, attempts, now } = this.#options;
    const { pending, deadline } = retry;
    if (answer === "taken") return attempts.end(retry, "withdrawn");
    if (now() > deadline) return attempts.end(retry, "given_up");
    const device = await devices?.one(pending.user, retry.device);
    if (device === undefined) return attempts.end(retry, "gone");
    const number = retry.attempts + 1;
    const { mark } = await attempts.make({ pending, device, number, asOf, deadline, retry });
    if (mark !== undefined) await pushes.over(mark);
  }
}
