// What a test knows of the publications that it has made: which were acknowledged, and where each stands. Throws as soon as
// something is said of one that cannot be.
import { type Engine, EngineUnavailable } from "../../../src/relay/contracts/engine";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Position, Publication, Published } from "../../../src/relay/contracts/publication";

/** One publication, as its publishers know it. */
interface Made {
  readonly topic: string;
  readonly data: string;
  readonly node: number;
  readonly key: string | undefined;
  /** When it was first asked for, and when last before it was acknowledged: it was kept between them. */
  readonly at: number;
  lastAt: number;
  /** How often it was asked for: what was repeated may stand after what was asked for later. */
  attempts: number;
  isAcknowledged: boolean;
}

export class Publications {
  readonly #made = new Map<string, Made>();
  /** By data, and by topic, epoch and offset. */
  readonly #places = new Map<string, Position>();
  readonly #dataAt = new Map<string, string>();
  readonly #epochs = new Map<string, string>();
  readonly #underWay = new Set<Promise<void>>();
  /** What of a topic was removed on demand. */
  readonly #forgotten = new Map<string, number>();
  #crashes = 0;

  /** Those with a key, in the order in which they were first asked for. */
  get keyed(): readonly Made[] {
    return [...this.#made.values()].filter(({ key }) => key !== undefined);
  }

  /** Asks for a new one. */
  publish(engine: Engine, one: Pick<Made, "topic" | "node" | "at"> & { isKeyed: boolean }): void {
    const data = `${this.#made.size}`;
    const { topic, node, at } = one;
    const key = one.isKeyed ? data : undefined;
    const made = { topic, data, node, key, at, lastAt: at, attempts: 0, isAcknowledged: false };
    this.#made.set(data, made);
    this.repeat(engine, made, at);
  }

  /** Asks for one that has a key again, or for a new one. */
  repeat(engine: Engine, made: Made, at: number): void {
    const { topic, data, key } = made;
    made.attempts++;
    if (!made.isAcknowledged) made.lastAt = at;
    const crashes = this.#crashes;
    const attempt = answerOf(engine, { topic, data }, key).then((answer) => {
      if (answer === undefined || crashes < this.#crashes) return;
      made.isAcknowledged = true;
      this.stands({ topic, data, ...answer });
    });
    this.#underWay.add(attempt);
    const done = () => void this.#underWay.delete(attempt);
    attempt.then(done, () => {});
  }

  /** The engines have died: what they still answer, if anything, says nothing of their store. */
  crashed(): void {
    this.#crashes++;
    this.#underWay.clear();
  }

  /** Resolves when every call has been answered. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** An answer, a delivery or a history says where a publication stands: nowhere else, and nothing else does. */
  stands({ topic, data, epoch, offset }: Publication): void {
    if (!this.#made.has(data)) throw new Error(`nobody has published ${data}`);
    if (epoch === undefined || offset === undefined) return;
    const place = `${topic}/${epoch}/${offset}`;
    const before = this.#places.get(data);
    if (before !== undefined && (before.epoch !== epoch || before.offset !== offset)) {
      throw new Error(`${data} stands at ${before.epoch}/${before.offset} and at ${place}`);
    }
    const other = this.#dataAt.get(place) ?? data;
    if (other !== data) throw new Error(`${other} and ${data} both stand at ${place}`);
    const first = this.#epochs.get(topic) ?? epoch;
    if (first !== epoch) throw new Error(`${topic} was in ${first}, and now is in ${epoch}`);
    this.#epochs.set(topic, epoch);
    this.#places.set(data, { epoch, offset });
    this.#dataAt.set(place, data);
  }

  /** The topic's history was emptied when its newest publication was this one. */
  forgotten(topic: string, upTo: number): void {
    this.#forgotten.set(topic, upTo);
  }

  /** To be called when all is settled: whether a whole history is what it must be. */
  checkHistory(
    topic: string,
    { top, publications }: { top: Position | undefined; publications: readonly Publication[] },
    { size, newerThan }: { readonly size: number; readonly newerThan: number },
  ): void {
    const newest = top?.offset ?? 0;
    for (const [i, publication] of publications.entries()) {
      this.stands(publication);
      const expected = newest - publications.length + 1 + i;
      if (publication.offset !== expected) {
        throw new Error(`offset ${publication.offset} of ${topic} stands in place of ${expected}`);
      }
    }
    const has = new Set(publications.map(({ data }) => data));
    const kept = Math.max(newest - size, this.#forgotten.get(topic) ?? 0);
    for (const { data, at, lastAt, isAcknowledged } of this.#of(topic)) {
      const { offset = 0 } = this.#places.get(data) ?? {};
      if (!isAcknowledged) continue;
      if (offset > newest) throw new Error(`${data} is beyond the top`);
      const isLacking = offset > kept && at > newerThan && !has.has(data);
      const isLeft = (offset <= kept || lastAt <= newerThan) && has.has(data);
      if (!isLacking && !isLeft) continue;
      throw new Error(`${data} at ${offset} of ${newest} is ${isLeft ? "" : "not "}in ${topic}`);
    }
  }

  /** What a node asked for once, and was acknowledged, stands in the order in which it was asked for. */
  checkOrder(topic: string, node: number): void {
    let last = 0;
    for (const made of this.#of(topic)) {
      const offset = this.#places.get(made.data)?.offset;
      if (made.node !== node || made.attempts > 1 || !made.isAcknowledged) continue;
      if (offset === undefined) continue;
      if (offset <= last) throw new Error(`${made.data} of ${topic} stands before its predecessor`);
      last = offset;
    }
  }

  #of(topic: string): Made[] {
    return [...this.#made.values()].filter((made) => made.topic === topic);
  }
}

/** Undefined when the engine is out of reach. Rejects with a refusal. */
async function answerOf(
  engine: Engine,
  publication: Publication,
  key: string | undefined,
): Promise<Published | undefined> {
  try {
    const answer = await engine.publish(publication, key);
    if (!(answer instanceof Refusal)) return answer;
    throw answer;
  } catch (error) {
    if (error instanceof EngineUnavailable) return undefined;
    throw error;
  }
}
