// What was delivered to a topic since a connection began to subscribe to it, for those that are still subscribing.
// Bounded in size.
import type { Publication } from "../contracts/publication";

/** In characters. Beyond it the tail is dropped, and those who need it read history instead. */
const SIZE_MAX = 1_048_576;

/** About what a publication costs besides its text, in characters. */
const OVERHEAD = 100;

export class Tail {
  publications: Publication[] = [];
  #size = 0;
  /** How often it was lost: an index into it that was noted before means nothing then. */
  losses = 0;

  fits({ data }: Publication): boolean {
    return this.#size + data.length + OVERHEAD <= SIZE_MAX;
  }

  push(publication: Publication): void {
    this.publications.push(publication);
    this.#size += publication.data.length + OVERHEAD;
  }

  /** To be called when nobody needs it any more. */
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
