// Encoded frames of publications that many clients recover at about the same time: made once, not for each.
import type { Protocol } from "./protocol";
import type { Publication } from "./publication";

/** Frames kept at most; beyond it all are made anew. */
const FRAMES_MAX = 16_384;

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
      if (this.#size >= FRAMES_MAX) this.clear();
      frame = protocol.encodePublication(publication);
      frames.set(publication, frame);
      this.#size++;
    }
    return frame;
  }

  clear(): void {
    if (this.#size === 0) return;
    for (const frames of this.#frames.values()) frames.clear();
    this.#size = 0;
  }
}
