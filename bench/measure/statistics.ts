// Median and spread of several runs: the only arithmetic between what was measured and what is reported.

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median (the mean of the middle two if the count is even), the least and the greatest; undefined without values. */
export function summaryOf(values: readonly number[]): Summary | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const min = sorted[0];
  const max = sorted[sorted.length - 1];
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.ceil((sorted.length - 1) / 2)];
  if (min === undefined || max === undefined || low === undefined || high === undefined) {
    return undefined;
  }
  return { median: (low + high) / 2, min, max };
}
