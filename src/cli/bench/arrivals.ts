// What the clients of `baton bench` receive: how much, after how long, and whether anything was lost or out of place. Each message says
// which sender it is from, its number at that sender, and when it was due.

/** Fewer senders than that would make the rate depend on how soon the relay answers. */
export const SENDERS = 32;

/** A bucket of durations is 2% wider than the one before; the first ends at a microsecond, the last after a quarter of an hour. */
const GROWTH = Math.log(1.02);
const SHORTEST_MS = 0.001;
const BUCKETS = 1_050;

/** Durations by their quantiles, in a fixed size. */
export class Durations {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;
  #longestMs = 0;

  add(ms: number): void {
    const bucket = ms <= SHORTEST_MS ? 0 : Math.ceil(Math.log(ms / SHORTEST_MS) / GROWTH);
    const place = Math.min(bucket, BUCKETS - 1);
    this.#counts[place] = (this.#counts[place] as number) + 1;
    this.#total++;
    this.#longestMs = Math.max(this.#longestMs, ms);
  }

  get longestMs(): number {
    return this.#longestMs;
  }

  /** What this share of them does not exceed, in ms; 0 where there are none. */
  quantileMs(share: number): number {
    let left = Math.ceil(this.#total * share);
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0 && count > 0) {
        return Math.min(this.#longestMs, SHORTEST_MS * Math.exp(bucket * GROWTH));
      }
    }
    return 0;
  }
}

/** The text of a message, padded to its size. */
export function messageOf(sender: number, number: number, dueMs: number, size: number): string {
  return `${sender} ${number} ${dueMs.toFixed(3)} `.padEnd(size, "x");
}

/** What all clients have received. */
export class Arrivals {
  readonly durations = new Durations();
  /** By client, then by sender: the number that comes next. */
  readonly #next: Uint32Array;
  /** Messages that came once. */
  received = 0;
  /** Messages that came again, or after a later one of the same sender. */
  disordered = 0;

  constructor(clients: number) {
    this.#next = new Uint32Array(clients * SENDERS);
  }

  take(client: number, text: string): void {
    const [sender, number, dueMs] = text.split(" ", 3).map(Number);
    // Somebody else has published to the topic.
    if (sender === undefined || number === undefined || dueMs === undefined) return;
    if (!(sender >= 0 && sender < SENDERS)) return;
    const place = client * SENDERS + sender;
    if (number < (this.#next[place] as number)) {
      this.disordered++;
      return;
    }
    this.#next[place] = number + 1;
    this.received++;
    this.durations.add(performance.now() - dueMs);
  }
}
