// Which topics have subscribers on any node, for whoever is told of the first and the last: where nobody is, it costs nothing.
import type { Groups } from "../contracts/engine";
import { then } from "../contracts/maybe";
import type { RelayOptions, Witness } from "../contracts/options";
import type { Topic } from "../state/topic";

/** The group of topics that have subscribers. It may have any number of them. */
const OCCUPIED = "occupied";

/** How long it takes until the engine is asked again, when it was out of reach. */
const RETRY_MS = 1_000;

export class Occupancy {
  readonly #groups: Groups;
  readonly #after: RelayOptions["after"];
  readonly #witness: RelayOptions["witness"];
  /** What the engine has been told of this node. */
  readonly #occupied = new Set<string>();

  constructor({ engine, after, witness }: Pick<RelayOptions, "engine" | "after" | "witness">) {
    this.#groups = engine.groups;
    this.#after = after;
    this.#witness = witness?.wants("occupied") === true ? witness : undefined;
  }

  /** The topic has one more subscriber here. */
  subscribed({ name }: Topic): void {
    if (this.#witness === undefined || this.#occupied.has(name)) return;
    this.#occupied.add(name);
    this.#enter(name, this.#witness);
  }

  /** The topic has one subscriber less here. */
  unsubscribed(topic: Topic): void {
    if (this.#witness === undefined || topic.subscribers > 0) return;
    if (this.#occupied.delete(topic.name)) this.#groups.leave(OCCUPIED, topic.name);
  }

  /** A member of a group has been absent for a moment. */
  memberAbsent(group: string, topic: string): void {
    if (group === OCCUPIED) this.#witness?.tell({ kind: "vacated", topic });
  }

  #enter(topic: string, witness: Witness): void {
    const entered = then(this.#groups.enter(OCCUPIED, { name: topic }, 0), (answer) => {
      if (answer !== "full" && answer.isNew) witness.tell({ kind: "occupied", topic });
    });
    if (!(entered instanceof Promise)) return;
    entered.catch(() => {
      this.#after(RETRY_MS, () => {
        if (this.#occupied.has(topic)) this.#enter(topic, witness);
      });
    });
  }
}
