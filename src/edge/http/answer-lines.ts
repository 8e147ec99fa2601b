// The answers to published lines, as text. Most of them differ from the one before in their offset alone. So those with the same beginning and
// end are joined at once: to put each together by itself took three times as long.
import type { Published } from "../../relay/contracts/publication";

export class AnswerLines {
  #text = "";
  /** Offsets of answers that are alike otherwise, and what comes before and after each of them. */
  #offsets: number[] = [];
  #begin = "";
  #end = "";
  /** What `#begin` and `#end` are made of. */
  #delivered = -1;
  #epoch = "";

  addPublished(answer: Published): void {
    const { delivered, scope, offset, epoch } = answer;
    if (scope !== undefined || offset === undefined || epoch === undefined) {
      this.addText(`${JSON.stringify(answer)}\n`);
      return;
    }
    if (delivered !== this.#delivered || epoch !== this.#epoch) {
      this.#join();
      this.#delivered = delivered;
      this.#epoch = epoch;
      this.#begin = `{"delivered":${delivered},"offset":`;
      this.#end = `,"epoch":${JSON.stringify(epoch)}}\n`;
    }
    this.#offsets.push(offset);
  }

  /** Adds lines, each with its line feed. */
  addText(lines: string): void {
    this.#join();
    this.#text += lines;
  }

  /** All lines since the last call. */
  take(): string {
    this.#join();
    const text = this.#text;
    this.#text = "";
    return text;
  }

  #join(): void {
    if (this.#offsets.length === 0) return;
    this.#text += this.#begin + this.#offsets.join(this.#end + this.#begin) + this.#end;
    this.#offsets = [];
  }
}
