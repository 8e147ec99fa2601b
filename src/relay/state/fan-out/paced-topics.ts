// Topics whose rule says how often they may send: all that is published within that time leaves in one wave. The first
// publication after a quiet time leaves at once.
import type { RelayOptions } from "../../contracts/options";
import type { Publication } from "../../contracts/publication";
import type { Tally } from "../../contracts/tally";
import type { Topic } from "./topic";
import { TOPIC_SIZE_MAX, Wave, type WaveDelivery } from "./wave";

/** A topic of which something left within the time of its rule. */
interface PacedTopic {
  /** What leaves when that time is over. */
  wave: Wave;
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
  deliver(topic: Topic, publication: Publication, ms: number): number {
    const paced = this.#topics.get(topic.name);
    if (paced === undefined) {
      const delivered = this.#delivery.deliver(topic, publication);
      if (delivered === 0) return 0;
      this.#tally.leftAtOnce();
      this.#pause(topic.name, { wave: new Wave() }, ms);
      return delivered;
    }
    const receivers = this.#delivery.receivers(topic, publication);
    paced.wave.add(topic, publication, this.#now());
    if (paced.wave.size >= TOPIC_SIZE_MAX) this.#deliverWave(paced);
    return receivers;
  }

  flush(topic: string): void {
    const paced = this.#topics.get(topic);
    if (paced !== undefined) this.#deliverWave(paced);
  }

  flushAll(): void {
    for (const paced of this.#topics.values()) this.#deliverWave(paced);
  }

  /** There is a timer only while the topic is published to. */
  #pause(topic: string, paced: PacedTopic, ms: number): void {
    this.#topics.set(topic, paced);
    this.#after(ms, () => {
      if (paced.wave.isEmpty) {
        this.#topics.delete(topic);
        return;
      }
      this.#deliverWave(paced);
      this.#pause(topic, paced, ms);
    });
  }

  #deliverWave(paced: PacedTopic): void {
    const { wave } = paced;
    if (wave.isEmpty) return;
    paced.wave = new Wave();
    this.#delivery.deliverAll(wave.publications);
    this.#tally.waveLeft(wave.publications, this.#now());
  }
}
