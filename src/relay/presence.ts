// Who is in a topic, for topics whose rule asks for it, and the pushes that tell who comes and goes. Connections of all
// protocols count; only sessions are told. Topics whose rule asks for neither never come here.
import type { ClientInfo } from "./command";
import type { Connection } from "./connection";
import { infoOf } from "./session";
import type { Topic } from "./topics";

export interface PresenceCounts {
  readonly clients: number;
  readonly users: number;
}

interface Room {
  readonly clients: Map<Connection, ClientInfo>;
  /** Connections of each user, so that counting users costs nothing. */
  readonly users: Map<string, number>;
}

export class Presence {
  readonly #name: (connection: Connection) => void;
  readonly #rooms = new Map<string, Room>();

  /** `name` gives a connection the id that others may know. */
  constructor(name: (connection: Connection) => void) {
    this.#name = name;
  }

  /** A connection is in the topic now; answers who it is. */
  joined(connection: Connection, { name, rule }: Topic): ClientInfo {
    if (connection.publicId === "") this.#name(connection);
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

  /** Cost: the clients in the topic. */
  clients(topic: string): readonly ClientInfo[] {
    return [...(this.#rooms.get(topic)?.clients.values() ?? [])];
  }

  /** In constant time. */
  counts(topic: string): PresenceCounts {
    const room = this.#rooms.get(topic);
    return { clients: room?.clients.size ?? 0, users: room?.users.size ?? 0 };
  }
}
