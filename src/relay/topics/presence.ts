// Who is in a topic, for topics whose rule asks for it, and the pushes that tell who comes and goes. Connections of all
// protocols count; only sessions are told. Topics whose rule asks for neither never come here.

import type { ClientInfo } from "../contracts/publication";
import type { Cluster } from "../state/cluster";
import { type Connection, infoOf } from "../state/connection";
import type { Topic } from "../state/topic";

export interface PresenceCounts {
  readonly clients: number;
  readonly users: number;
}

interface Room {
  readonly clients: Map<Connection, ClientInfo>;
  /** Connections of each user, so that counting users costs nothing. */
  readonly users: Map<string, number>;
}

export interface PresenceOptions {
  readonly cluster: Cluster;
  /** Gives a connection the id that others may know. */
  readonly name: (connection: Connection) => void;
}

export class Presence {
  readonly #options: PresenceOptions;
  readonly #rooms = new Map<string, Room>();

  constructor(options: PresenceOptions) {
    this.#options = options;
    options.cluster.handle("presence", (topic: string) => this.#clients(topic));
    options.cluster.handle("presence counts", (topic: string): Counted => {
      const room = this.#rooms.get(topic);
      return { clients: room?.clients.size ?? 0, users: [...(room?.users.keys() ?? [])] };
    });
  }

  /** A connection is in the topic now; answers who it is. */
  joined(connection: Connection, { name, rule }: Topic): ClientInfo {
    if (connection.publicId === "") this.#options.name(connection);
    const info = infoOf(connection, name);
    if (!rule.presence) return info;
    let room = this.#rooms.get(name);
    if (room === undefined) {
      room = { clients: new Map(), users: new Map() };
      this.#rooms.set(name, room);
    }
    room.clients.set(connection, info);
    room.users.set(info.user, (room.users.get(info.user) ?? 0) + 1);
    return info;
  }

  /** A connection is in the topic no longer; answers who it was. */
  left(connection: Connection, { name }: Topic): ClientInfo {
    const room = this.#rooms.get(name);
    const info = room?.clients.get(connection);
    if (room === undefined || info === undefined) return infoOf(connection, name);
    room.clients.delete(connection);
    const rest = (room.users.get(info.user) ?? 1) - 1;
    if (rest === 0) room.users.delete(info.user);
    else room.users.set(info.user, rest);
    if (room.clients.size === 0) this.#rooms.delete(name);
    return info;
  }

  /** On all nodes. Cost: the clients in the topic. Rejects with EngineUnavailable. */
  async clients(topic: string): Promise<readonly ClientInfo[]> {
    const others = await this.#options.cluster.request<readonly ClientInfo[]>("presence", topic);
    return [...this.#clients(topic), ...others.flat()];
  }

  /** On all nodes. In constant time where there is one, else in proportion to the users. Rejects with EngineUnavailable. */
  async counts(topic: string): Promise<PresenceCounts> {
    const others = await this.#options.cluster.request<Counted>("presence counts", topic);
    const room = this.#rooms.get(topic);
    const here = { clients: room?.clients.size ?? 0, users: room?.users.size ?? 0 };
    if (others.length === 0) return here;
    const users = new Set(room?.users.keys());
    let { clients } = here;
    for (const other of others) {
      clients += other.clients;
      for (const user of other.users) users.add(user);
    }
    return { clients, users: users.size };
  }

  #clients(topic: string): readonly ClientInfo[] {
    return [...(this.#rooms.get(topic)?.clients.values() ?? [])];
  }
}

interface Counted {
  readonly clients: number;
  readonly users: readonly string[];
}
