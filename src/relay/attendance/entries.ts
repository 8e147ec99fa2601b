// What this node has of one kind of thing that may be on several nodes, such as users with connections: the engine is told of each as
// long as it is here, also when it was out of reach in between.
import type { Groups } from "../contracts/engine";
import { then } from "../contracts/maybe";
import type { RelayOptions } from "../contracts/options";

/** How long it takes until the engine is asked again, when it was out of reach. */
const RETRY_MS = 1_000;

export class Entries {
  readonly #group: string;
  readonly #groups: Groups;
  readonly #after: RelayOptions["after"];
  readonly #here = new Set<string>();

  constructor(group: string, groups: Groups, after: RelayOptions["after"]) {
    this.#group = group;
    this.#groups = groups;
    this.#after = after;
  }

  /** It is here, from now until `remove`. Adding it again does nothing. */
  add(name: string): void {
    if (this.#here.has(name)) return;
    this.#here.add(name);
    this.#enter(name);
  }

  remove(name: string): void {
    if (this.#here.delete(name)) this.#groups.leave(this.#group, name);
  }

  #enter(name: string): void {
    const retry = () =>
      this.#after(RETRY_MS, () => {
        if (this.#here.has(name)) this.#enter(name);
      });
    try {
      const entered = then(this.#groups.enter(this.#group, { name }, 0), () => {});
      if (entered instanceof Promise) entered.catch(retry);
    } catch {
      retry();
    }
  }
}
