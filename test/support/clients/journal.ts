// What one client was given of one topic, and whether that is all that it must have been given: each publication once, in the
// order of the offsets, none left out unless it was told so.
import { expect } from "bun:test";
import type { Place } from "./resuming-client";

/** Publications that were acknowledged, by topic, epoch and offset. */
export class Acknowledged {
  readonly #texts = new Map<string, string>();
  /** Texts that were not acknowledged at the first attempt: after a loss of data they may have been published twice. */
  readonly retried = new Set<string>();
  readonly faults: string[] = [];

  get size(): number {
    return this.#texts.size;
  }

  add(topic: string, text: string, { epoch, offset }: Place): void {
    const place = `${topic} ${epoch} ${offset}`;
    const other = this.#texts.get(place);
    if (other !== undefined && other !== text) this.faults.push(`${text} and ${other} at ${place}`);
    this.#texts.set(place, text);
  }

  at(topic: string, { epoch, offset }: Place): string | undefined {
    return this.#texts.get(`${topic} ${epoch} ${offset}`);
  }
}

export class Journal {
  readonly topic: string;
  /** Whose it is, to be shown when it is wrong. */
  readonly name: string;
  readonly faults: string[] = [];
  /** How often it was told that something is lost. */
  losses = 0;
  count = 0;
  readonly #acknowledged: Acknowledged;
  readonly #seen = new Set<string>();
  /** Up to where it has everything; undefined before its first place is known. */
  at: Place | undefined;

  constructor(name: string, topic: string, acknowledged: Acknowledged) {
    this.name = name;
    this.topic = topic;
    this.#acknowledged = acknowledged;
  }

  entered(place: Place, isLost: boolean): void {
    if (isLost) this.losses++;
    else if (this.at !== undefined) this.faults.push(`entered anew at ${place.offset}`);
    this.at = place;
  }

  take(text: string, place: Place): void {
    const { at } = this;
    const isNext = at === undefined || (at.epoch === place.epoch && at.offset + 1 === place.offset);
    if (!isNext) {
      this.faults.push(`${place.epoch}:${place.offset} after ${at.epoch}:${at.offset}`);
    }
    this.at = place;
    this.count++;
    if (this.#seen.has(text) && !this.#acknowledged.retried.has(text)) {
      this.faults.push(`${text} twice`);
    }
    this.#seen.add(text);
    const other = this.#acknowledged.at(this.topic, place);
    if (other !== undefined && other !== text) this.faults.push(`${text} in place of ${other}`);
  }

  /** It is where its topic is, and nothing was wrong on the way. */
  check(top: Place): void {
    expect(this.faults, this.name).toEqual([]);
    expect(this.at, this.name).toEqual(top);
  }
}

/** The same for a client that knows no places: what it was given must stand in the order of `all`. */
export class PlainJournal {
  readonly texts: string[] = [];

  /** Without a hole between the first and the last, when `isWhole`. */
  check(
    name: string,
    all: readonly string[],
    retried: ReadonlySet<string>,
    isWhole: boolean,
  ): void {
    const numbers = new Map(all.map((text, i) => [text, i]));
    let last = -1;
    const doubled: string[] = [];
    const seen = new Set<string>();
    for (const text of this.texts) {
      if (seen.has(text) && !retried.has(text)) doubled.push(text);
      seen.add(text);
      const number = numbers.get(text);
      if (number === undefined || retried.has(text)) continue;
      expect(number, `${name}: ${text}`).toBeGreaterThan(last);
      last = number;
    }
    expect(doubled, name).toEqual([]);
    if (!isWhole) return;
    const from = numbers.get(this.texts[0] ?? "") ?? 0;
    expect(this.texts, name).toEqual(all.slice(from));
  }
}
