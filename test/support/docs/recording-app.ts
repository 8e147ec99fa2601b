// The app around an example in JavaScript: what the example calls, recorded, and a way to run its code.
import { Inbox } from "../inbox";
import { until } from "../wait";

/** Records the messages and losses that an example reports to its app. */
export class RecordingApp {
  readonly #messages = new Inbox<string>("a message");
  readonly lost: string[] = [];
  #hasEnded = false;

  readonly onMessage = (topic: string, data: unknown): void => {
    this.#messages.add(`${topic}: ${JSON.stringify(data)}`);
  };

  readonly onLost = (what: unknown): void => {
    this.lost.push(JSON.stringify(what));
  };

  /** In place of setTimeout, so that an example reconnects soon, and no longer when the test has ended. */
  readonly soon = (work: () => void): void => {
    if (!this.#hasEnded) setTimeout(work, 20);
  };

  /** The next `count` messages, such as `news: "hi"`. */
  take(count: number): Promise<string[]> {
    return this.#messages.take(count);
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
