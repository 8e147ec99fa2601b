// The topics that somebody on this node is subscribed to, and how many connections each has.
// A topic lives exactly as long as it has a subscriber here.
import type { Connection, Outlet } from "./connection";
import type { Protocol } from "./protocol";
import type { Publication } from "./publication";

/** The subscribers of a topic that speak one protocol: they all get the same bytes. */
interface Audience {
  readonly protocol: Protocol;
  readonly native: string;
  size: number;
}

export class Topic {
  readonly name: string;
  readonly audiences: Audience[] = [];

  constructor(name: string) {
    this.name = name;
  }

  audience(protocol: Protocol): Audience {
    for (const audience of this.audiences) if (audience.protocol === protocol) return audience;
    const audience = { protocol, native: `${protocol.name}:${this.name}`, size: 0 };
    this.audiences.push(audience);
    return audience;
  }
}

export class Topics {
  readonly #outlet: Outlet;
  readonly #topics = new Map<string, Topic>();

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  get size(): number {
    return this.#topics.size;
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /**
   * Makes `names` the topics of an open connection; the names have been checked and stand once each.
   * New ones are joined before old ones are left. Cost: old times new names, not subscribers.
   */
  replace(connection: Connection, names: Iterable<string>): void {
    const before = connection.topics;
    const after: Topic[] = [];
    for (const name of names) {
      let topic = this.#topics.get(name);
      if (topic === undefined) {
        topic = new Topic(name);
        this.#topics.set(name, topic);
      }
      after.push(topic);
    }
    connection.topics = after;
    for (const topic of after) {
      if (before.includes(topic)) continue;
      const audience = topic.audience(connection.protocol);
      audience.size++;
      connection.socket?.subscribe(audience.native);
    }
    for (const topic of before) {
      if (after.includes(topic)) continue;
      connection.socket?.unsubscribe(topic.audience(connection.protocol).native);
      this.#leave(topic, connection.protocol);
    }
  }

  /** Forgets a connection that has ended; its socket left native fan-out when it closed. */
  remove(connection: Connection): void {
    for (const topic of connection.topics) this.#leave(topic, connection.protocol);
    connection.topics = [];
  }

  /** Native fan-out of one publication to all subscribers of its topic: one encoding for each protocol. */
  publish(publication: Publication): number {
    const topic = this.#topics.get(publication.topic);
    if (topic === undefined) return 0;
    let delivered = 0;
    for (const audience of topic.audiences) {
      if (audience.size === 0) continue;
      this.#outlet.publish(audience.native, audience.protocol.encodePublication(publication));
      delivered += audience.size;
    }
    return delivered;
  }

  #leave(topic: Topic, protocol: Protocol): void {
    topic.audience(protocol).size--;
    if (topic.audiences.every((audience) => audience.size === 0)) this.#topics.delete(topic.name);
  }
}
