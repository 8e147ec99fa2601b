// Who is in a topic, for topics whose rule asks for it. Connections of all protocols count. Topics whose rule asks for
// neither presence nor join and leave never come here.
import type { RelayOptions } from "../contracts/options";
import type { ClientInfo } from "../contracts/publication";
import type { Cluster } from "../state/cluster";
import { type Connection, hiddenIn, infoOf } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Topic } from "../state/fan-out/topic";

export interface PresenceCounts {
  readonly clients: number;
  readonly users: number;
}

/** Those who are in one topic. */
interface Present {
  readonly clients: Map<Connection, ClientInfo>;
  /** The number of connections of each user, so that counting users costs nothing. */
  readonly users: Map<string, number>;
}

/** What another node answers: its users by name, because a user may be on several nodes. */
interface NodeCounts {
  readonly clients: number;
  readonly users: readonly string[];
}

export class Presence {
  readonly #newId: () => string;
  readonly #connections: Connections;
  readonly #cluster: Cluster;
  readonly #topics = new Map<string, Present>();

  constructor({ newId }: RelayOptions, connections: Connections, cluster: Cluster) {
    this.#newId = newId;
    this.#connections = connections;
    this.#cluster = cluster;
    cluster.handle("presence", (topic: string) => this.#clients(topic));
    cluster.handle("presence counts", (topic: string): NodeCounts => {
      const present = this.#topics.get(topic);
      return { clients: present?.clients.size ?? 0, users: [...(present?.users.keys() ?? [])] };
    });
  }

  /** A connection has come into the topic; answers who it is. */
  joined(connection: Connection, { name, rule }: Topic): ClientInfo {
    if (connection.publicId === "") this.#connections.setPublicId(connection, this.#newId());
    const info = infoOf(connection, name);
    if (!rule.presence || hiddenIn(connection, name)?.presence === true) return info;
    const present = this.#topics.getOrInsertComputed(name, () => ({
      clients: new Map(),
      users: new Map(),
    }));
    present.clients.set(connection, info);
    present.users.set(info.user, (present.users.get(info.user) ?? 0) + 1);
    return info;
  }

  /** The topic's rule asks for presence no longer. */
  forget({ name }: Topic): void {
    this.#topics.delete(name);
  }

  /** What others see of a connection has changed. Cost: its topics. */
  changed(connection: Connection): void {
    for (const { name } of connection.topics) {
      const clients = this.#topics.get(name)?.clients;
      if (clients?.has(connection) === true) clients.set(connection, infoOf(connection, name));
    }
  }

  /** A connection has left the topic; answers who it was. */
  left(connection: Connection, { name }: Topic): ClientInfo {
    const present = this.#topics.get(name);
    const info = present?.clients.get(connection);
    if (present === undefined || info === undefined) return infoOf(connection, name);
    present.clients.delete(connection);
    const rest = (present.users.get(info.user) ?? 1) - 1;
    if (rest === 0) present.users.delete(info.user);
    else present.users.set(info.user, rest);
    if (present.clients.size === 0) this.#topics.delete(name);
    return info;
  }

  /** Over all nodes. Rejects with EngineUnavailable. Cost: the clients in the topic. */
  async clients(topic: string): Promise<readonly ClientInfo[]> {
    const others = await this.#cluster.request<readonly ClientInfo[]>("presence", topic);
    return [...this.#clients(topic), ...others.flat()];
  }

  /** Over all nodes. Rejects with EngineUnavailable. Constant cost where there is one node, else the users in the topic. */
  async counts(topic: string): Promise<PresenceCounts> {
    const others = await this.#cluster.request<NodeCounts>("presence counts", topic);
    const present = this.#topics.get(topic);
    const here = { clients: present?.clients.size ?? 0, users: present?.users.size ?? 0 };
    if (others.length === 0) return here;
    const users = new Set(present?.users.keys());
    let { clients } = here;
    for (const other of others) {
      clients += other.clients;
      for (const user of other.users) users.add(user);
    }
    return { clients, users: users.size };
  }

  #clients(topic: string): readonly ClientInfo[] {
    return [...(this.#topics.get(topic)?.clients.values() ?? [])];
  }
}
