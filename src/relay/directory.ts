// What there is now on all nodes, a page at a time: topics with their subscribers, and users with their connections. Rows are in
// the order of their names, so that each node gives the beginning of its own list and the beginnings make the page.
import { type Maybe, then } from "./contracts/maybe";
import type { RelayOptions } from "./contracts/options";
import type { Position } from "./contracts/publication";
import type { TopicRule, TopicRules } from "./contracts/topic-rules";
import type { Cluster } from "./state/cluster";
import type { Connections } from "./state/connections";
import type { Topics } from "./topics/topics";

export interface PageRequest {
  /** Only names that contain this text. */
  readonly search: string;
  /** Only names that come after this one. */
  readonly after: string;
  readonly limit: number;
}

interface TopicCount {
  readonly topic: string;
  readonly subscribers: number;
  /** The newest that was delivered here since the topic has subscribers here. */
  readonly position?: Position | undefined;
}

/** A topic that has connections. */
export interface TopicRow extends TopicCount {
  /** The prefix of its rule; undefined where it has none. */
  readonly prefix: string | undefined;
  readonly rule: TopicRule;
}

/** A user who is connected. */
export interface UserRow {
  readonly user: string;
  readonly connections: number;
  /** How many of them speak what. */
  readonly protocols: Readonly<Record<string, number>>;
  /** How long the oldest has been open, in ms. */
  readonly ageMs: number;
  /** What waits in the relay for all of them. */
  readonly waitingBytes: number;
}

interface Page<Row> {
  readonly rows: readonly Row[];
  /** Whether there are more rows. */
  readonly isCut: boolean;
}

/** Rejects with EngineUnavailable where the other nodes are out of reach. Cost: the names of each node. */
export class Directory {
  readonly #now: () => number;
  readonly #rules: TopicRules;
  readonly #topics: Topics;
  readonly #connections: Connections;
  readonly #cluster: Cluster;

  constructor(
    { now, rules }: Pick<RelayOptions, "now" | "rules">,
    topics: Topics,
    connections: Connections,
    cluster: Cluster,
  ) {
    this.#now = now;
    this.#rules = rules;
    this.#topics = topics;
    this.#connections = connections;
    this.#cluster = cluster;
    cluster.handle("topics page", (request: PageRequest) => this.#topicCounts(request));
    cluster.handle("users page", (request: PageRequest) => this.#userRows(request));
  }

  /** The topics that have connections. */
  topics(request: PageRequest): Maybe<Page<TopicRow>> {
    return then(this.#all("topics page", request, this.#topicCounts(request)), (rows) => {
      const { rows: counts, isCut } = pageOf(rows, request.limit, "topic", (a, b) => ({
        topic: a.topic,
        subscribers: a.subscribers + b.subscribers,
        position: newest(a.position, b.position),
      }));
      const described = counts.map((row) => ({
        ...row,
        prefix: this.#rules.prefixOf(row.topic),
        rule: this.#rules.of(row.topic),
      }));
      return { rows: described, isCut };
    });
  }

  /** The users who are connected. Anonymous clients are not among them. */
  users(request: PageRequest): Maybe<Page<UserRow>> {
    return then(this.#all("users page", request, this.#userRows(request)), (rows) =>
      pageOf(rows, request.limit, "user", (a, b) => ({
        user: a.user,
        connections: a.connections + b.connections,
        protocols: sums(a.protocols, b.protocols),
        ageMs: Math.max(a.ageMs, b.ageMs),
        waitingBytes: a.waitingBytes + b.waitingBytes,
      })),
    );
  }

  /** How many connections of this node are in a topic. */
  subscribersHere(topic: string): number {
    return this.#topics.get(topic)?.subscribers ?? 0;
  }

  async #all<Row>(
    kind: string,
    request: PageRequest,
    made: Promise<readonly Row[]>,
  ): Promise<readonly Row[]> {
    const here = await made;
    const { answers } = await this.#cluster.survey<readonly Row[]>(kind, request);
    return [here, ...answers].flat();
  }

  #topicCounts(request: PageRequest): Promise<readonly TopicCount[]> {
    return this.#topics.scans.make(() =>
      firstOf(this.#topics.names(), request).map((name) => {
        const topic = this.#topics.get(name);
        return { topic: name, subscribers: topic?.subscribers ?? 0, position: topic?.position };
      }),
    );
  }

  #userRows(request: PageRequest): Promise<readonly UserRow[]> {
    return this.#topics.scans.make(() => this.#userRowsNow(request));
  }

  #userRowsNow(request: PageRequest): readonly UserRow[] {
    const now = this.#now();
    return firstOf(this.#connections.userNames(), request).map((user) => {
      const connections = this.#connections.ofUser(user);
      const protocols: Record<string, number> = {};
      let openedAt = now;
      let waitingBytes = 0;
      for (const { protocol, openedAt: at, socket } of connections) {
        protocols[protocol.name] = (protocols[protocol.name] ?? 0) + 1;
        openedAt = Math.min(openedAt, at);
        waitingBytes += socket?.getBufferedAmount() ?? 0;
      }
      const ageMs = now - openedAt;
      return { user, connections: connections.length, protocols, ageMs, waitingBytes };
    });
  }
}

/** The first names of the page, in order, and one more if there is one. Cost: the names. */
function firstOf(
  names: Iterable<string>,
  { search, after, limit }: PageRequest,
): readonly string[] {
  const first: string[] = [];
  for (const name of names) {
    if (name <= after || !name.includes(search)) continue;
    const last = first[limit];
    if (last !== undefined && name >= last) continue;
    first.splice(placeOf(name, first), 0, name);
    if (first.length > limit + 1) first.pop();
  }
  return first;
}

/** Where a name belongs among sorted ones. */
function placeOf(name: string, sorted: readonly string[]): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as string) < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Makes one page of the beginnings of several lists; rows with one name become one. */
function pageOf<Key extends string, Row extends Readonly<Record<Key, string>>>(
  rows: readonly Row[],
  limit: number,
  key: Key,
  merge: (a: Row, b: Row) => Row,
): Page<Row> {
  const byName = new Map<string, Row>();
  for (const row of rows) {
    const other = byName.get(row[key]);
    byName.set(row[key], other === undefined ? row : merge(other, row));
  }
  const sorted = [...byName.values()].toSorted((a, b) => (a[key] < b[key] ? -1 : 1));
  return { rows: sorted.slice(0, limit), isCut: sorted.length > limit };
}

function newest(a: Position | undefined, b: Position | undefined): Position | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b.epoch === a.epoch && b.offset > a.offset ? b : a;
}

function sums(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const sum: Record<string, number> = { ...a };
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}
