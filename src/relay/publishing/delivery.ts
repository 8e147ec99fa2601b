// Delivers publications to the connections of this node, when state/fan-out/waves.ts lets them leave: the only way from the engine to
// the sockets. Whatever fails for one publication must not cost others: it never throws.
import type { RelayOptions } from "../contracts/options";
import type { PublicationEncoder } from "../contracts/protocol";
import type { Publication } from "../contracts/publication";
import type { Tally } from "../contracts/tally";
import type { Frame } from "../contracts/transport";
import type { Recovery } from "../recovery/recovery";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Topic } from "../state/fan-out/topic";
import type { Departure, WaveDelivery } from "../state/fan-out/wave";
import type { Topics } from "../topics/topics";
import type { Receipts } from "./receipts";

export class Delivery implements WaveDelivery {
  readonly #connections: Connections;
  readonly #topics: Topics;
  readonly #recovery: Recovery;
  readonly #onFault: RelayOptions["onDeliveryFault"];
  readonly #tally: Tally;
  readonly #receipts: Receipts;

  constructor(
    { onDeliveryFault, tally }: Pick<RelayOptions, "onDeliveryFault" | "tally">,
    connections: Connections,
    topics: Topics,
    recovery: Recovery,
    receipts: Receipts,
  ) {
    this.#onFault = onDeliveryFault;
    this.#tally = tally;
    this.#receipts = receipts;
    this.#connections = connections;
    this.#topics = topics;
    this.#recovery = recovery;
  }

  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** Answers to how many connections the publication was sent. */
  deliver(topic: Topic, publication: Publication): number {
    try {
      return this.#deliverTo(topic, publication);
    } catch (error) {
      this.#failed(topic, error);
      return 0;
    }
  }

  /**
   * The same for all of a wave. Those that follow each other in one topic, and are for all its subscribers, share frames where
   * protocols have such frames; topics do not overtake each other.
   */
  deliverAll(departures: readonly Departure[]): void {
    let holding: Topic | undefined;
    for (const { topic, publication } of departures) {
      const isForAll = publication.user === undefined && publication.except === undefined;
      if (holding !== undefined && (holding !== topic || !isForAll)) {
        this.#release(holding);
        holding = undefined;
      }
      if (holding === undefined && isForAll) {
        this.#topics.held.hold();
        holding = topic;
      }
      this.deliver(topic, publication);
    }
    if (holding !== undefined) this.#release(holding);
  }

  #release(topic: Topic): void {
    try {
      this.#topics.held.release();
    } catch (error) {
      this.#failed(topic, error);
    }
  }

  #deliverTo(topic: Topic, publication: Publication): number {
    topic.advance(publication);
    if (topic.followers > 0) this.#recovery.record(topic, publication);
    const { user, except } = publication;
    const excepted = except === undefined ? undefined : this.#connections.byId(except);
    if (user !== undefined) return this.#deliverToUser(user, topic, publication, excepted);
    const isSubscribed = excepted?.topics.includes(topic) === true;
    return topic.fanOut(publication, isSubscribed ? excepted : undefined);
  }

  /** To how many connections it would be sent now. */
  receivers(topic: Topic, { user, except }: Publication): number {
    const excepted = except === undefined ? undefined : this.#connections.byId(except);
    const isExcepted = excepted?.topics.includes(topic) === true;
    if (user === undefined) return isExcepted ? topic.subscribers - 1 : topic.subscribers;
    const isReceiver = (one: Connection) => one !== excepted && one.topics.includes(topic);
    return this.#connections.ofUser(user).filter(isReceiver).length;
  }

  /**
   * Some connections may have the publication and others not. Before anything else of the topic is delivered, those that
   * can resume are ended: each recovers what it lacks, and no more.
   */
  #failed(topic: Topic, error: unknown): void {
    this.#onFault(error);
    try {
      this.#recovery.endIn(new Set([topic]));
    } catch (again) {
      this.#onFault(again);
    }
  }

  #deliverToUser(
    user: string,
    topic: Topic,
    publication: Publication,
    excepted: Connection | undefined,
  ): number {
    let delivered = 0;
    let encoder: PublicationEncoder | undefined;
    let frame: Frame = "";
    // A copy of the list: a send can end a slow consumer, which takes it out.
    for (const connection of this.#connections.ofUser(user).slice()) {
      if (connection === excepted || !connection.topics.includes(topic)) continue;
      const needed = topic.encoderFor(connection);
      if (needed !== encoder) {
        encoder = needed;
        frame = encoder.encodePublication(publication);
      }
      topic.sentAlone(connection);
      if (!this.#connections.send(connection, frame)) continue;
      this.#tally.of(connection.protocol).delivered(1, frame);
      if (publication.push !== undefined) this.#receipts.sent(publication.push, connection);
      delivered++;
    }
    return delivered;
  }
}
