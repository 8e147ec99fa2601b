// The log of what goes wrong with every request while something is out of reach: a line now and then, not one for each.
import type { Log } from "./log";

/** Between two lines, at least. */
const PAUSE_MS = 1_000;

/** Logs an error; when the last one was logged just now, only counts it, for the next line's field `more`. */
export type Complain = (error: unknown) => void;

export function complaint(log: Log, sentence: string): Complain {
  let next = 0;
  let more = 0;
  return (error) => {
    const now = performance.now();
    if (now < next) {
      more++;
      return;
    }
    next = now + PAUSE_MS;
    log.error({ err: error, ...(more > 0 && { more }) }, sentence);
    more = 0;
  };
}
