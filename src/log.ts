// The log: one JSON line for each event, or readable lines on a terminal.
// Text from outside must go into fields, through `sanitized` of relay/text/visible.ts, and never into the sentence, so that it
// cannot forge a line.
import pino, { type DestinationStream, type Logger } from "pino";

export type Log = Logger;

/** Writes lines to `to`, which is standard output by default. */
export function createLog(
  level: string,
  to: DestinationStream = new LogOutput(() => Bun.stdout.writer()),
): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, to);
}

/** The same on standard output, in readable lines on a terminal. */
export async function createProcessLog(level: string): Promise<Log> {
  if (!process.stdout.isTTY) return createLog(level);
  // Only a terminal needs it, and it takes a twentieth of the CPU of a start.
  const { default: pretty } = await import("pino-pretty");
  return createLog(level, pretty({ sync: true, ignore: "pid,hostname" }));
}

/** What may wait for a reader of the log that is behind, in characters. */
const WAITING_MAX = 1_048_576;

/** Where lines are written to. A promise means that the reader is behind, and resolves when it has read what was written. */
interface LineSink {
  write(line: string): unknown;
  flush(): unknown;
}

/**
 * Writes lines at once. A reader of the log that stops, such as a shipper that hangs, must not make the relay wait: what it does not read
 * waits, and what is too much is dropped and counted. Nor may one that goes away, or a full disk, bring the relay down.
 */
export class LogOutput implements DestinationStream {
  readonly #open: () => LineSink;
  /** Opened by the first line: what else the process writes to standard output may not wait from then on either. */
  #opened: LineSink | undefined;
  #isBehind = false;
  #waiting = 0;
  #dropped = 0;

  constructor(open: () => LineSink) {
    this.#open = open;
  }

  get #sink(): LineSink {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  write(line: string): void {
    if (this.#isBehind) this.#wait(line);
    else this.#write(line);
  }

  #wait(line: string): void {
    if (this.#waiting + line.length > WAITING_MAX) {
      this.#dropped++;
      return;
    }
    this.#waiting += line.length;
    this.#attempt(() => this.#sink.write(line));
  }

  #write(line: string): void {
    this.#attempt(() => {
      this.#sink.write(line);
      this.#flush();
    });
  }

  #flush(): void {
    const flushed = this.#sink.flush();
    if (!(flushed instanceof Promise)) return;
    this.#isBehind = true;
    const goOn = () => this.#caughtUp();
    flushed.then(goOn, goOn);
  }

  #caughtUp(): void {
    this.#isBehind = false;
    this.#waiting = 0;
    const lines = this.#dropped;
    this.#dropped = 0;
    if (lines === 0) this.#attempt(() => this.#flush());
    else this.#write(missingLine(lines));
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch {
      // The reader has gone, or the disk is full.
    }
  }
}

/** In the form of all others. */
function missingLine(lines: number): string {
  const msg = "the log was not read fast enough, so lines are missing here";
  return `${JSON.stringify({ level: 40, time: new Date(), lines, msg })}\n`;
}

/** The beginning of a connection's id, enough to tell it from others. Anyone who has the whole id can connect with it. */
export function shortId(id: string): string {
  return `${id.slice(0, 8)}…`;
}

/** The shortest time between two lines of a throttled log. It doubles with each line for as long as the errors go on: an outage of a day fills no disk. */
const THROTTLE_MS = 1_000;
const THROTTLE_MAX_MS = 60_000;

/** Logs an error. Soon after the last line it only counts, for the field `more` of the next line. */
type ThrottledLog = (error: unknown) => void;

export function throttledLog(log: Log, sentence: string): ThrottledLog {
  let pauseMs = THROTTLE_MS;
  let next = 0;
  let more = 0;
  return (error) => {
    const now = performance.now();
    if (now < next) {
      more++;
      return;
    }
    const goesOn = more > 0 && now < next + pauseMs;
    pauseMs = goesOn ? Math.min(2 * pauseMs, THROTTLE_MAX_MS) : THROTTLE_MS;
    next = now + pauseMs;
    log.error({ err: error, ...(more > 0 && { more }) }, sentence);
    more = 0;
  };
}
