// What a node hears of one topic that it follows, put in order: each publication once, after the one before it, whatever
// the subscription loses or tells twice. No I/O: what is missing is read by the shard.
import type { Position, Publication } from "../relay/publication";

/** A publication as it came over the topic's channel. */
export interface Arrival {
  readonly publication: Publication;
  /** The publish call that it comes of, as the publisher's node names it. */
  readonly call: string;
}

export interface FeedEvents {
  deliver(arrival: Arrival): void;
  /** What came since the last delivery cannot be given. Nothing is delivered before the feed is let go on. */
  lost(): void;
  /** A publication is missing: the feed holds what comes from now on until it is let go on. */
  behind(): void;
}

/** What a feed holds at most; beyond that it is dropped, and read from the history later. */
const HELD_MAX = 10_000;
const HELD_CHARACTERS = 16_777_216;

export class Feed {
  readonly topic: string;
  readonly #events: FeedEvents;
  /** Up to where it was delivered here; undefined where the topic keeps no history. */
  position: Position | undefined;
  /** What came while it may not be delivered; undefined while it may. */
  #held: Arrival[] | undefined = [];
  #heldCharacters = 0;
  #waiting: { readonly offset: number; readonly done: () => void }[] = [];

  constructor(topic: string, events: FeedEvents) {
    this.topic = topic;
    this.#events = events;
  }

  /** Whether it delivers what comes. */
  get isLive(): boolean {
    return this.#held === undefined;
  }

  arrived(arrival: Arrival): void {
    if (this.#held === undefined) {
      this.#take(arrival);
      return;
    }
    this.#heldCharacters += arrival.publication.data.length;
    if (this.#held.length >= HELD_MAX || this.#heldCharacters > HELD_CHARACTERS) {
      // What is numbered will be missed and read; of a topic without history nothing can be said.
      this.#held = [];
      this.#heldCharacters = 0;
    }
    this.#held.push(arrival);
  }

  /** Holds what comes from now on. */
  hold(): void {
    this.#held ??= [];
  }

  /** What the subscription held until now was another one's. */
  dropHeld(): void {
    this.#held = [];
    this.#heldCharacters = 0;
  }

  /** While it holds: its first position, or one in another life of the history. What is held goes on from there. */
  begin(top: Position | undefined): void {
    const first = this.#held?.find(({ publication }) => publication.epoch === top?.epoch);
    const before = (first?.publication.offset ?? Number.POSITIVE_INFINITY) - 1;
    this.position = top && { epoch: top.epoch, offset: Math.min(top.offset, before) };
  }

  /** While it holds: what is missing cannot be given. What is held of the life that ends is delivered first. */
  restart(top: Position | undefined): void {
    const held = this.#held ?? [];
    while (held[0] !== undefined && this.#follows(held[0].publication)) {
      this.#deliver(held.shift() as Arrival);
    }
    this.position = undefined;
    this.end();
    this.#events.lost();
    this.begin(top);
  }

  /** While it holds: publications that were missing, oldest first. */
  give(publications: readonly Publication[]): void {
    for (const publication of publications) {
      if (this.#follows(publication)) this.#deliver({ publication, call: "" });
    }
  }

  /** Delivers what was held, and from now on what comes. */
  goOn(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#heldCharacters = 0;
    for (const arrival of held) this.arrived(arrival);
  }

  /** Resolves when all up to this offset was delivered, or another life has begun. */
  reached({ epoch, offset }: Position): Promise<void> | undefined {
    const at = this.position;
    if (at === undefined || at.epoch !== epoch || at.offset >= offset) return undefined;
    return new Promise((done) => this.#waiting.push({ offset, done }));
  }

  /** Nobody waits any more. */
  end(): void {
    for (const { done } of this.#waiting.splice(0)) done();
  }

  #follows({ epoch, offset }: Publication): boolean {
    const at = this.position;
    return at !== undefined && epoch === at.epoch && offset === at.offset + 1;
  }

  #take(arrival: Arrival): void {
    const { epoch, offset } = arrival.publication;
    const at = this.position;
    // Without a position of its own, the node's rules keep no history of this topic, whatever those of others say.
    const isNext = offset === undefined || at === undefined || this.#follows(arrival.publication);
    if (isNext) {
      this.#deliver(arrival);
    } else if (at.epoch !== epoch || offset > at.offset) {
      // Missing ones, or another life: the shard finds out. What was told twice is passed over.
      this.#held = [arrival];
      this.#events.behind();
    }
  }

  #deliver(arrival: Arrival): void {
    const { epoch, offset } = arrival.publication;
    if (epoch !== undefined && offset !== undefined) this.position = { epoch, offset };
    this.#events.deliver(arrival);
    if (this.#waiting.length === 0 || offset === undefined) return;
    this.#waiting = this.#waiting.filter((one) => {
      if (one.offset > offset) return true;
      one.done();
      return false;
    });
  }
}
