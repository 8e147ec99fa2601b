// Lets the frames of a client that sends very many at once wait for later turns of the event loop, so that others are served between
// them. Frames of one socket keep their order. What waits is bounded: in number by the relay's limit of frames, in bytes here.
import type { ServerWebSocket } from "bun";
import type { Connection } from "../../relay/state/connection";
import { TurnShare } from "../access/turn-share";

type Socket = ServerWebSocket<Connection>;

/** At least so many frames are handled in a turn whatever they cost. One with very many topics takes a tenth of a millisecond. */
const FRAMES_FREE = 8;

/** Frames that were handled are dropped from the queue after so many. */
const HANDLED_MAX = 256;

interface Queue {
  readonly frames: (string | Uint8Array)[];
  /** The frame that is handled next. */
  next: number;
  bytes: number;
}

interface FrameTurnsOptions {
  /** How much of one socket may wait; a single frame always may. */
  readonly bytesMax: number;
  /** Handles a frame. Must not throw. */
  readonly receive: (socket: Socket, frame: string | Uint8Array) => void;
  /** More of this socket would wait than may. */
  readonly overflow: (socket: Socket) => void;
}

/** A kilobyte may take as long as a short frame. */
function itemsOf(frame: string | Uint8Array): number {
  return 1 + (frame.length >> 10);
}

export class FrameTurns {
  readonly #options: FrameTurnsOptions;
  readonly #share = new TurnShare(FRAMES_FREE);
  /** The sockets with frames that wait. */
  readonly #waiting = new Map<Socket, Queue>();
  readonly #goOn = (): void => this.#drain();

  constructor(options: FrameTurnsOptions) {
    this.#options = options;
  }

  /** Handles a frame now, or after those of its socket that wait. */
  receive(socket: Socket, frame: string | Uint8Array): void {
    const queue = this.#waiting.size === 0 ? undefined : this.#waiting.get(socket);
    if (queue === undefined && this.#share.take(itemsOf(frame)))
      this.#options.receive(socket, frame);
    else this.#enqueue(socket, queue ?? this.#queueOf(socket), frame);
  }

  /** The socket is closed: nobody needs what waits. */
  closed(socket: Socket): void {
    if (this.#waiting.size > 0) this.#waiting.delete(socket);
  }

  #queueOf(socket: Socket): Queue {
    if (this.#waiting.size === 0) setImmediate(this.#goOn);
    const queue: Queue = { frames: [], next: 0, bytes: 0 };
    this.#waiting.set(socket, queue);
    return queue;
  }

  #enqueue(socket: Socket, queue: Queue, frame: string | Uint8Array): void {
    queue.bytes += frame.length;
    if (queue.bytes > this.#options.bytesMax && queue.frames.length > queue.next) {
      this.#waiting.delete(socket);
      this.#options.overflow(socket);
      return;
    }
    queue.frames.push(frame);
    if (queue.next < HANDLED_MAX) return;
    queue.frames.splice(0, queue.next);
    queue.next = 0;
  }

  /** Handles a frame of each socket in turn, for as long as this turn may take. */
  #drain(): void {
    for (const [socket, queue] of this.#waiting) {
      const frame = queue.frames[queue.next] as string | Uint8Array;
      if (!this.#share.take(itemsOf(frame))) break;
      queue.next++;
      queue.bytes -= frame.length;
      // It goes to the end of the map, behind the others that wait.
      this.#waiting.delete(socket);
      if (queue.next < queue.frames.length) this.#waiting.set(socket, queue);
      this.#options.receive(socket, frame);
    }
    if (this.#waiting.size > 0) setImmediate(this.#goOn);
  }
}
