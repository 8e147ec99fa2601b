// What comes to a test, in order: the test takes one after the other, and waits for what has not come yet.
import { within } from "./wait";

export class Inbox<Item> {
  readonly #what: string;
  readonly #arrived: Item[] = [];
  readonly #waiting: PromiseWithResolvers<Item>[] = [];
  /** Why nothing more comes. */
  #end: Error | undefined;

  /** `what` names an item, for the sentence when it does not come. */
  constructor(what: string) {
    this.#what = what;
  }

  readonly add = (item: Item): void => {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#arrived.push(item);
    else waiting.resolve(item);
  };

  /** Nothing more comes: whoever waits is told why. */
  end(why: Error): void {
    this.#end = why;
    for (const { reject } of this.#waiting.splice(0)) reject(why);
  }

  /** Takes the next one; rejects when there is none and nothing more comes. */
  next(): Promise<Item> {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift() as Item);
    const waiting = Promise.withResolvers<Item>();
    if (this.#end === undefined) this.#waiting.push(waiting);
    else waiting.reject(this.#end);
    const next = within(this.#what, waiting.promise);
    // Nobody has to look at it.
    next.catch(() => {});
    return next;
  }

  /** Takes the next `count`. */
  async take(count: number): Promise<Item[]> {
    const items: Item[] = [];
    while (items.length < count) items.push(await this.next());
    return items;
  }

  /** Takes all that have come. */
  takeAll(): Item[] {
    return this.#arrived.splice(0);
  }

  /** Those that were not taken. */
  get rest(): readonly Item[] {
    return this.#arrived;
  }
}
