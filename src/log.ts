// The log: one JSON line for each event, or readable lines on a terminal.
// What a user gave goes into fields, through `shown`, never into the sentence: it cannot forge a line.
import pino, { type DestinationStream, type Logger } from "pino";
import pretty from "pino-pretty";

export type Log = Logger;

/** `to` is where lines go; standard output unless a test says otherwise. */
export function createLog(level: string, to?: DestinationStream): Log {
  const stream =
    to ??
    (process.stdout.isTTY ? pretty({ sync: true, ignore: "pid,hostname" }) : standardOutput());
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream);
}

function standardOutput(): DestinationStream {
  const destination = pino.destination({ fd: 1, sync: true });
  // A reader of the log that goes away must not take the relay along.
  destination.on("error", () => {});
  return destination;
}

// Beyond what JSON escapes by itself: C1 controls, and the line and direction marks of Unicode.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text from outside as it may be logged: at most 200 characters, everything invisible escaped. */
export function sanitized(text: string): string {
  const cut = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return cut
    .toWellFormed()
    .replace(INVISIBLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** As much of a connection's id as tells it from others: whoever has all of it may be able to connect with it. */
export function shortId(id: string): string {
  return `${id.slice(0, 8)}…`;
}

/** Between two lines, at least. */
const PAUSE_MS = 1_000;

/** Logs an error; when the last one was logged just now, only counts it, for the next line's field `more`. */
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
    next = now + PAUSE_MS;
    log.error({ err: error, ...(more > 0 && { more }) }, sentence);
    more = 0;
  };
}
