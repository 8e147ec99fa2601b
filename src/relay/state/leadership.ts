// Which node does what only one may do at a time, for all nodes: it is alone in a group.
import { EngineUnavailable, type Groups } from "../contracts/engine";

/**
 * Whether this node leads in something. When the leader dies, another node leads within about 10 s (Redis) or at once (workers).
 * After a lost connection to Redis two may lead for a moment, so what a leader does must be harmless when it is done twice.
 */
export class Leadership {
  readonly #groups: Groups;
  readonly #group: string;
  readonly #node: string;

  /** `name` says in what, such as "source orders". */
  constructor(groups: Groups, node: string, name: string) {
    this.#groups = groups;
    this.#group = `leader:${name}`;
    this.#node = node;
  }

  /**
   * True when this node leads from now on, or still does. To be called about once a second, by those that wait as well, and before
   * each piece of work. False while the engine cannot be reached.
   */
  async check(): Promise<boolean> {
    try {
      if (!(await this.#enter())) return false;
      if ((await this.#groups.size(this.#group)) === 1) return true;
      // A node that had been taken for dead, as after a long pause, is back where another one leads by now.
      this.resign();
      return await this.#enter();
    } catch (error) {
      if (error instanceof EngineUnavailable) return false;
      throw error;
    }
  }

  async #enter(): Promise<boolean> {
    return (await this.#groups.enter(this.#group, { name: this.#node }, 1)) !== "full";
  }

  /** Another node may lead from now on, until this one checks again. */
  resign(): void {
    this.#groups.leave(this.#group, this.#node);
  }
}
