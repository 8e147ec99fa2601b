// Publications leave for the sockets in waves: what is accepted while a wave is being sent waits for the next one, so that
// each socket needs one send for all of it. Sends are nearly all that a delivery costs. When little is published nothing
// waits: a publication leaves at once, in its own turn of the event loop.
//
// To the rest of the relay a publication that waits has not been delivered yet. So whatever must not overtake a topic's
// publications calls `flush` first.
import type { RelayOptions } from "../../contracts/options";
import type { Publication } from "../../contracts/publication";
import type { Tally } from "../../contracts/tally";
import { PacedTopics } from "./paced-topics";
import type { Topic } from "./topic";
import { TOPIC_SIZE_MAX, Wave, type WaveDelivery } from "./wave";

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
  /** What Bun is sending, or has just been given, and when it began to leave. */
  #leaving = new Wave();
  #begunAt = 0;
  /** While resting: when the next wave leaves. */
  #restsUntil = 0;
  #cancelTimer: (() => void) | undefined;
  /** What leaves next, and how much of it there is by topic. */
  #waiting = new Wave();
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
    const topic = this.#delivery.topic(publication.topic);
    if (topic === undefined) return 0;
    const { waveMs = this.#waveMs } = topic.rule;
    if (waveMs === 0) return this.#deliverAtOnce(topic, publication);
    if (topic.rule.waveMs !== undefined) return this.#paced.deliver(topic, publication, waveMs);
    if (!this.#waiting.isEmpty || this.#mustWait()) return this.#wait(topic, publication);
    if (topic.subscribers < RECEIVERS_MIN) return this.#deliverAtOnce(topic, publication);
    const begunAt = this.#now();
    const delivered = this.#delivery.deliver(topic, publication);
    if (delivered < RECEIVERS_MIN) {
      if (delivered > 0) this.#tally.leftAtOnce();
      return delivered;
    }
    if (this.#phase !== "leaving") this.#beginsToLeave(new Wave(), begunAt);
    this.#leaving.add(topic, publication, begunAt);
    return delivered;
  }

  #deliverAtOnce(topic: Topic, publication: Publication): number {
    const delivered = this.#delivery.deliver(topic, publication);
    if (delivered > 0) this.#tally.leftAtOnce();
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
    if (this.#waiting.isEmpty) return;
    const { publications } = this.#deliverWaiting();
    this.#tally.waveLeft(publications, this.#now());
  }

  /**
   * A wave is waited for only if the last one had more than one publication: where each is published after the answer to
   * the one before, or where they come now and then, waiting would only cost time.
   */
  #mustWait(): boolean {
    if (this.#phase === "sending") return this.#leaving.publications.length > 1;
    return this.#phase === "resting" && this.#now() < this.#restsUntil;
  }

  #wait(topic: Topic, publication: Publication): number {
    const receivers = this.#delivery.receivers(topic, publication);
    const wave = this.#waiting;
    // Nobody waits for the first of a wave alone, unless it is large enough to be worth it.
    if (wave.isEmpty && receivers < RECEIVERS_MIN) return this.#deliverAtOnce(topic, publication);
    const size = wave.add(topic, publication, this.#now());
    const topicSize = size + (this.#waitingTopics.get(topic.name) ?? 0);
    this.#waitingTopics.set(topic.name, topicSize);
    if (topicSize >= TOPIC_SIZE_MAX || wave.size >= SIZE_MAX) this.#leave();
    else if (this.#phase === "resting") this.#startTimer();
    return receivers;
  }

  #startTimer(): void {
    // On a busy machine the rest may be over by now.
    this.#cancelTimer ??= this.#after(Math.max(0, this.#restsUntil - this.#now()), () => {
      this.#cancelTimer = undefined;
      this.#leave();
    });
  }

  /** What waits leaves now, if anything does. */
  #leave(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#waiting.isEmpty) {
      this.#phase = "sent";
      return;
    }
    const begunAt = this.#now();
    this.#beginsToLeave(this.#deliverWaiting(), begunAt);
  }

  #deliverWaiting(): Wave {
    const wave = this.#waiting;
    this.#waiting = new Wave();
    this.#waitingTopics.clear();
    this.#delivery.deliverAll(wave.publications);
    return wave;
  }

  #beginsToLeave(wave: Wave, begunAt: number): void {
    const isWatched = this.#phase === "leaving" || this.#phase === "sending";
    if (this.#phase === "sending") this.#tally.waveLeft(this.#leaving.publications, begunAt);
    this.#phase = "leaving";
    this.#leaving = wave;
    this.#begunAt = begunAt;
    if (!isWatched) this.#later(this.#endTurn);
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
    const { publications } = this.#leaving;
    this.#leaving = new Wave();
    const now = this.#now();
    this.#tally.waveLeft(publications, now);
    const tookMs = Math.min(now - this.#begunAt, this.#waveMs);
    if (publications.length > 1 && tookMs >= WORTH_WAITING_MS) {
      this.#phase = "resting";
      this.#restsUntil = now + tookMs;
      if (!this.#waiting.isEmpty) this.#startTimer();
    } else {
      this.#phase = "sent";
      this.#leave();
    }
  };
}
