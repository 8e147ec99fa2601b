// Publications leave for the sockets in waves: what is accepted while a wave is being sent waits for the next one, so that
// each socket needs one send for all of it. Sends are nearly all that a delivery costs. When little is published nothing
// waits: a publication leaves at once, in its own turn of the event loop.
//
// To the rest of the relay a publication that waits has not been delivered yet. So whatever must not overtake a topic's
// publications calls `flush` first.
import type { RelayOptions } from "../contracts/options";
import type { Publication } from "../contracts/publication";
import type { Tally } from "../contracts/tally";
import { PacedTopics } from "./paced-topics";
import { TOPIC_SIZE_MAX, type WaveDelivery, waveSizeOf } from "./wave-delivery";

/** A wave that took less time than this is not worth waiting for: there is little to gain. */
const WORTH_WAITING_MS = 0.5;

/** A publication to fewer connections than this begins no wave: sending it takes no time that others could wait for. */
const RECEIVERS_MIN = 64;

/** It leaves early when it has this much of all topics together. */
const SIZE_MAX = 1_048_576;

/**
 * What became of the last wave:
 * - "sent": it left long enough ago, and the next publication leaves at once.
 * - "leaving": it has left in this turn of the event loop, and whatever else leaves in this turn belongs to it.
 * - "sending": its turn is over. Bun is sending it, or has just done so.
 * - "resting": the next one waits, for as long as sending this one took.
 */
type Phase = "sent" | "leaving" | "sending" | "resting";

export class Waves {
  readonly #now: () => number;
  readonly #later: (work: () => void) => void;
  readonly #after: RelayOptions["after"];
  /** The longest that a publication waits; 0 when none does. */
  readonly #waveMs: number;
  readonly #delivery: WaveDelivery;
  readonly #tally: Tally;
  #phase: Phase = "sent";
  /** Whether `#endTurn` has been scheduled. */
  #isWatched = false;
  /** When the last wave began to leave, and how many publications it had. */
  #begunAt = 0;
  #count = 0;
  /** While resting: when the next wave leaves. */
  #restsUntil = 0;
  #cancelTimer: (() => void) | undefined;
  /** What leaves with the next wave, in the order of acceptance. */
  #waiting: Publication[] = [];
  /** When each of them was accepted. */
  #waitingSince: number[] = [];
  /** When each of those was accepted that Bun is sending, or has just been given. */
  #departing: number[] = [];
  #waitingSize = 0;
  /** Its size by topic. */
  readonly #waitingTopics = new Map<string, number>();
  /** Topics that have a rule of their own, and waves of their own. */
  readonly #paced: PacedTopics;

  constructor(
    options: Pick<RelayOptions, "now" | "later" | "after" | "limits" | "tally">,
    delivery: WaveDelivery,
  ) {
    this.#now = options.now;
    this.#later = options.later;
    this.#after = options.after;
    this.#waveMs = options.limits.waveMs;
    this.#tally = options.tally;
    this.#delivery = delivery;
    this.#paced = new PacedTopics(options, delivery);
  }

  /**
   * Every engine calls it for each publication, topic by topic in order. Answers to how many connections it was sent, or
   * will be with the next wave.
   */
  deliver(publication: Publication): number {
    const ownMs = this.#delivery.waveMs(publication.topic);
    if (ownMs === 0) return this.#deliverAtOnce(publication);
    if (ownMs !== undefined) return this.#paced.deliver(publication, ownMs);
    if (this.#waiting.length > 0 || this.#mustWait()) return this.#wait(publication);
    if (this.#waveMs === 0) return this.#deliverAtOnce(publication);
    const begunAt = this.#now();
    const delivered = this.#delivery.deliver(publication);
    if (delivered < RECEIVERS_MIN) {
      if (delivered > 0) this.#tally.departed(begunAt, this.#now());
      return delivered;
    }
    this.#departing.push(begunAt);
    if (this.#phase === "leaving") this.#count++;
    else this.#hasLeft(1, begunAt);
    return delivered;
  }

  #deliverAtOnce(publication: Publication): number {
    const begunAt = this.#now();
    const delivered = this.#delivery.deliver(publication);
    if (delivered > 0) this.#tally.departed(begunAt, this.#now());
    return delivered;
  }

  /** Delivers what waits for this topic, and what was accepted before it. */
  flush(topic: string): void {
    if (this.#waitingTopics.has(topic)) this.#flushWaiting();
    else this.#paced.flush(topic);
  }

  /** Delivers all that waits. */
  flushAll(): void {
    this.#flushWaiting();
    this.#paced.flushAll();
  }

  /** Delivers what waits before its time: it is no wave that others are to wait for. */
  #flushWaiting(): void {
    const count = this.#waiting.length;
    if (count === 0) return;
    this.#deliverWaiting();
    this.#tally.waveSizes.observe(count);
    if (!this.#isWatched) this.#countDepartures(this.#now());
  }

  /**
   * A wave is waited for only if the last one had more than one publication: where each is published after the answer to
   * the one before, or where they come now and then, waiting would only cost time.
   */
  #mustWait(): boolean {
    if (this.#phase === "sending") return this.#count > 1;
    return this.#phase === "resting" && this.#now() < this.#restsUntil;
  }

  #wait(publication: Publication): number {
    const receivers = this.#delivery.receivers(publication);
    if (receivers === undefined) return 0;
    // Nobody waits for the first of a wave alone, unless it is large enough to be worth it.
    if (this.#waiting.length === 0 && receivers < RECEIVERS_MIN) {
      return this.#deliverAtOnce(publication);
    }
    const { topic } = publication;
    const size = waveSizeOf(publication);
    const topicSize = size + (this.#waitingTopics.get(topic) ?? 0);
    this.#waiting.push(publication);
    this.#waitingSince.push(this.#now());
    this.#waitingSize += size;
    this.#waitingTopics.set(topic, topicSize);
    if (topicSize >= TOPIC_SIZE_MAX || this.#waitingSize >= SIZE_MAX) this.#leave();
    else if (this.#phase === "resting") this.#startTimer();
    return receivers;
  }

  #startTimer(): void {
    this.#cancelTimer ??= this.#after(this.#restsUntil - this.#now(), () => {
      this.#cancelTimer = undefined;
      this.#leave();
    });
  }

  #leave(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const count = this.#waiting.length;
    if (count === 0) {
      this.#phase = "sent";
      return;
    }
    const begunAt = this.#now();
    this.#deliverWaiting();
    this.#hasLeft(count, begunAt);
  }

  #deliverWaiting(): void {
    const waiting = this.#waiting;
    const since = this.#waitingSince;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#waitingSince = [];
    this.#waitingSize = 0;
    this.#waitingTopics.clear();
    for (const publication of waiting) this.#delivery.deliver(publication);
    if (this.#departing.length === 0) this.#departing = since;
    else for (const acceptedAt of since) this.#departing.push(acceptedAt);
  }

  #countDepartures(now: number): void {
    const departing = this.#departing;
    this.#departing = [];
    for (const acceptedAt of departing) this.#tally.departed(acceptedAt, now);
  }

  #hasLeft(count: number, begunAt: number): void {
    if (this.#isWatched) this.#tally.waveSizes.observe(this.#count);
    this.#phase = "leaving";
    this.#count = count;
    this.#begunAt = begunAt;
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#later(this.#endTurn);
  }

  /**
   * Runs in the two turns after a wave has left. Bun sends what it was given at the end of a turn's input or, for what left
   * from a timer, at the beginning of the next turn's: only after the second turn has it all been sent for certain.
   */
  readonly #endTurn = (): void => {
    if (this.#phase === "leaving") {
      this.#phase = "sending";
      this.#later(this.#endTurn);
      return;
    }
    this.#isWatched = false;
    const now = this.#now();
    this.#tally.waveSizes.observe(this.#count);
    this.#countDepartures(now);
    const tookMs = Math.min(now - this.#begunAt, this.#waveMs);
    if (this.#count > 1 && tookMs >= WORTH_WAITING_MS) {
      this.#phase = "resting";
      this.#restsUntil = now + tookMs;
      if (this.#waiting.length > 0) this.#startTimer();
    } else this.#leave();
  };
}
