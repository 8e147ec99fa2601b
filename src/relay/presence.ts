// Who is in a topic, for topics whose rule asks for it: sessions alone, since only they say who they are to others.
import type { ClientInfo } from "./command";
import type { Connection } from "./connection";

interface Room {
  readonly clients: Map<Connection, ClientInfo>;
  /** Connections of each user, so that counting users costs nothing. */
  readonly users: Map<string, number>;
}

export class Presence {
  readonly #rooms = new Map<string, Room>();

  add(topic: string, connection: Connection, info: ClientInfo): void {
    let room = this.#rooms.get(topic);
    if (room === undefined) {
      room = { clients: new Map(), users: new Map() };
      this.#rooms.set(topic, room);
    }
    if (!room.clients.has(connection)) {
      room.users.set(info.user, (room.users.get(info.user) ?? 0) + 1);
    }
    room.clients.set(connection, info);
  }

  remove(topic: string, connection: Connection): void {
    const room = this.#rooms.get(topic);
    const info = room?.clients.get(connection);
    if (room === undefined || info === undefined) return;
    room.clients.delete(connection);
    const left = (room.users.get(info.user) ?? 1) - 1;
    if (left === 0) room.users.delete(info.user);
    else room.users.set(info.user, left);
    if (room.clients.size === 0) this.#rooms.delete(topic);
  }

  /** Cost: the clients in the topic. */
  clients(topic: string): readonly ClientInfo[] {
    return [...(this.#rooms.get(topic)?.clients.values() ?? [])];
  }

  counts(topic: string): { clients: number; users: number } {
    const room = this.#rooms.get(topic);
    return { clients: room?.clients.size ?? 0, users: room?.users.size ?? 0 };
  }
}
