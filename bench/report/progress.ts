// One line on stderr that says what the bench is doing: rewritten on a terminal, a new line elsewhere.
// The results go to stdout, so that they can be piped.

const isTerminal = process.stderr.isTTY;
const started = performance.now();

function elapsed(): string {
  const seconds = Math.round((performance.now() - started) / 1e3);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Shows what the bench starts to do. */
export function showProgress(text: string): void {
  if (isTerminal) updateProgress(text);
  else process.stderr.write(`[${elapsed()}] ${text}\n`);
}

/** Shows, on a terminal only, what the bench does next as a part of that. */
export function updateProgress(text: string): void {
  if (!isTerminal) return;
  const line = `[${elapsed()}] ${text}`;
  process.stderr.write(`\r\x1b[2K${line.slice(0, process.stderr.columns)}`);
}

/** Prints a line that stays, such as a failure. */
export function showNote(text: string): void {
  clearProgress();
  process.stderr.write(`${text}\n`);
}

/** Prints a line that stays, with the time that has passed. */
export function showTimedNote(text: string): void {
  showNote(`[${elapsed()}] ${text}`);
}

/** Removes the rewritten line before something else is printed. */
export function clearProgress(): void {
  if (isTerminal) process.stderr.write("\r\x1b[2K");
}
