// Looks at the names of all topics or users: the more there are, the longer each takes. One is made in a turn of the event loop, so that
// others are served between them, however many programs ask.
import type { RelayOptions } from "../contracts/options";

export class Scans {
  readonly #later: RelayOptions["later"];
  readonly #waiting: (() => void)[] = [];

  constructor(later: RelayOptions["later"]) {
    this.#later = later;
  }

  /** Resolves in the turn in which it is made, so that what follows at once belongs to that turn. */
  make<Result>(scan: () => Result): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const made = () => {
      try {
        resolve(scan());
      } catch (error) {
        reject(error);
      }
    };
    if (this.#waiting.push(made) === 1) this.#later(this.#makeNext);
    return promise;
  }

  readonly #makeNext = (): void => {
    this.#waiting[0]?.();
    this.#waiting.shift();
    if (this.#waiting.length > 0) this.#later(this.#makeNext);
  };
}
