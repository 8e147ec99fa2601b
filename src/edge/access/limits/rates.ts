// How often something may happen in a second, in as little memory as a time: that at which all that has happened would be over if
// each took its share of the second (the generic cell rate algorithm). A second's worth may happen at once.

const SECOND_MS = 1_000;

/** What sums of times may be off by. */
const ROUNDING_MS = 0.001;

/** The rate of one. */
export class Rate {
  readonly #msEach: number;
  #endsAt = 0;

  constructor(perSecond: number) {
    this.#msEach = SECOND_MS / perSecond;
  }

  /**
   * Counts so many; otherwise says after how many ms some may happen again. As long as there is room for one, there is room for
   * several: then it takes as much longer until there is room again.
   */
  take(count: number, now: number): number {
    const waitMs = this.waitMs(now);
    if (waitMs === 0) this.#endsAt = Math.max(now, this.#endsAt) + count * this.#msEach;
    return waitMs;
  }

  /** After how many ms there is room; 0: now. */
  waitMs(now: number): number {
    const waitMs = this.#endsAt - now + this.#msEach - SECOND_MS;
    return waitMs > ROUNDING_MS ? waitMs : 0;
  }
}

/** In each row. A quarter of them are in use where 30,000 clients have sent something in the last second. */
const SLOTS = 2 ** 17;

/**
 * The rates of any number of clients, in two rows of slots: 2 MB. In each row a client shares its slot with those whose names
 * have the same hash, and the slot that says less counts. So no client is ever let do more than it may, however many there are, and
 * one is refused too early only if others, each within its own limit, fill its slots in both rows. A map of clients would have to
 * forget some of them when there are many, and an attacker with a network of IPv6 could have itself forgotten.
 */
export class ClientRates {
  readonly #msEach: number;
  readonly #endTimes = new Float64Array(2 * SLOTS);
  /** Nobody outside can tell which names share a slot. */
  readonly #seed = crypto.getRandomValues(new Uint32Array(1))[0] as number;

  constructor(perSecond: number) {
    this.#msEach = SECOND_MS / perSecond;
  }

  /** Counts one of this client; false when that would be too many. */
  take(client: string, now: number): boolean {
    const hash = Bun.hash.xxHash32(client, this.#seed);
    const first = hash % SLOTS;
    const second = SLOTS + (hash >>> 15);
    const endTimes = this.#endTimes;
    const [one, other] = [endTimes[first] as number, endTimes[second] as number];
    const next = Math.max(now, Math.min(one, other)) + this.#msEach;
    if (next - now > SECOND_MS + ROUNDING_MS) return false;
    if (one < next) endTimes[first] = next;
    if (other < next) endTimes[second] = next;
    return true;
  }
}
