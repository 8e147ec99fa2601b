// Encoded frames of publications that many clients recover at about the same time: made once, not for each.
import type { Protocol } from "../contracts/protocol";
import type { Publication } from "../contracts/publication";

/** Characters kept at most; beyond it all are made anew. A thousand clients that come back ask for less. */
const SIZE_MAX = 16_777_216;

/** About what a frame costs beside its text. */
const OVERHEAD = 100;

/** Holds what it was asked for since it was last cleared, which bounds what it costs. */
export class FrameCache {
  readonly #frames = new Map<Protocol, Map<Publication, string>>();
  #size = 0;

  of(publication: Publication, protocol: Protocol): string {
    let frames = this.#frames.get(protocol);
    if (frames === undefined) {
      frames = new Map();
      this.#frames.set(protocol, frames);
    }
    let frame = frames.get(publication);
    if (frame === undefined) {
      frame = protocol.encodePublication(publication);
      const size = frame.length + OVERHEAD;
      if (this.#size + size > SIZE_MAX) this.clear();
      frames.set(publication, frame);
      this.#size += size;
    }
    return frame;
  }

  clear(): void {
    if (this.#size === 0) return;
    for (const frames of this.#frames.values()) frames.clear();
    this.#size = 0;
  }
}
