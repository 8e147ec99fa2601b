// The publications of one topic that a node follows, in order: each once, right after the one before it, whatever the
// subscription misses or repeats. It does no I/O, and reads what is missing with a function that it is given.
import { type HistoryPage, type HistoryRange, isWhole } from "../../../relay/contracts/engine";
import type { Position, Publication } from "../../../relay/contracts/publication";
import type { ReceivedPublication } from "../server/wire";

interface FeedEvents {
  /** The next publication in order. */
  inOrder(received: ReceivedPublication): void;
  /** A publication that was in order before, or never will be: nobody should wait for it. */
  discarded(received: ReceivedPublication): void;
  /** What followed the last publication in order cannot be had any more. Nothing is in order until the feed resumes. */
  historyReset(): void;
  /** A publication is missing: the feed has paused. */
  gap(): void;
}

interface BufferedPublication extends ReceivedPublication {
  /** How often the server had been asked for the topic's position when it came. */
  readonly positionRequests: number;
}

/** What a paused feed buffers at most; beyond that it is dropped, and read from the history later. */
const BUFFERED_MAX = 1_000;
const BUFFERED_CHARACTERS_MAX = 1_048_576;

/** Publications, and characters of them, in one read of what is missing. */
const PAGE_MAX = 256;
const PAGE_CHARACTERS_MAX = 1_048_576;

export class Feed {
  readonly topic: string;
  readonly #events: FeedEvents;
  /** The last publication in order; undefined when the topic keeps no history. */
  position: Position | undefined;
  /** Without one: the position of the last publication that came from a node whose rules keep a history of the topic. */
  unorderedAt: Position | undefined;
  /** What came while the feed is paused; undefined while it is live. */
  #buffered: BufferedPublication[] | undefined = [];
  #bufferedCharacters = 0;
  #positionRequests = 0;
  #waiters: { readonly offset: number; readonly resolve: () => void }[] = [];

  /** A feed begins paused. */
  constructor(topic: string, events: FeedEvents) {
    this.topic = topic;
    this.#events = events;
  }

  get isLive(): boolean {
    return this.#buffered === undefined;
  }

  /** A publication has come over the topic's channel. */
  apply(received: ReceivedPublication): void {
    if (this.#buffered === undefined) {
      this.#applyLive(received);
      return;
    }
    const { length } = received.publication.data;
    this.#bufferedCharacters += length;
    // A numbered publication will be missed and read again. Nothing is known about one of a topic without history.
    if (
      this.#buffered.length >= BUFFERED_MAX ||
      this.#bufferedCharacters > BUFFERED_CHARACTERS_MAX
    ) {
      this.dropBuffered();
      this.#bufferedCharacters = length;
    }
    this.#buffered.push({ ...received, positionRequests: this.#positionRequests });
  }

  /** Buffers what comes from now on. */
  pause(): void {
    if (this.#buffered === undefined) this.#bufferedCharacters = 0;
    this.#buffered ??= [];
  }

  /** While paused: drops what is buffered, such as what came over a subscription that has ended. */
  dropBuffered(): void {
    for (const received of this.#buffered ?? []) this.#events.discarded(received);
    this.#buffered = [];
    this.#bufferedCharacters = 0;
  }

  /** While paused: the server is now asked for the topic's position. */
  positionRequested(): void {
    this.#positionRequests++;
  }

  /**
   * While paused: begins at this position, or right before the first buffered publication when that is earlier. What was in
   * order already stays so, unless it is beyond the server's `top`: then the server has lost it.
   */
  seek(start: Position | undefined, top = start): void {
    const first = this.#buffered?.find(({ publication }) => publication.epoch === start?.epoch);
    const beforeFirst = (first?.publication.offset ?? Number.POSITIVE_INFINITY) - 1;
    const { epoch, offset = 0 } = this.position ?? {};
    const done = epoch === start?.epoch && offset <= (top?.offset ?? 0) ? offset : 0;
    this.position = start && {
      epoch: start.epoch,
      offset: Math.max(done, Math.min(start.offset, beforeFirst)),
    };
  }

  /** While paused: what is missing cannot be had. Buffered publications of the epoch that ends come before the reset. */
  reset(top: Position | undefined): void {
    const buffered = this.#buffered ?? [];
    while (buffered[0] !== undefined) {
      const [received] = buffered;
      if (this.#isNext(received.publication)) this.#advance(received);
      else if (this.#isPast(received.publication)) this.#events.discarded(received);
      else break;
      buffered.shift();
    }
    this.releaseWaiters();
    this.#events.historyReset();
    this.seek(top);
  }

  /**
   * While paused: reads what is missing up to `top` and is not buffered. When the history has no longer all of it, or has begun again,
   * answers where the topic is now. Stops as soon as `isCancelled`.
   */
  async closeGap(
    top: Position | undefined,
    read: (topic: string, range: HistoryRange) => Promise<HistoryPage>,
    isCancelled: () => boolean,
  ): Promise<Position | undefined> {
    const start = this.position;
    if (top === undefined || start === undefined) return undefined;
    if (top.epoch !== start.epoch || top.offset < start.offset) return top;
    for (;;) {
      const at = this.position;
      if (at === undefined || this.#offsetWithBuffered(at) >= top.offset) return undefined;
      const range = { since: at.offset, limit: PAGE_MAX, size: PAGE_CHARACTERS_MAX };
      const page = await read(this.topic, range);
      if (isCancelled()) return undefined;
      // An empty page, though there was something to read, means that the server has gone back.
      if (!isWhole(page, at) || page.publications.length === 0) return page.top;
      this.#backfill(page.publications);
    }
  }

  /**
   * Applies what was buffered, and from now on what comes. `top` is where the server said that the topic is. What had come before
   * the server was asked, and is of another epoch or beyond the top, is nothing to wait for.
   */
  resume(top: Position | undefined): void {
    const buffered = this.#buffered ?? [];
    this.#buffered = undefined;
    this.#bufferedCharacters = 0;
    for (const received of buffered) {
      const { epoch, offset } = received.publication;
      const isOlder = received.positionRequests < this.#positionRequests;
      const isBeyond =
        top !== undefined && offset !== undefined && (epoch !== top.epoch || offset > top.offset);
      if (isOlder && isBeyond) this.#events.discarded(received);
      else this.apply(received);
    }
  }

  /** Resolves when everything up to this position was in order, or another epoch has begun; undefined when it is so already. */
  reached({ epoch, offset }: Position): Promise<void> | undefined {
    const at = this.position;
    if (at === undefined || at.epoch !== epoch || at.offset >= offset) return undefined;
    return new Promise((resolve) => this.#waiters.push({ offset, resolve }));
  }

  /** Whoever waits for an offset waits no longer. */
  releaseWaiters(): void {
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** How far the feed gets without reading anything. */
  #offsetWithBuffered({ epoch, offset }: Position): number {
    let last = offset;
    for (const { publication } of this.#buffered ?? []) {
      const { offset = Number.POSITIVE_INFINITY } = publication;
      if (publication.epoch !== epoch || offset > last + 1) break;
      last = Math.max(last, offset);
    }
    return last;
  }

  #backfill(publications: readonly Publication[]): void {
    for (const publication of publications) {
      if (this.#isNext(publication)) this.#advance({ publication, publish: 0 });
    }
  }

  #isNext({ epoch, offset }: Publication): boolean {
    const at = this.position;
    return at !== undefined && epoch === at.epoch && offset === at.offset + 1;
  }

  #isPast({ epoch, offset = 0 }: Publication): boolean {
    const at = this.position;
    return at !== undefined && epoch === at.epoch && offset <= at.offset;
  }

  #applyLive(received: ReceivedPublication): void {
    const { offset } = received.publication;
    // Without a position, this node's rules keep no history of the topic, whatever those of other nodes say.
    const isUnordered = offset === undefined || this.position === undefined;
    if (isUnordered || this.#isNext(received.publication)) {
      this.#advance(received);
    } else if (this.#isPast(received.publication)) {
      this.#events.discarded(received);
    } else {
      // Publications are missing, or another epoch has begun: the shard finds out.
      this.#buffered = [];
      this.apply(received);
      this.#events.gap();
    }
  }

  #advance(received: ReceivedPublication): void {
    const { epoch, offset } = received.publication;
    if (epoch !== undefined && offset !== undefined) {
      // When this node keeps no history of the topic, it has no position either.
      if (this.position !== undefined) this.position = { epoch, offset };
      else this.unorderedAt = { epoch, offset };
    }
    this.#events.inOrder(received);
    if (this.#waiters.length === 0 || offset === undefined) return;
    this.#waiters = this.#waiters.filter((waiter) => {
      if (waiter.offset > offset) return true;
      waiter.resolve();
      return false;
    });
  }
}
