// Counts of durations in log-linear buckets: 64 for each power of two, so a bucket is at most 1.6% wide.
// The counts are plain numbers, so that a histogram can be sent to another process and added to its own.

const BUCKETS = 27 * 64;
const DURATION_MAX_US = 2 ** 31 - 1;

export class Histogram {
  readonly counts: number[];

  constructor(counts?: readonly number[]) {
    this.counts = counts === undefined ? new Array<number>(BUCKETS).fill(0) : [...counts];
  }

  /** Counts one duration in whole microseconds. A negative one counts as 0, one over 35 minutes as 35 minutes. */
  add(us: number): void {
    const value = us <= 0 ? 0 : us > DURATION_MAX_US ? DURATION_MAX_US : us | 0;
    let index = value;
    if (value >= 64) {
      const shift = 25 - Math.clz32(value);
      index = (shift + 1) * 64 + (value >> shift) - 64;
    }
    this.counts[index] = (this.counts[index] ?? 0) + 1;
  }

  addAll(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) {
      this.counts[i] = (this.counts[i] ?? 0) + (other.counts[i] ?? 0);
    }
  }

  get total(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** The duration in microseconds that a `share` (0 to 1) of all do not exceed: the upper edge of its bucket. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(this.total * share));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.counts[index] ?? 0;
      if (seen >= rank) return upperEdge(index);
    }
    return 0;
  }
}

function upperEdge(index: number): number {
  if (index < 64) return index;
  const shift = (index >> 6) - 1;
  return (64 + (index & 63) + 1) * 2 ** shift - 1;
}
