// What a node hears of one topic that it follows, put in order: each publication once, after the one before it, whatever
// the subscription loses or tells twice. No I/O: what is missing is read by the shard.
import type { Position, Publication } from "../../../relay/contracts/publication";

/** A publication as it came over the topic's channel. */
export interface Arrival {
  readonly publication: Publication;
  /** The publish call that it comes of, as the publisher's node names it; "" where it was read from the history. */
  readonly call: string;
}

interface FeedEvents {
  deliver(arrival: Arrival): void;
  /** It was delivered before, or cannot be: nobody shall wait for it. */
  passedOver(arrival: Arrival): void;
  /** What came since the last delivery cannot be given. Nothing is delivered before the feed is let go on. */
  lost(): void;
  /** A publication is missing: the feed holds what comes from now on until it is let go on. */
  behind(): void;
}

interface Held extends Arrival {
  /** How often the server had been asked when it came. */
  readonly asks: number;
}

/** What a feed holds at most; beyond that it is dropped, and read from the history later. */
const HELD_MAX = 1_000;
const HELD_CHARACTERS = 1_048_576;

export class Feed {
  readonly topic: string;
  readonly #events: FeedEvents;
  /** Up to where it was delivered here; undefined where the topic keeps no history. */
  position: Position | undefined;
  /** What came while it may not be delivered; undefined while it may. */
  #held: Held[] | undefined = [];
  #heldCharacters = 0;
  #asks = 0;
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
    // What is numbered will be missed and read; of a topic without history nothing can be said.
    if (this.#held.length >= HELD_MAX || this.#heldCharacters > HELD_CHARACTERS) {
      this.dropHeld();
      this.#heldCharacters = arrival.publication.data.length;
    }
    this.#held.push({ ...arrival, asks: this.#asks });
  }

  /** Holds what comes from now on. */
  hold(): void {
    if (this.#held === undefined) this.#heldCharacters = 0;
    this.#held ??= [];
  }

  /** While it holds: what is held is of no use, such as what came over a subscription that has ended. */
  dropHeld(): void {
    for (const arrival of this.#held ?? []) this.#events.passedOver(arrival);
    this.#held = [];
    this.#heldCharacters = 0;
  }

  /** While it holds: the server is asked where the topic is. */
  asked(): void {
    this.#asks++;
  }

  /**
   * While it holds: where it begins, at the latest. What is held goes on from there; what was delivered is behind it, unless the
   * server's `top` is, since then it has lost that.
   */
  begin(at: Position | undefined, top = at): void {
    const first = this.#held?.find(({ publication }) => publication.epoch === at?.epoch);
    const before = (first?.publication.offset ?? Number.POSITIVE_INFINITY) - 1;
    const { epoch, offset = 0 } = this.position ?? {};
    const had = epoch === at?.epoch && offset <= (top?.offset ?? 0) ? offset : 0;
    this.position = at && { ...at, offset: Math.max(had, Math.min(at.offset, before)) };
  }

  /** While it holds: what is missing cannot be given. What is held of the life that ends is delivered first. */
  restart(top: Position | undefined): void {
    const held = this.#held ?? [];
    while (held[0] !== undefined) {
      const [arrival] = held;
      if (this.#follows(arrival.publication)) this.#deliver(arrival);
      else if (this.#has(arrival.publication)) this.#events.passedOver(arrival);
      else break;
      held.shift();
    }
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

  /**
   * Delivers what was held, and from now on what comes. `top` is where the server said that the topic is: what had come before
   * it was asked, and is of another life or beyond that, is nothing to wait for.
   */
  goOn(top: Position | undefined): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#heldCharacters = 0;
    for (const arrival of held) {
      const { epoch, offset } = arrival.publication;
      const isKnown = arrival.asks < this.#asks && top !== undefined && offset !== undefined;
      if (isKnown && (epoch !== top.epoch || offset > top.offset)) this.#events.passedOver(arrival);
      else this.arrived(arrival);
    }
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

  /** Whether it was delivered. */
  #has({ epoch, offset = 0 }: Publication): boolean {
    const at = this.position;
    return at !== undefined && epoch === at.epoch && offset <= at.offset;
  }

  #take(arrival: Arrival): void {
    const { offset } = arrival.publication;
    // Without a position of its own, the node's rules keep no history of this topic, whatever those of others say.
    const isFree = offset === undefined || this.position === undefined;
    if (isFree || this.#follows(arrival.publication)) {
      this.#deliver(arrival);
    } else if (this.#has(arrival.publication)) {
      this.#events.passedOver(arrival);
    } else {
      // Missing ones, or another life: the shard finds out.
      this.#held = [];
      this.arrived(arrival);
      this.#events.behind();
    }
  }

  #deliver(arrival: Arrival): void {
    const { epoch, offset } = arrival.publication;
    // Where this node keeps no history of the topic, it has no position either.
    if (this.position !== undefined && epoch !== undefined && offset !== undefined) {
      this.position = { epoch, offset };
    }
    this.#events.deliver(arrival);
    if (this.#waiting.length === 0 || offset === undefined) return;
    this.#waiting = this.#waiting.filter((one) => {
      if (one.offset > offset) return true;
      one.done();
      return false;
    });
  }
}
