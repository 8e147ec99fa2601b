// When many clients come back at once, those that show the same credentials are one question: whoever asks the same within a moment
// gets the answer that is on its way, or that has come. Answers are kept in number and in size, and nothing of them for long.
import { hash } from "node:crypto";

interface Kept<Answer> {
  readonly at: number;
  readonly answer: Promise<Answer>;
  /** In characters, once it has come. */
  size: number;
}

/** Answers, and characters of them, that are kept at most. */
const ANSWERS_MAX = 10_000;
const CHARACTERS_MAX = 16_777_216;

export class RecentAnswers<Answer> {
  readonly #now: () => number;
  readonly #kept = new Map<string, Kept<Answer>>();
  #characters = 0;
  #timer: Timer | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The answer to the same question, if it is not older than that. */
  find(question: string, ageMs: number): Promise<Answer> | undefined {
    const found = this.#kept.get(keyOf(question));
    return found !== undefined && found.at + ageMs > this.#now() ? found.answer : undefined;
  }

  /** From now on this is the answer to the question. `sizeOf` says how many characters it has; undefined: it is not kept. */
  keep(
    question: string,
    ageMs: number,
    answer: Promise<Answer>,
    sizeOf: (answer: Answer) => number | undefined,
  ): void {
    this.#expire(ageMs);
    if (this.#kept.size >= ANSWERS_MAX || this.#characters > CHARACTERS_MAX) return;
    const key = keyOf(question);
    const kept: Kept<Answer> = { at: this.#now(), answer, size: 0 };
    this.#drop(key);
    this.#kept.set(key, kept);
    this.#timer ??= setTimeout(() => this.#clear(), ageMs).unref();
    void answer.then((come) => {
      if (this.#kept.get(key) !== kept) return;
      const size = sizeOf(come);
      if (size === undefined) this.#drop(key);
      else {
        kept.size = size;
        this.#characters += size;
      }
    });
  }

  /** Once nobody has asked for a moment, nothing is left. */
  #clear(): void {
    this.#timer = undefined;
    this.#kept.clear();
    this.#characters = 0;
  }

  /** They are in the order in which they were asked for. */
  #expire(ageMs: number): void {
    const oldest = this.#now() - ageMs;
    for (const [key, { at }] of this.#kept) {
      if (at > oldest) return;
      this.#drop(key);
    }
  }

  #drop(key: string): void {
    this.#characters -= this.#kept.get(key)?.size ?? 0;
    this.#kept.delete(key);
  }
}

/** Credentials are not kept as they are. */
function keyOf(question: string): string {
  return hash("sha256", question, "base64");
}
