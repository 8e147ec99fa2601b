// The log: one JSON line for each event, or readable lines on a terminal.
// Text from outside must go into fields, through `sanitized` of relay/text/visible.ts, and never into the sentence, so that it
// cannot forge a line.
import pino, { type DestinationStream, type Logger } from "pino";

export type Log = Logger;

/** Writes lines to `to`, which is standard output by default. */
export function createLog(level: string, to: DestinationStream = standardOutput()): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, to);
}

/** The same on standard output, in readable lines on a terminal. */
export async function createProcessLog(level: string): Promise<Log> {
  if (!process.stdout.isTTY) return createLog(level);
  // Only a terminal needs it, and it takes a twentieth of the CPU of a start.
  const { default: pretty } = await import("pino-pretty");
  return createLog(level, pretty({ sync: true, ignore: "pid,hostname" }));
}

function standardOutput(): DestinationStream {
  const destination = pino.destination({ fd: 1, sync: true });
  // A reader of the log that goes away must not bring down the relay.
  destination.on("error", () => {});
  return destination;
}

/** The beginning of a connection's id, enough to tell it from others. Anyone who has the whole id can connect with it. */
export function shortId(id: string): string {
  return `${id.slice(0, 8)}…`;
}

/** The shortest time between two lines of a throttled log. */
const THROTTLE_MS = 1_000;

/** Logs an error. Within a second of the last line it only counts, for the field `more` of the next line. */
type ThrottledLog = (error: unknown) => void;

export function throttledLog(log: Log, sentence: string): ThrottledLog {
  let next = 0;
  let more = 0;
  return (error) => {
    const now = performance.now();
    if (now < next) {
      more++;
      return;
    }
    next = now + THROTTLE_MS;
    log.error({ err: error, ...(more > 0 && { more }) }, sentence);
    more = 0;
  };
}
