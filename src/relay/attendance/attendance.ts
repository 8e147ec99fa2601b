// Who and what is there over all nodes, for a witness that wants to know when somebody comes and goes: users with connections, topics
// with subscribers, users in topics with presence, and members of topics. What nobody wants to know costs nothing.
import { type Engine, type GroupChange, LISTED } from "../contracts/engine";
import type { RelayEvent, RelayOptions, Witness } from "../contracts/options";
import type { Connection } from "../state/connection";
import type { Connections } from "../state/connections";
import type { Topic } from "../state/fan-out/topic";
import { Leadership } from "../state/leadership";
import { Entries } from "./entries";
import { MARK, Roll } from "./roll";

/** How often a node asks whether it leads. */
const CHECK_MS = 1_000;

/** Who leaves a topic, and a topic that is left by all, may be back within this time as if nothing had happened. */
const ABSENCE_MS = 3_000;

/** The events of a kind, and what stands for something of the kind in their names. */
interface Kind {
  readonly came: RelayEvent["kind"];
  readonly went: RelayEvent["kind"];
  /** What the name of something of the kind says. */
  subjectOf(name: string): object;
}

const pairOf = (name: string): object => {
  const [topic, user] = JSON.parse(name);
  return { topic, user };
};

const KINDS = {
  users: { came: "online", went: "offline", subjectOf: (user) => ({ user }) },
  topics: { came: "occupied", went: "vacated", subjectOf: (topic) => ({ topic }) },
  present: { came: "joined", went: "left", subjectOf: pairOf },
  members: { came: "memberAdded", went: "memberRemoved", subjectOf: pairOf },
} as const satisfies Readonly<Record<string, Kind>>;

interface AttendanceOptions extends Pick<RelayOptions, "after" | "now" | "node" | "offlineMs"> {
  readonly engine: Pick<Engine, "groups" | "records">;
  readonly witness: Witness;
}

export class Attendance {
  readonly #now: () => number;
  readonly #leadership: Leadership;
  readonly #rolls = new Map<string, Roll>();
  readonly #topics: Entries | undefined;
  readonly #present: Entries | undefined;
  readonly #members: Entries | undefined;
  /** The users as which connections are in topics with presence; kept because a user can change. */
  readonly #usersOf = new Map<Connection, Map<string, string>>();
  /** How many connections of a user are in a topic with presence. */
  readonly #counts = new Map<string, number>();
  #leads = false;
  #checkAt = Number.NEGATIVE_INFINITY;

  constructor(options: AttendanceOptions, connections: Pick<Connections, "onUser">) {
    this.#now = options.now;
    this.#leadership = new Leadership(options.engine.groups, options.node, "attendance");
    const users = this.#begin("users", options);
    if (users !== undefined) {
      connections.onUser((user, change) => {
        if (change === "came") users.add(user);
        else users.remove(user);
      });
    }
    this.#topics = this.#begin("topics", options);
    this.#present = this.#begin("present", options);
    this.#members = this.#begin("members", options);
  }

  /** A topic has a subscriber more here. */
  subscribed({ name }: Topic): void {
    this.#topics?.add(name);
  }

  /** A connection has left a topic here. */
  unsubscribed(connection: Connection, topic: Topic): void {
    if (topic.subscribers === 0) this.#topics?.remove(topic.name);
    this.#left(connection, topic.name);
  }

  /** A user has become a member of a topic here, or is none any more. */
  memberChanged(topic: string, user: string, change: GroupChange["change"]): void {
    if (change === "came") this.#members?.add(nameOf(topic, user));
    else this.#members?.remove(nameOf(topic, user));
  }

  /** A connection has come into a topic with presence as this user, who is nobody if it is "". */
  joined(connection: Connection, topic: string, user: string): void {
    if (this.#present === undefined || user === "") return;
    const users = this.#usersOf.get(connection) ?? new Map<string, string>();
    if (users.has(topic)) return;
    this.#usersOf.set(connection, users.set(topic, user));
    const name = nameOf(topic, user);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    this.#present.add(name);
  }

  #left(connection: Connection, topic: string): void {
    const users = this.#usersOf.get(connection);
    const user = users?.get(topic);
    if (users === undefined || user === undefined) return;
    users.delete(topic);
    if (users.size === 0) this.#usersOf.delete(connection);
    const name = nameOf(topic, user);
    const left = (this.#counts.get(name) ?? 1) - 1;
    if (left > 0) this.#counts.set(name, left);
    else {
      this.#counts.delete(name);
      this.#present?.remove(name);
    }
  }

  /** See EngineEvents. */
  groupChanged(change: GroupChange): void {
    this.#rolls.get(change.group)?.changed(change);
  }

  groupsUnsure(): void {
    for (const roll of this.#rolls.values()) roll.unsure();
  }

  /** To be called about once a second, or more often. */
  sweep(): void {
    if (this.#rolls.size === 0) return;
    if (this.#leads) for (const roll of this.#rolls.values()) roll.lead();
    if (this.#now() < this.#checkAt) return;
    this.#checkAt = this.#now() + CHECK_MS;
    void this.#check();
  }

  async #check(): Promise<void> {
    const leads = await this.#leadership.check();
    if (leads === this.#leads) return;
    this.#leads = leads;
    for (const roll of this.#rolls.values()) {
      if (leads) roll.lead();
      else roll.wait();
    }
  }

  #begin(name: keyof typeof KINDS, options: AttendanceOptions): Entries | undefined {
    const { witness, engine, node, offlineMs, after, now } = options;
    const { came, went, subjectOf }: Kind = KINDS[name];
    if (!witness.wants(came) && !witness.wants(went)) return undefined;
    const group = `${LISTED}${MARK}${name}`;
    const eventOf = (change: GroupChange["change"], subject: string, key: string) =>
      ({ kind: change === "came" ? came : went, key, ...subjectOf(subject) }) as RelayEvent;
    const graceMs = name === "users" ? offlineMs : ABSENCE_MS;
    const firstGraceMs = Math.max(graceMs, offlineMs);
    const marker = `${MARK}${node}`;
    this.#rolls.set(
      group,
      new Roll({ engine, witness, group, marker, graceMs, firstGraceMs, eventOf, now }),
    );
    return new Entries(group, engine.groups, after);
  }
}

/** One text for a topic and a user. */
function nameOf(topic: string, user: string): string {
  return JSON.stringify([topic, user]);
}
