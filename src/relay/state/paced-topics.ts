// Topics whose rule says how often they may send: all that is published within that time leaves in one wave. The first
// publication after a quiet time leaves at once.
import type { RelayOptions } from "../contracts/options";
import type { Publication } from "../contracts/publication";
import type { Tally } from "../contracts/tally";
import { TOPIC_SIZE_MAX, type WaveDelivery, waveSizeOf } from "./wave-delivery";

/** A topic of which something left within the time of its rule. */
interface PacedTopic {
  /** What leaves when that time is over, in the order of acceptance. */
  waiting: Publication[];
  /** When each of them was accepted. */
  waitingSince: number[];
  waitingSize: number;
}

export class PacedTopics {
  readonly #after: RelayOptions["after"];
  readonly #now: () => number;
  readonly #tally: Tally;
  readonly #delivery: WaveDelivery;
  readonly #topics = new Map<string, PacedTopic>();

  constructor(
    { after, now, tally }: Pick<RelayOptions, "after" | "now" | "tally">,
    delivery: WaveDelivery,
  ) {
    this.#after = after;
    this.#now = now;
    this.#tally = tally;
    this.#delivery = delivery;
  }

  /** Answers to how many connections the publication was sent, or will be with the next wave, at most `ms` later. */
  deliver(publication: Publication, ms: number): number {
    const { topic } = publication;
    const paced = this.#topics.get(topic);
    if (paced === undefined) {
      const begunAt = this.#now();
      const delivered = this.#delivery.deliver(publication);
      if (delivered === 0) return 0;
      this.#tally.departed(begunAt, this.#now());
      this.#pause(topic, { waiting: [], waitingSince: [], waitingSize: 0 }, ms);
      return delivered;
    }
    const receivers = this.#delivery.receivers(publication);
    if (receivers === undefined) return 0;
    paced.waiting.push(publication);
    paced.waitingSince.push(this.#now());
    paced.waitingSize += waveSizeOf(publication);
    if (paced.waitingSize >= TOPIC_SIZE_MAX) this.#deliverWaiting(paced);
    return receivers;
  }

  flush(topic: string): void {
    const paced = this.#topics.get(topic);
    if (paced !== undefined) this.#deliverWaiting(paced);
  }

  flushAll(): void {
    for (const paced of this.#topics.values()) this.#deliverWaiting(paced);
  }

  /** There is a timer only while the topic is published to. */
  #pause(topic: string, paced: PacedTopic, ms: number): void {
    this.#topics.set(topic, paced);
    this.#after(ms, () => {
      if (paced.waiting.length === 0) {
        this.#topics.delete(topic);
        return;
      }
      this.#deliverWaiting(paced);
      this.#pause(topic, paced, ms);
    });
  }

  #deliverWaiting(paced: PacedTopic): void {
    const { waiting, waitingSince } = paced;
    if (waiting.length === 0) return;
    paced.waiting = [];
    paced.waitingSince = [];
    paced.waitingSize = 0;
    for (const publication of waiting) this.#delivery.deliver(publication);
    const now = this.#now();
    this.#tally.waveSizes.observe(waiting.length);
    for (const acceptedAt of waitingSince) this.#tally.departed(acceptedAt, now);
  }
}
