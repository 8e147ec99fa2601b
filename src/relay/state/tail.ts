// What was delivered to a topic since somebody began to follow it: those on the way in are given it. Bounded.
import type { Publication } from "../contracts/publication";

/** Characters; beyond, the tail is lost, and those who need it read history instead. */
const SIZE_MAX = 1_048_576;

/** About what a publication costs beside its text. */
const OVERHEAD = 100;

export class Tail {
  publications: Publication[] = [];
  #size = 0;
  /** How often it was lost: a place in it that was noted before means nothing. */
  losses = 0;

  fits({ data }: Publication): boolean {
    return this.#size + data.length + OVERHEAD <= SIZE_MAX;
  }

  push(publication: Publication): void {
    this.publications.push(publication);
    this.#size += publication.data.length + OVERHEAD;
  }

  /** Nobody needs it any more. */
  clear(): void {
    if (this.#size === 0) return;
    this.publications = [];
    this.#size = 0;
  }

  lose(): void {
    this.clear();
    this.losses++;
  }
}
