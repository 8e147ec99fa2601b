// What commands write. A write returns when it is taken, so a reader that is slow slows the command down, and the memory of a
// command does not grow. One whose reader has gone (`baton subscribe tech | head -1`) ends, and says nothing.
import { writeSync } from "node:fs";
import { CommandFailure } from "./failure";

const STDOUT = 1;
const STDERR = 2;

/** How long a pipe that is full, and that somebody has made non-blocking, is given before the next try. */
const FULL_MS = 5;

/** The reader of what is written has gone. */
export class ReaderGone extends Error {}

/** Writes a line to standard output. Throws ReaderGone, and CommandFailure where it cannot be written. */
export function print(line: string): void {
  write(STDOUT, `${line}\n`);
}

/** Writes a text to standard error, for people. */
export function note(text: string): void {
  try {
    write(STDERR, text);
  } catch (error) {
    if (!(error instanceof ReaderGone || error instanceof CommandFailure)) throw error;
  }
}

function write(file: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(file, rest));
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === "EPIPE") throw new ReaderGone();
      if (code !== "EAGAIN") {
        throw new CommandFailure(`The output cannot be written: ${(error as Error).message}.`);
      }
      Bun.sleepSync(FULL_MS);
    }
  }
}
