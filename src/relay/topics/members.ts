// Members of topics: users who are in a topic on any node, each once, however many connections they have. A connection becomes
// one before it is subscribed. The engine decides which of a user's connections is the first and which the last.
//
// Every member is sent one list, with the reply to its subscribe, and then each change of that list once: lists and pushes come
// from the same changes, in the same order. Connections that are not members cost nothing here.
import type { Attendance } from "../attendance/attendance";
import { MemberList } from "../attendance/member-list";
import type { Member, MemberPush, MemberView } from "../contracts/commands";
import { type Engine, type GroupChange, LISTED } from "../contracts/engine";
import { Refusal } from "../contracts/errors";
import { type Maybe, then } from "../contracts/maybe";
import type { RelayOptions } from "../contracts/options";
import { type Connection, chargeForReceivers } from "../state/connection";
import type { Connections } from "../state/connections";
import { checkMember } from "../text/checks";

/** A list that lacks a change for so long has missed it: it is read again. */
const CHANGE_TIMEOUT_MS = 1_000;

/** A user who is a member of a topic through connections of this node. */
interface UserHere {
  connections: number;
  /** Whether the engine has answered that the user is in the topic: from then on this node is told of each change. */
  isIn: boolean;
  /** Settled when the engine has answered, and the list has the user. */
  entered: Promise<Refusal | undefined>;
}

/** A topic that has members on this node. */
interface Group {
  readonly topic: string;
  readonly list: MemberList;
  readonly users: Map<string, UserHere>;
  /** Connections that have a list, but do not get what is fanned out yet. */
  readonly pending: Set<Membership>;
  /** Those who wait until the list has this version. */
  waiting: { readonly version: number; readonly resolve: () => void }[];
  /** How often the state was asked for: only the last answer counts. */
  reads: number;
}

/** A connection as a member of one topic. */
export interface Membership {
  readonly topic: string;
  readonly user: string;
  /** Changes since the reply that had the list, while the connection is not subscribed yet. */
  readonly missed: MemberPush[];
}

interface MembersOptions extends Pick<RelayOptions, "later" | "after"> {
  readonly engine: Pick<Engine, "groups">;
  readonly limits: Pick<RelayOptions["limits"], "membersMax" | "memberInfoBytes">;
}

export class Members {
  readonly #groups: Engine["groups"];
  readonly #limits: MembersOptions["limits"];
  readonly #later: RelayOptions["later"];
  readonly #after: RelayOptions["after"];
  readonly #attendance: Attendance | undefined;
  readonly #connections: Pick<Connections, "send">;
  /** Native fan-out to the members of a topic that are here. */
  readonly #fanOut: (push: MemberPush) => void;
  readonly #byTopic = new Map<string, Group>();
  readonly #memberships = new Map<Connection, Map<string, Membership>>();
  /** Resolves when this turn of the event loop is over, so that all who come in one turn share one list. */
  #turn: Promise<void> | undefined;

  constructor(
    { engine, limits, later, after }: MembersOptions,
    connections: Pick<Connections, "send" | "onEnd">,
    attendance: Attendance | undefined,
    fanOut: (push: MemberPush) => void,
  ) {
    this.#groups = engine.groups;
    this.#limits = limits;
    this.#later = later;
    this.#after = after;
    this.#attendance = attendance;
    this.#connections = connections;
    this.#fanOut = fanOut;
    connections.onEnd((connection) => this.#leaveAll(connection));
  }

  /**
   * A connection becomes a member of a topic, until it leaves or ends. Refuses `invalid_user`, `member_too_large`,
   * `invalid_message`, `too_many_members`. Rejects with EngineUnavailable.
   */
  async enter(
    connection: Connection,
    topic: string,
    member: Member,
  ): Promise<Membership | Refusal> {
    const refusal = checkMember(member, this.#limits.memberInfoBytes);
    if (refusal !== undefined) return refusal;
    const { group, here } = this.#userHere(topic, member);
    here.connections++;
    const membership: Membership = { topic, user: member.user, missed: [] };
    this.leave(connection, topic);
    this.#memberships.getOrInsertComputed(connection, () => new Map()).set(topic, membership);
    try {
      const answer = await here.entered;
      chargeForReceivers(connection, group.list.members.size);
      if (answer === undefined) return membership;
      this.#drop(connection, membership);
      return answer;
    } catch (error) {
      this.#drop(connection, membership);
      throw error;
    }
  }

  /** Whether the connection is still the member that `enter` made it. */
  holds(connection: Connection, membership: Membership): boolean {
    return this.#memberships.get(connection)?.get(membership.topic) === membership;
  }

  /** The list for the reply to a member, which is sent in this turn. Changes from now on are kept for it until `subscribed`. */
  listFor(connection: Connection, membership: Membership): MemberView | undefined {
    if (!this.holds(connection, membership)) return undefined;
    const group = this.#byTopic.get(membership.topic);
    group?.pending.add(membership);
    return group?.list;
  }

  /** The connection gets what is fanned out in the topic from now on: it is sent what it has missed since its reply. */
  subscribed(connection: Connection, topic: string): void {
    const membership = this.#memberships.get(connection)?.get(topic);
    if (membership === undefined) return;
    this.#byTopic.get(topic)?.pending.delete(membership);
    const { protocol } = connection;
    if (protocol.kind !== "session" || protocol.encodeMember === undefined) return;
    for (const push of membership.missed) {
      if (!this.#connections.send(connection, protocol.encodeMember(push))) return;
    }
  }

  /** The connection is a member of the topic no longer; to be called when it has left native fan-out. */
  leave(connection: Connection, topic: string): void {
    const membership = this.#memberships.get(connection)?.get(topic);
    if (membership !== undefined) this.#drop(connection, membership);
  }

  /** Who is in a topic, over all nodes. Rejects with EngineUnavailable. */
  in(topic: string): Maybe<readonly Member[]> {
    return then(this.#groups.state(groupOf(topic)), ({ members }) =>
      members.map(({ name, info }) => ({ user: name, info })),
    );
  }

  /** How many users are in a topic, over all nodes. Rejects with EngineUnavailable. */
  count(topic: string): Maybe<number> {
    return this.#groups.size(groupOf(topic));
  }

  /** The next change of a group, from the engine. */
  groupChanged(change: GroupChange): void {
    const group = this.#byTopic.get(change.group.slice(LISTED.length));
    if (group === undefined) return;
    const applied = group.list.apply(change);
    if (applied === "gap") this.#read(group);
    if (applied !== "applied" || group.list.change === undefined) return;
    this.#announce(group, group.list.change);
    this.#wake(group);
  }

  /** The engine may have missed changes. */
  groupsUnsure(): void {
    for (const group of this.#byTopic.values()) this.#read(group);
  }

  #userHere(topic: string, member: Member): { readonly group: Group; readonly here: UserHere } {
    const group = this.#byTopic.getOrInsertComputed(topic, () => {
      const list = new MemberList(topic);
      return { topic, list, users: new Map(), pending: new Set(), waiting: [], reads: 0 };
    });
    let here = group.users.get(member.user);
    if (here === undefined) {
      here = { connections: 0, isIn: false, entered: Promise.resolve(undefined) };
      here.entered = this.#enter(group, here, member);
      group.users.set(member.user, here);
    }
    return { group, here };
  }

  async #enter(group: Group, here: UserHere, { user, info }: Member): Promise<Refusal | undefined> {
    const { membersMax } = this.#limits;
    const { reads } = group;
    // Nobody may be in: who was has left, or is refused. What changes until this one is in, this node is not told.
    const isAlone = ![...group.users.values()].some(({ isIn }) => isIn);
    const entering = this.#groups.enter(groupOf(group.topic), { name: user, info }, membersMax);
    if (group.reads === 0) this.#read(group);
    const answer = await entering;
    if (answer === "full") return tooManyMembers(membersMax);
    // All have left meanwhile, so that the list is never whole.
    if (this.#byTopic.get(group.topic) !== group) return undefined;
    here.isIn = true;
    if (group.users.has(user)) this.#attendance?.memberChanged(group.topic, user, "came");
    const isBehind = () => group.list.version < answer.version;
    if (isAlone && group.reads === reads && isBehind()) this.#read(group);
    if (isBehind()) await this.#reached(group, answer.version);
    await this.#endOfTurn();
    return undefined;
  }

  /** Resolves when the list has this version. */
  #reached(group: Group, version: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#after(CHANGE_TIMEOUT_MS, () => this.#read(group));
      group.waiting.push({
        version,
        resolve: () => {
          cancel();
          resolve();
        },
      });
    });
  }

  #endOfTurn(): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      this.#later(() => {
        this.#turn = undefined;
        resolve();
      });
    });
    return this.#turn;
  }

  /** Reads the state of a group. Where the engine is out of reach it is read again later, for as long as anybody is in it. */
  #read(group: Group): void {
    const read = ++group.reads;
    group.list.stateRequested();
    const isLast = () => group.reads === read && this.#byTopic.get(group.topic) === group;
    const loaded = then(this.#groups.state(groupOf(group.topic)), (state) => {
      if (!isLast()) return;
      const { pushes, isWhole } = group.list.load(state);
      for (const push of pushes) this.#announce(group, push);
      if (isWhole) this.#wake(group);
      else this.#read(group);
    });
    if (!(loaded instanceof Promise)) return;
    loaded.catch(() => {
      if (!isLast()) return;
      group.list.stateFailed();
      this.#after(CHANGE_TIMEOUT_MS, () => {
        if (isLast()) this.#read(group);
      });
    });
  }

  /** Everybody else who is in the topic on this node learns of it. */
  #announce(group: Group, push: MemberPush): void {
    for (const { missed } of group.pending) missed.push(push);
    this.#fanOut(push);
  }

  #wake(group: Group): void {
    const { version } = group.list;
    if (group.waiting.length === 0) return;
    const ready = group.waiting.filter((one) => one.version <= version);
    group.waiting = group.waiting.filter((one) => one.version > version);
    for (const { resolve } of ready) resolve();
  }

  #leaveAll(connection: Connection): void {
    const memberships = this.#memberships.get(connection);
    if (memberships === undefined) return;
    for (const membership of [...memberships.values()]) this.#drop(connection, membership);
  }

  #drop(connection: Connection, membership: Membership): void {
    const { topic, user } = membership;
    const memberships = this.#memberships.get(connection);
    if (memberships?.get(topic) !== membership) return;
    memberships.delete(topic);
    if (memberships.size === 0) this.#memberships.delete(connection);
    const group = this.#byTopic.get(topic);
    const here = group?.users.get(user);
    if (group === undefined || here === undefined) return;
    group.pending.delete(membership);
    here.connections--;
    if (here.connections > 0) return;
    group.users.delete(user);
    this.#groups.leave(groupOf(topic), user);
    this.#attendance?.memberChanged(topic, user, "went");
    if (group.users.size > 0) return;
    this.#byTopic.delete(topic);
    for (const { resolve } of group.waiting) resolve();
  }
}

function tooManyMembers(max: number): Refusal {
  return new Refusal(
    "too_many_members",
    `The topic has ${max} members, which is the most allowed (BATON_MEMBERS_MAX). Try again when some of them have left.`,
  );
}

function groupOf(topic: string): string {
  return `${LISTED}${topic}`;
}
