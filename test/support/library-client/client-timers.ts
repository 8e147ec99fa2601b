// The timers of baton/client, in a test's hands: pauses are recorded and take a millisecond, and its checks of the connection run when
// the test says so. Timers of anything else stay as they are.
import { spyOn } from "bun:test";

export class ClientTimers implements Disposable {
  /** How long it would have waited before each attempt. */
  readonly pauses: number[] = [];
  readonly #waiting = new Map<number, () => void>();
  readonly #checks = new Map<number, () => void>();
  readonly #spies: { mockRestore(): void }[];
  #isHeld = false;
  #ids = 0;

  /** `random` stands for Math.random in the client. */
  constructor(random = 0.5) {
    const real = { ...globalThis, random: Math.random };
    const pause = (work: () => void, ms?: number) => {
      if (!isOfClient()) return real.setTimeout(work, ms);
      this.pauses.push(ms ?? 0);
      const id = --this.#ids;
      this.#waiting.set(id, work);
      real.setTimeout(() => this.#isHeld || this.#go(id), 1);
      return id;
    };
    const every = (work: () => void, ms?: number) => {
      if (!isOfClient()) return real.setInterval(work, ms);
      this.#checks.set(--this.#ids, work);
      return this.#ids;
    };
    const clear = (id: unknown) => {
      if (this.#waiting.delete(id as number) || this.#checks.delete(id as number)) return;
      real.clearTimeout(id as Timer);
    };
    const replace = (
      name: "setTimeout" | "setInterval" | "clearTimeout" | "clearInterval",
      by: unknown,
    ) => spyOn(globalThis, name).mockImplementation(by as never);
    this.#spies = [
      replace("setTimeout", pause),
      replace("setInterval", every),
      replace("clearTimeout", clear),
      replace("clearInterval", clear),
      spyOn(Math, "random").mockImplementation(() => (isOfClient() ? random : real.random())),
    ];
  }

  /** From now on pauses last until the function that it returns is called. */
  hold(): () => void {
    this.#isHeld = true;
    return () => {
      this.#isHeld = false;
      for (const id of [...this.#waiting.keys()]) this.#go(id);
    };
  }

  #go(id: number): void {
    const work = this.#waiting.get(id);
    this.#waiting.delete(id);
    work?.();
  }

  /** How many timers it has: one for each client that is not closed. */
  get running(): number {
    return this.#checks.size + this.#waiting.size;
  }

  /** Lets the time between two checks pass. */
  check(): void {
    for (const check of [...this.#checks.values()]) check();
  }

  [Symbol.dispose](): void {
    for (const spy of this.#spies) spy.mockRestore();
  }
}

function isOfClient(): boolean {
  return new Error().stack?.includes("src/client/client.ts") === true;
}
