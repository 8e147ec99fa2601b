// How far a command has come, in one line on a terminal that is written again and again. On anything else it shows nothing.
import { note } from "./output";

/** The shortest time between two drawings. */
const DRAW_MS = 100;

const BAR_WIDTH = 24;
const CLEAR_LINE = "\r\u001b[K";

export class Progress {
  readonly #bytesAll: number | undefined;
  readonly #isShown = process.stderr.isTTY === true;
  readonly #start = performance.now();
  #drawnAt = 0;

  /** `bytesAll` is the size of the input, where it is known. */
  constructor(bytesAll: number | undefined) {
    this.#bytesAll = bytesAll;
  }

  show(text: string, bytes: number): void {
    const now = performance.now();
    if (!this.#isShown || now - this.#drawnAt < DRAW_MS) return;
    this.#drawnAt = now;
    const seconds = ((now - this.#start) / 1_000).toFixed(0);
    const line = `${text}, ${seconds} s`;
    // What goes on in the next line of the terminal would stay there.
    const room = (process.stderr.columns || Number.POSITIVE_INFINITY) - 1;
    const bar = this.#bar(bytes);
    note(CLEAR_LINE + (bar.length + line.length > room ? "" : bar) + line.slice(0, room));
  }

  clear(): void {
    if (this.#drawnAt === 0) return;
    this.#drawnAt = 0;
    note(CLEAR_LINE);
  }

  #bar(bytes: number): string {
    if (this.#bytesAll === undefined || this.#bytesAll === 0) return "";
    const share = Math.min(1, bytes / this.#bytesAll);
    const full = Math.round(share * BAR_WIDTH);
    return `[${"#".repeat(full).padEnd(BAR_WIDTH)}] ${Math.floor(share * 100)}%  `;
  }
}
