// How many rows each of the names has that were used lately: to count those of a long queue or set takes a while.
import type { Statement } from "bun:sqlite";

/** How many names are known at once; then all are forgotten, and counted again when they are used. */
const NAMES_MAX = 10_000;

export class RowCounts {
  readonly #count: Statement;
  readonly #known = new Map<string, number>();

  /** The statement counts the rows of a name. */
  constructor(count: Statement) {
    this.#count = count;
  }

  of(name: string): number {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const [count] = this.#count.values(name)[0] as [number];
    if (this.#known.size >= NAMES_MAX) this.#known.clear();
    this.#known.set(name, count);
    return count;
  }

  /** The name has so many rows more, or fewer. */
  changed(name: string, by: number): void {
    const known = this.#known.get(name);
    if (known !== undefined) this.#known.set(name, known + by);
  }

  /** Some rows of any names have gone, or what was counted was not committed. */
  clear(): void {
    this.#known.clear();
  }
}
