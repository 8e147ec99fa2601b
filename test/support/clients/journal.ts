// What one client received of one topic, and whether that is what it must have received: each publication once, in the
// order of the offsets, with no gap that the relay did not announce.
import { expect } from "bun:test";
import type { Position } from "../../../src/relay/contracts/publication";

/** Publications that were acknowledged to their publishers, by topic, epoch and offset. */
export class Acknowledged {
  readonly #texts = new Map<string, string>();
  /** Texts that were not acknowledged at the first attempt; after a loss of data they may have been published twice. */
  readonly retried = new Set<string>();
  readonly faults: string[] = [];

  get size(): number {
    return this.#texts.size;
  }

  add(topic: string, text: string, { epoch, offset }: Position): void {
    const key = `${topic} ${epoch} ${offset}`;
    const other = this.#texts.get(key);
    if (other !== undefined && other !== text) this.faults.push(`${text} and ${other} at ${key}`);
    this.#texts.set(key, text);
  }

  at(topic: string, { epoch, offset }: Position): string | undefined {
    return this.#texts.get(`${topic} ${epoch} ${offset}`);
  }
}

/** The journal of a client that knows its positions. */
export class Journal {
  readonly topic: string;
  /** The name of the client, shown when an expectation fails. */
  readonly name: string;
  readonly faults: string[] = [];
  /** How often the relay said that publications are lost. */
  losses = 0;
  /** How many publications came. */
  count = 0;
  readonly #acknowledged: Acknowledged;
  readonly #seen = new Set<string>();
  /** The client has everything up to here; undefined until it has its first position. */
  position: Position | undefined;

  constructor(name: string, topic: string, acknowledged: Acknowledged) {
    this.name = name;
    this.topic = topic;
    this.#acknowledged = acknowledged;
  }

  /** The client was given a position to begin at, because it is new or because publications are lost. */
  begin(position: Position, why: "first" | "lost"): void {
    if (why === "lost") this.losses++;
    else if (this.position !== undefined) {
      this.faults.push(`began again at ${position.offset} though nothing is lost`);
    }
    this.position = position;
  }

  receive(text: string, position: Position): void {
    this.#expectNext(position);
    this.position = position;
    this.count++;
    if (this.#seen.has(text) && !this.#acknowledged.retried.has(text)) {
      this.faults.push(`${text} twice`);
    }
    this.#seen.add(text);
    const other = this.#acknowledged.at(this.topic, position);
    if (other !== undefined && other !== text) this.faults.push(`${text} in place of ${other}`);
  }

  /** Expects that the client has reached the top of its topic without a fault. */
  check(top: Position): void {
    expect(this.faults, this.name).toEqual([]);
    expect(this.position, this.name).toEqual(top);
  }

  #expectNext({ epoch, offset }: Position): void {
    const last = this.position;
    if (last === undefined || (last.epoch === epoch && last.offset + 1 === offset)) return;
    this.faults.push(`${epoch}:${offset} after ${last.epoch}:${last.offset}`);
  }
}

/** The journal of a plain client, which knows no positions: its texts must be in the order of the topic's history. */
export class PlainJournal {
  readonly texts: string[] = [];

  /** Expects the order of `all` and, where it must be `gapless`, each text from the first that came to the last of all. */
  check(
    name: string,
    all: readonly string[],
    retried: ReadonlySet<string>,
    gaps: "gapless" | "may have gaps",
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
    if (gaps === "may have gaps") return;
    const from = numbers.get(this.texts[0] ?? "") ?? 0;
    expect(this.texts, name).toEqual(all.slice(from));
  }
}
