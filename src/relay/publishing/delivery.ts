// Hands publications and frames to the connections of this node: the only fan-out.

import type { CloseName } from "../contracts/errors";
import type { Protocol } from "../contracts/protocol";
import type { Publication } from "../contracts/publication";
import type { Recovery } from "../recovery/recovery";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/registry";
import type { Topic } from "../state/topic";
import type { Topics } from "../topics/topics";

export interface DeliveryOptions {
  readonly topics: Topics;
  readonly registry: Connections;
  readonly recovery: Recovery;
  readonly backpressureBytes: number;
  readonly end: (connection: Connection, why: CloseName) => void;
}

export class Delivery {
  readonly #options: DeliveryOptions;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** The only fan-out; every engine calls it, for each topic in order. Answers how many it was sent to. */
  deliver(publication: Publication): number {
    const topic = this.#options.topics.get(publication.topic);
    if (topic === undefined) return 0;
    topic.advance(publication);
    if (topic.followers > 0) this.#options.recovery.record(topic, publication);
    const { user, except } = publication;
    const left = except === undefined ? undefined : this.#options.registry.connection(except);
    if (user !== undefined) return this.#deliverTo(user, topic, publication, left);
    const without = left?.topics.includes(topic) === true ? left : undefined;
    return this.#options.topics.publish(topic, publication, without);
  }

  #deliverTo(
    user: string,
    topic: Topic,
    publication: Publication,
    without: Connection | undefined,
  ): number {
    let delivered = 0;
    let protocol: Protocol | undefined;
    let frame = "";
    // A copy: a send can close a slow consumer, which takes it out of the list.
    for (const connection of this.#options.registry.ofUser(user).slice()) {
      if (connection === without || !connection.topics.includes(topic)) continue;
      if (connection.protocol !== protocol) {
        protocol = connection.protocol;
        frame = protocol.encodePublication(publication);
      }
      if (this.send(connection, frame)) delivered++;
    }
    return delivered;
  }

  /** To one connection; false when that was too much for it and it was ended as a slow consumer. */
  send(connection: Connection, frame: string): boolean {
    const { socket } = connection;
    if (socket === undefined) return false;
    // Looked at first: over its limit Bun cuts the socket off, and what waits there is lost.
    // Where little waits any frame fits: who comes back for one over the limit would be ended again and again.
    const waits = socket.getBufferedAmount();
    const limit = this.#options.backpressureBytes;
    const fits = waits <= limit / 4 || waits + frame.length <= limit;
    if (fits && socket.send(frame) !== 0) return true;
    this.#options.end(connection, "slow_consumer");
    return false;
  }
}
