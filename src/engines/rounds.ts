// Goes round and round the items of a collection, a part of them at a time, however it changes meanwhile.

export class Rounds<Item> {
  readonly #all: () => Iterator<Item>;
  #left: Iterator<Item>;

  constructor(all: () => Iterator<Item>) {
    this.#all = all;
    this.#left = all();
  }

  /** The next of them, at most so many; fewer where a round ends. */
  *next(max: number): Generator<Item> {
    for (let i = 0; i < max; i++) {
      const { done, value } = this.#left.next();
      if (done === true) {
        this.#left = this.#all();
        return;
      }
      yield value;
    }
  }
}
