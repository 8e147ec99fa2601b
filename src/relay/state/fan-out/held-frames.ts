// Frames of a wave that leave as one, where a protocol has such frames: what a delivery costs is mostly what its frame and its
// send cost, and a client that reads one frame has less to do as well.
import type { Protocol } from "../../contracts/protocol";
import type { Frame, Transport } from "../../contracts/transport";

/**
 * The most that frames have together, in characters or bytes: Bun gathers what it sends to a socket in 16 KiB, and more in
 * one frame would save nothing. A frame that is larger by itself leaves alone.
 */
const SIZE_MAX = 16_384;

/** Who gets the same frames by native fan-out. */
interface Audience {
  readonly protocol: Protocol;
  readonly transport: Transport;
  readonly nativeTopic: string;
}

interface Held {
  frames: Frame[];
  size: number;
}

export class HeldFrames {
  #isHolding = false;
  /** What waits for `release`. */
  readonly #held = new Map<Audience, Held>();

  /** What is fanned out until `release` waits for it. Nothing else may be sent to these audiences meanwhile. */
  hold(): void {
    this.#isHolding = true;
  }

  /** Throws a fault only after every audience has had its turn. */
  release(): void {
    this.#isHolding = false;
    if (this.#held.size === 0) return;
    const faults: unknown[] = [];
    for (const [audience, held] of this.#held) {
      try {
        send(audience, held);
      } catch (error) {
        faults.push(error);
      }
    }
    this.#held.clear();
    if (faults.length > 0) throw faults[0];
  }

  fanOut(audience: Audience, frame: Frame): void {
    const { protocol, transport, nativeTopic } = audience;
    if (!this.#isHolding || protocol.join === undefined) {
      transport.fanOut(nativeTopic, frame);
      return;
    }
    let held = this.#held.get(audience);
    if (held === undefined) {
      held = { frames: [], size: 0 };
      this.#held.set(audience, held);
    }
    if (held.size + frame.length > SIZE_MAX) send(audience, held);
    held.frames.push(frame);
    held.size += frame.length;
  }
}

function send({ protocol, transport, nativeTopic }: Audience, held: Held): void {
  const { frames } = held;
  if (frames.length === 0) return;
  held.frames = [];
  held.size = 0;
  const joined = frames.length === 1 ? frames[0] : protocol.join?.(frames);
  if (joined !== undefined) transport.fanOut(nativeTopic, joined);
}
