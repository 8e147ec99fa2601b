// One line on stderr that says what the bench is doing: rewritten on a terminal, plain lines elsewhere.
// The results go to stdout, so that they can be piped.

const terminal = process.stderr.isTTY;
const started = performance.now();

function elapsed(): string {
  const seconds = Math.round((performance.now() - started) / 1e3);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Shows what is done now; where lines stay, only what is new. */
export function showProgress(text: string, isNew: boolean): void {
  if (!terminal && !isNew) return;
  const line = `[${elapsed()}] ${text}`;
  process.stderr.write(
    terminal ? `\r\x1b[2K${line.slice(0, process.stderr.columns)}` : `${line}\n`,
  );
}

/** Says something that stays, such as a failure. */
export function showNote(text: string): void {
  clearProgress();
  process.stderr.write(`${text}\n`);
}

/** Removes the rewritten line before something else is printed. */
export function clearProgress(): void {
  if (terminal) process.stderr.write("\r\x1b[2K");
}
