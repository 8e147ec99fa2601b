// Registrations that this node has claimed for clients whose handshakes are under way, and claims that another node
// has ended.

/** How much later than another node's message the engine's own answer may arrive. */
const REORDER_WINDOW_MS = 5_000;

export class Claims {
  /** The terms of each id. */
  readonly #terms = new Map<string, number[]>();
  #size = 0;
  /** Ids whose claims another node has ended lately, and below which term: its message may overtake the engine's answer. */
  #ended = new Map<string, number>();
  #endedEarlier = new Map<string, number>();
  #rotateAt = 0;

  /** Handshakes under way. */
  get size(): number {
    return this.#size;
  }

  add(id: string, term: number): void {
    if (term < this.#endedBelow(id)) return;
    this.#size++;
    this.#terms.getOrInsertComputed(id, () => []).push(term);
  }

  /** The handshake is over; false if the claim was ended meanwhile. */
  delete(id: string, term: number): boolean {
    const terms = this.#terms.get(id);
    if (terms?.includes(term) !== true) return false;
    this.#size--;
    if (terms.length === 1) this.#terms.delete(id);
    else terms.splice(terms.indexOf(term), 1);
    return true;
  }

  /** Claims of this id with a smaller term are ended, also those that are added a moment later. */
  endBelow(id: string, term: number): void {
    // Messages of several nodes come in any order.
    this.#ended.set(id, Math.max(term, this.#endedBelow(id)));
    const terms = this.#terms.get(id) ?? [];
    const rest = terms.filter((other) => other >= term);
    this.#size -= terms.length - rest.length;
    if (rest.length === 0) this.#terms.delete(id);
    else this.#terms.set(id, rest);
  }

  /** Whether a claim that was ended lost to a newer claim ("replaced") or to the end of its registration ("deleted"). */
  whyEnded(id: string): "replaced" | "deleted" {
    return Number.isFinite(this.#endedBelow(id)) ? "replaced" : "deleted";
  }

  /** To be called often: forgets, some seconds later, what other nodes have ended. */
  expire(now: number): void {
    if (now < this.#rotateAt) return;
    this.#rotateAt = now + REORDER_WINDOW_MS;
    this.#endedEarlier = this.#ended;
    this.#ended = new Map();
  }

  #endedBelow(id: string): number {
    return Math.max(this.#ended.get(id) ?? 0, this.#endedEarlier.get(id) ?? 0);
  }
}
