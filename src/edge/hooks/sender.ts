// Tells one receiver of events over HTTP: in their order, several in a request, again and again until it takes them or they are too
// old. Events that wait are bounded in number and size; they do not outlive the process.
import type { Log } from "../../log";
import { publicAddressOf } from "./public-address";
import type { HookReceiver } from "./receiver";

/** How long a receiver may take to answer. */
const TIMEOUT_MS = 4_000;

/** How long events are tried again, from the moment at which they happened. */
const AGE_MAX_MS = 300_000;

/** The pause after a failed attempt. It is doubled after each further one, up to the longest, and made up to a fifth longer at random. */
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 60_000;

/** Events, and characters of them, in one request, and that may wait. */
const BATCH_MAX = 100;
const BATCH_CHARACTERS_MAX = 1_048_576;
const WAITING_MAX = 10_000;
const WAITING_CHARACTERS_MAX = 16_777_216;

/** How long the first event waits for others that happen with it. */
const GATHER_MS = 10;

interface HookSenderOptions {
  readonly receiver: HookReceiver;
  /** Whether it may have an address of this machine or of a private network. */
  readonly addresses: "any" | "public";
  readonly log: Log;
  /** In place of the network, the clock and randomness, for tests. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  readonly now?: () => number;
  readonly after?: (ms: number, work: () => void) => void;
  readonly random?: () => number;
}

interface WaitingEvent {
  readonly text: string;
  readonly happenedAt: number;
}

export class HookSender {
  readonly receiver: HookReceiver;
  readonly #url: URL;
  readonly #addresses: HookSenderOptions["addresses"];
  readonly #log: Log;
  readonly #fetch: NonNullable<HookSenderOptions["fetch"]>;
  readonly #now: () => number;
  readonly #after: NonNullable<HookSenderOptions["after"]>;
  readonly #random: () => number;
  #waiting: WaitingEvent[] = [];
  #characters = 0;
  #isSending = false;
  #isStopped = false;
  #pauseMs = 0;
  /** Events that the receiver took, and those that it was never told. */
  sent = 0;
  givenUp = 0;

  constructor(options: HookSenderOptions) {
    this.receiver = options.receiver;
    this.#url = new URL(options.receiver.url);
    this.#addresses = options.addresses;
    this.#log = options.log;
    this.#fetch = options.fetch ?? fetch;
    this.#now = options.now ?? (() => performance.now());
    this.#after = options.after ?? ((ms, work) => void setTimeout(work, ms).unref());
    this.#random = options.random ?? Math.random;
  }

  /** How many events wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Tells the receiver of an event, which is a JSON text. When too much waits, it is given up. */
  push(text: string): void {
    const isFull =
      this.#waiting.length >= WAITING_MAX ||
      this.#characters + text.length > WAITING_CHARACTERS_MAX;
    if (this.#isStopped || isFull) {
      this.#giveUp(1, "too many wait");
      return;
    }
    this.#waiting.push({ text, happenedAt: this.#now() });
    this.#characters += text.length;
    if (this.#isSending) return;
    this.#isSending = true;
    this.#after(GATHER_MS, () => void this.#send());
  }

  /** Tries once more what waits, and then gives up. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const deadline = this.#now() + TIMEOUT_MS;
    while (this.#waiting.length > 0 && this.#now() < deadline) {
      const batch = this.#batch();
      if ((await this.#attempt(batch)) !== undefined) break;
      this.#done(batch);
      this.sent += batch.length;
    }
    if (this.#waiting.length > 0) this.#giveUp(this.#waiting.length, "the relay stops");
    this.#waiting = [];
  }

  async #send(): Promise<void> {
    let batch: readonly WaitingEvent[] = [];
    while (this.#waiting.length > 0 && !this.#isStopped) {
      // What has failed is tried again as it was, so that its receiver can tell that it is the same.
      if (batch.length === 0) batch = this.#batch();
      const problem = await this.#attempt(batch);
      if (this.#isStopped) return;
      if (problem === undefined) {
        this.#pauseMs = 0;
        this.sent += batch.length;
        this.#done(batch);
        batch = [];
        continue;
      }
      batch = this.#dropOld(batch, problem);
      this.#pauseMs = Math.min(PAUSE_MAX_MS, Math.max(PAUSE_MS, 2 * this.#pauseMs));
      const pauseMs = this.#pauseMs * (1 + this.#random() / 5);
      await new Promise<void>((resolve) => this.#after(pauseMs, resolve));
    }
    this.#isSending = false;
  }

  #batch(): readonly WaitingEvent[] {
    let characters = 0;
    let count = 0;
    for (const { text } of this.#waiting) {
      characters += text.length;
      if (count > 0 && (count >= BATCH_MAX || characters > BATCH_CHARACTERS_MAX)) break;
      count++;
    }
    return this.#waiting.slice(0, count);
  }

  #done(batch: readonly WaitingEvent[]): void {
    for (const { text } of batch) this.#characters -= text.length;
    this.#waiting = this.#waiting.slice(batch.length);
  }

  /** Gives up the first events of a batch that failed, if they are as old as may be. Answers what is left of it. */
  #dropOld(batch: readonly WaitingEvent[], problem: string): readonly WaitingEvent[] {
    const oldest = this.#now() - AGE_MAX_MS;
    const old = batch.filter(({ happenedAt }) => happenedAt <= oldest);
    this.#done(old);
    if (old.length > 0) this.#giveUp(old.length, problem);
    else if (this.#pauseMs === 0) {
      this.#log.warn(
        `${this.#url.origin} does not take webhooks, which are tried again: ${problem}`,
      );
    }
    return batch.slice(old.length);
  }

  #giveUp(count: number, problem: string): void {
    this.givenUp += count;
    // The first of many says enough; the metrics have the number.
    if (this.givenUp > count && this.givenUp % WAITING_MAX >= count) return;
    this.#log.error(`${this.#url.origin} was not told of ${count} events: ${problem}`);
  }

  /** Why the receiver did not take them; undefined when it did. */
  async #attempt(batch: readonly WaitingEvent[]): Promise<string | undefined> {
    try {
      const { headers, body } = this.receiver.requestOf(batch.map(({ text }) => text));
      const target = await this.#target();
      if (target === undefined) {
        return "its address is not public, and BATON_WEBHOOKS_PRIVATE is not set";
      }
      const response = await this.#fetch(target, {
        method: "POST",
        headers: { ...headers, host: this.#url.host },
        body,
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `it answered with status ${response.status}`;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /**
   * What to call. Without TLS that is the address that was checked, because its name may mean another one by now; with TLS nobody else
   * has a certificate of that name.
   */
  async #target(): Promise<string | undefined> {
    const { protocol, hostname, href } = this.#url;
    if (this.#addresses === "any") return href;
    const address = await publicAddressOf(hostname);
    if (address === undefined || protocol === "https:") return address && href;
    const target = new URL(href);
    target.hostname = address;
    return target.href;
  }
}
