// Who is in which group, in this process's memory, on behalf of all its nodes. A group without members leaves nothing behind.
import {
  type Entered,
  type GroupChange,
  type GroupEvents,
  type GroupMember,
  type GroupState,
  type Groups,
  LISTED,
} from "../../relay/contracts/engine";

interface PresentMember extends GroupMember {
  /** The nodes that have it. */
  readonly nodes: Set<string>;
}

interface Group {
  readonly name: string;
  readonly members: Map<string, PresentMember>;
  /** How many of the members each node has. */
  readonly nodes: Map<string, number>;
  version: number;
}

export class MemoryGroups {
  readonly #groups = new Map<string, Group>();
  readonly #events = new Map<string, GroupEvents>();
  /** The greatest version of any group so far. A group begins with it, so that none has the same version in two lives. */
  #lastVersion = 0;

  /** The groups as one node sees them. */
  of(node: string, events: GroupEvents): Groups {
    this.#events.set(node, events);
    return {
      enter: (group, member, membersMax) => this.#enter(node, group, member, membersMax),
      leave: (group, name) => this.#leave(node, group, name),
      state: (group) => this.#state(group),
      size: (group) => this.#groups.get(group)?.members.size ?? 0,
    };
  }

  /** A node has died, so that its members have left. Cost: all members. */
  releaseAll(node: string): void {
    this.#events.delete(node);
    for (const group of [...this.#groups.values()]) {
      if (!group.nodes.has(node)) continue;
      for (const name of [...group.members.keys()]) this.#leave(node, group.name, name);
    }
  }

  #enter(node: string, name: string, member: GroupMember, membersMax: number): Entered | "full" {
    const group = this.#groups.get(name) ?? {
      name,
      members: new Map(),
      nodes: new Map(),
      version: this.#lastVersion,
    };
    const present = group.members.get(member.name);
    if (present !== undefined) {
      if (!present.nodes.has(node)) addTo(group, present, node);
      return { version: group.version };
    }
    if (membersMax > 0 && group.members.size >= membersMax) return "full";
    this.#groups.set(name, group);
    const added = { name: member.name, info: member.info, nodes: new Set<string>() };
    group.members.set(member.name, added);
    addTo(group, added, node);
    this.#changed(group, member, "came");
    return { version: group.version };
  }

  #leave(node: string, name: string, memberName: string): void {
    const group = this.#groups.get(name);
    const member = group?.members.get(memberName);
    if (group === undefined || member?.nodes.delete(node) !== true) return;
    const left = (group.nodes.get(node) ?? 1) - 1;
    if (left === 0) group.nodes.delete(node);
    else group.nodes.set(node, left);
    if (member.nodes.size > 0) return;
    group.members.delete(memberName);
    if (group.members.size === 0) this.#groups.delete(name);
    this.#changed(group, { name: memberName }, "went");
  }

  #changed(group: Group, { name, info }: GroupMember, change: GroupChange["change"]): void {
    const version = ++group.version;
    this.#lastVersion = Math.max(this.#lastVersion, version);
    if (!group.name.startsWith(LISTED)) return;
    for (const node of group.nodes.keys()) {
      this.#events.get(node)?.groupChanged({ group: group.name, version, name, info, change });
    }
  }

  #state(name: string): GroupState {
    const group = this.#groups.get(name);
    if (group === undefined) return { version: this.#lastVersion, members: [] };
    const members = Array.from(group.members.values(), ({ name, info }) => ({ name, info }));
    return { version: group.version, members };
  }
}

/** A node that did not have the member has it now. */
function addTo(group: Group, member: PresentMember, node: string): void {
  member.nodes.add(node);
  group.nodes.set(node, (group.nodes.get(node) ?? 0) + 1);
}
