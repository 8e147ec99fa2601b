// Sends a connection what it missed of a topic, as fast as it reads, then what the topic's tail has beyond that, and in
// the same turn of the event loop subscribes it natively.
import type { RateLimit } from "../connecting/rate-limit";
import type { SubscriptionForm } from "../contracts/commands";
import type { Engine, HistoryPage } from "../contracts/engine";
import { isWhole } from "../contracts/engine";
import { then } from "../contracts/maybe";
import type { RelayOptions } from "../contracts/options";
import type { Protocol, PublicationEncoder } from "../contracts/protocol";
import type { Publication } from "../contracts/publication";
import type { Frame } from "../contracts/transport";
import { type Connection, chargeForFrame, chargeForReading } from "../state/connection";
import type { Connections } from "../state/connections";
import type { PendingSubscription, Subscriptions } from "../state/subscriptions";
import type { Topics } from "../topics/topics";
import { FrameCache } from "./frame-cache";
import type { HistoryReader } from "./history-reader";

/** Publications, and characters of them, in one page: reading and sending so much takes about a millisecond. */
export const PAGE_SIZE = 256;
export const PAGE_CHARACTERS_MAX = 262_144;

/** How many pages are read in one turn of the event loop, however many connections have more to catch up with. */
const TURN_PAGES_MAX = 4;

export class CatchUp {
  readonly #engine: Engine;
  readonly #later: (work: () => void) => void;
  /** More than this that waits for a client to read stops what is sent to it; it goes on when the client has read. */
  readonly #waitingBytesMax: number;
  readonly #connections: Connections;
  readonly #rateLimit: RateLimit;
  readonly #topics: Topics;
  readonly #reader: HistoryReader;
  readonly #frames = new FrameCache();
  readonly #onFault: RelayOptions["onDeliveryFault"];
  /** Subscriptions whose next page is read in one of the next turns of the event loop. */
  readonly #due: (() => void)[] = [];

  constructor(
    { engine, later, limits, onDeliveryFault }: RelayOptions,
    connections: Connections,
    rateLimit: RateLimit,
    topics: Topics,
    reader: HistoryReader,
  ) {
    this.#engine = engine;
    this.#later = later;
    this.#onFault = onDeliveryFault;
    this.#waitingBytesMax = limits.backpressureBytes / 4;
    this.#connections = connections;
    this.#rateLimit = rateLimit;
    this.#topics = topics;
    this.#reader = reader;
  }

  /** To be called about once a second. */
  expire(): void {
    this.#frames.clear();
  }

  /** The client has read what waited for it: subscriptions that are catching up go on. */
  drained(connection: Connection): void {
    const { subscriptions } = connection;
    if (subscriptions === undefined || subscriptions.pending.length === 0) return;
    for (const subscription of subscriptions.pending.slice()) {
      if (subscription.state !== "catching up" || subscription.isPaging) continue;
      this.#readLater(connection, subscriptions, subscription);
    }
  }

  /** Ends a pending subscription: it was abandoned, or has become a native one. */
  remove(subscriptions: Subscriptions, subscription: PendingSubscription): void {
    subscriptions.pending = subscriptions.pending.filter((other) => other !== subscription);
    this.#topics.unfollow(subscription.topic);
  }

  /** Sends what the page has, as far as there is room; at its end the tail, and subscribes. */
  step(
    connection: Connection,
    subscriptions: Subscriptions,
    subscription: PendingSubscription,
    page: HistoryPage,
  ): void {
    subscription.state = "catching up";
    for (const publication of page.publications) {
      // The reply to the subscription has carried it.
      if ((publication.offset ?? 0) <= subscription.sent) continue;
      if (this.#rateLimit.isExhausted(connection)) break;
      if (!this.#hasRoom(connection)) return;
      if (!this.#send(connection, subscription, publication)) return;
      subscription.sent = publication.offset ?? 0;
    }
    if (page.top === undefined || subscription.sent >= page.top.offset) {
      this.activate(connection, subscriptions, subscription);
      return;
    }
    this.#readLater(connection, subscriptions, subscription);
  }

  /** Reads the next page in a later turn of the event loop, if there is room for it then, or else when the client has read. */
  #readLater(
    connection: Connection,
    subscriptions: Subscriptions,
    subscription: PendingSubscription,
  ): void {
    subscription.isPaging = true;
    const read = () => {
      subscription.isPaging = false;
      if (!this.#hasRoom(connection)) return;
      this.#read(connection, subscriptions, subscription);
    };
    if (this.#rateLimit.isExhausted(connection)) {
      this.#rateLimit.pause(read);
      return;
    }
    if (this.#due.push(read) === 1) this.#later(this.#readDue);
  }

  readonly #readDue = (): void => {
    for (let pages = 0; pages < TURN_PAGES_MAX && this.#due.length > 0; pages++)
      this.#due.shift()?.();
    if (this.#due.length > 0) this.#later(this.#readDue);
  };

  /** Sends what the tail has beyond what was sent, and subscribes natively. */
  activate(
    connection: Connection,
    subscriptions: Subscriptions,
    subscription: PendingSubscription,
  ): void {
    const { topic, from } = subscription;
    subscription.state = "catching up";
    const isTailLost = subscription.tailLosses !== topic.tail.losses;
    if (isTailLost && from !== undefined) {
      this.#readLater(connection, subscriptions, subscription);
      return;
    }
    const rest = isTailLost ? [] : topic.tail.publications.slice(subscription.tailIndex);
    for (const publication of rest) {
      const { offset, epoch } = publication;
      if (offset !== undefined && offset <= subscription.sent && epoch === from?.epoch) continue;
      if (offset !== undefined && from !== undefined) {
        if (epoch !== from.epoch) {
          this.#connections.end(connection, "position_lost");
          return;
        }
        if (!this.#hasRoom(connection)) return;
      }
      const isExcepted = publication.except === connection.id;
      if (!isExcepted && !this.#send(connection, subscription, publication)) return;
      subscription.sent = offset ?? 0;
    }
    if (from !== undefined) topic.reached({ epoch: from.epoch, offset: subscription.sent });
    subscriptions.completeSince.set(topic, from);
    this.#topics.subscribe(connection, topic, subscription.form);
    // Announcing it to the others may have ended it.
    if (connection.subscriptions === subscriptions) this.remove(subscriptions, subscription);
  }

  /** Reads the next page for a subscription that is behind. */
  #read(
    connection: Connection,
    subscriptions: Subscriptions,
    subscription: PendingSubscription,
  ): void {
    if (!isPending(connection, subscriptions, subscription)) return;
    const { topic } = subscription;
    subscription.tailIndex = topic.tail.publications.length;
    subscription.tailLosses = topic.tail.losses;
    subscription.isPaging = true;
    const range = { since: subscription.sent, limit: PAGE_SIZE, size: PAGE_CHARACTERS_MAX };
    const pages = this.#reader.read(connection, subscriptions, [topic.name], (name) =>
      this.#engine.history(name, range),
    );
    void then(pages, (read) => {
      if (connection.subscriptions !== subscriptions) return;
      subscription.isPaging = false;
      if (isPending(connection, subscriptions, subscription)) {
        const page = typeof read === "string" ? undefined : read[0];
        chargeForReading(connection, page?.publications.length ?? 0);
        this.#goOn(connection, subscriptions, subscription, page);
      }
      this.#reader.done(connection, subscriptions);
    });
  }

  #goOn(
    connection: Connection,
    subscriptions: Subscriptions,
    subscription: PendingSubscription,
    page: HistoryPage | undefined,
  ): void {
    const { from, sent } = subscription;
    if (page === undefined || from === undefined || !isWhole(page, { ...from, offset: sent })) {
      // A part of what was missed is gone after some of it was sent: the client reconnects with the position that it has.
      this.#connections.end(connection, "position_lost");
      return;
    }
    this.step(connection, subscriptions, subscription, page);
  }

  #hasRoom({ socket }: Connection): boolean {
    return (socket?.getBufferedAmount() ?? 0) < this.#waitingBytesMax;
  }

  /** False when the connection has ended. */
  #send(connection: Connection, { form }: PendingSubscription, publication: Publication): boolean {
    if (publication.user !== undefined && publication.user !== connection.user) return true;
    let frame: Frame;
    try {
      frame = this.#frames.get(publication, encoderOf(connection.protocol, form));
    } catch (error) {
      this.#onFault(error);
      this.#connections.end(connection, "internal");
      return false;
    }
    chargeForFrame(connection, frame.length);
    return this.#connections.send(connection, frame);
  }
}

function encoderOf(protocol: Protocol, form: SubscriptionForm): PublicationEncoder {
  const deltas = form === "deltas" && protocol.kind === "session" ? protocol.deltas : undefined;
  return deltas ?? protocol;
}

function isPending(
  connection: Connection,
  subscriptions: Subscriptions,
  subscription: PendingSubscription,
): boolean {
  return connection.subscriptions === subscriptions && subscriptions.pending.includes(subscription);
}
