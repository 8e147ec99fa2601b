// How long the storms of the slow tests are: FULL=1 has them as long as before a release, which CI has no time for.

const IS_FULL = process.env.FULL === "1";

/** The first with FULL=1, the second otherwise. */
export const inFull = (full: number, otherwise: number): number => (IS_FULL ? full : otherwise);
