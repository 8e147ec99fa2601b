// Encoded frames of publications that many clients recover at about the same time: encoded once, not for each client.
import type { PublicationEncoder } from "../contracts/protocol";
import type { Publication } from "../contracts/publication";
import type { Frame } from "../contracts/transport";

/** In characters, or in bytes where frames are binary; beyond it the cache starts afresh. A thousand clients that reconnect together need less. */
const SIZE_MAX = 16_777_216;

/** About what a frame costs besides its text, in characters. */
const OVERHEAD = 100;

/** It keeps everything it was asked for since it was last cleared; clearing it often bounds what it costs. */
export class FrameCache {
  readonly #frames = new Map<PublicationEncoder, Map<Publication, Frame>>();
  #size = 0;

  get(publication: Publication, encoder: PublicationEncoder): Frame {
    const frames = this.#frames.getOrInsertComputed(encoder, () => new Map());
    let frame = frames.get(publication);
    if (frame === undefined) {
      frame = encoder.encodePublication(publication);
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
