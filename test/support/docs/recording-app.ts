// The app around an example in JavaScript: what the example calls, recorded, and a way to run its code.
import { until, within } from "../wait";

/** Records the messages and losses that an example reports to its app. */
export class RecordingApp {
  readonly #messages: string[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly lost: string[] = [];
  #hasEnded = false;

  readonly onMessage = (topic: string, data: unknown): void => {
    this.#messages.push(`${topic}: ${JSON.stringify(data)}`);
    this.#waiting.shift()?.();
  };

  readonly onLost = (what: unknown): void => {
    this.lost.push(JSON.stringify(what));
  };

  /** In place of setTimeout, so that an example reconnects soon, and no longer when the test has ended. */
  readonly soon = (work: () => void): void => {
    if (!this.#hasEnded) setTimeout(work, 20);
  };

  /** The next `count` messages, such as `news: "hi"`. */
  async take(count: number): Promise<string[]> {
    while (this.#messages.length < count) {
      await within("a message", new Promise<void>((resolve) => this.#waiting.push(resolve)));
    }
    return this.#messages.splice(0, count);
  }

  untilLost(): Promise<void> {
    return until("the app to be told of a loss", () => this.lost.length > 0);
  }

  [Symbol.dispose](): void {
    this.#hasEnded = true;
  }
}

/**
 * Runs an example's code and returns the value of `result`, an expression in it. `given` are the names that its app would
 * have; what it imports must be among them.
 */
export function runExample(
  code: string,
  given: Readonly<Record<string, unknown>>,
  result: string,
  // biome-ignore lint/suspicious/noExplicitAny: an example's values are of any shape
): any {
  const body = code.replaceAll(/^import .*$/gm, "");
  const run = new Function(...Object.keys(given), `${body}\n; return ${result};`);
  return run(...Object.values(given));
}
