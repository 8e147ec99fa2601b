// Groups over Redis. What the members of this node do goes there in order, one call at a time; what the members of all nodes do
// comes back over the channel of all nodes. A place is this node for as long as it is connected: after a lost connection it has
// another one, says there again what it has, and clears the old one, so that members who stayed were never away.
import type {
  EngineEvents,
  Entered,
  GroupMember,
  GroupState,
  Groups,
} from "../../../relay/contracts/engine";
import type { EngineOptions } from "../../options";
import { Rounds } from "../../rounds";
import type { ServerClock } from "../server/clock";
import type { Keys } from "../server/keys";
import type { RedisLink } from "../server/link";
import { GroupCalls, type GroupStep, type StepOutcome } from "./group-scripts";

/** How many steps one call takes. */
const STEPS_MAX = 250;

/** In how many calls of `renew` every member is said again, for a server that has lost it unnoticed. */
const RENEW_ALL_CALLS = 60;

/**
 * After a lost connection, how long this node gives the others to say again what they have. A server that has lost its data
 * would else make all members leave and come back.
 */
const SETTLE_MS = 2_000;

interface RedisGroupsOptions extends Pick<EngineOptions, "node" | "now"> {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock: ServerClock;
  readonly events: Pick<EngineEvents, "groupChanged" | "groupsUnsure">;
}

/** A step that was not answered yet. */
interface PendingStep extends GroupStep {
  readonly resolve: (outcome: StepOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** A change of a listed group, as the script writes it: an empty info is none, and without one the member went. */
type Change = [group: string, version: string, name: string, info: string | false];

export class RedisGroups implements Groups {
  readonly #options: RedisGroupsOptions;
  readonly #calls: GroupCalls;
  /** What this node has, by group and member. */
  readonly #members = new Map<string, Map<string, GroupMember>>();
  /** The newest version of each of these groups that the node was told of, by a state or a change. */
  readonly #versions = new Map<string, number>();
  /** Members that the server has not let in yet, with the most that their group may have. */
  readonly #entering = new Map<GroupMember, number>();
  /** Groups that had a newer version at the last call of `renew`. What does not come until the next one was missed. */
  #behind = new Map<string, number>();
  #queue: PendingStep[] = [];
  #isCalling = false;
  #places = 0;
  readonly #renewing = new Rounds(() => this.#all());
  #size = 0;
  /** A step has failed though the server can be reached: what it knows of this node may be wrong. */
  #isUnsure = false;
  /** Until then changes are not handed on. */
  #settledAt: number | undefined;

  constructor(options: RedisGroupsOptions) {
    this.#options = options;
    this.#calls = new GroupCalls(options);
  }

  async enter(group: string, member: GroupMember, membersMax: number): Promise<Entered | "full"> {
    const members = this.#members.getOrInsertComputed(group, () => new Map());
    if (!members.has(member.name)) this.#size++;
    members.set(member.name, member);
    this.#entering.set(member, membersMax);
    let isIn = false;
    try {
      const { outcome, version } = await this.#step(group, member, "enter", membersMax);
      isIn = outcome !== "full";
      return isIn ? { version } : "full";
    } finally {
      this.#entering.delete(member);
      if (!isIn && members.get(member.name) === member) this.#forget(group, member.name);
    }
  }

  leave(group: string, name: string): void {
    this.#forget(group, name);
    // What fails is left behind with the place.
    this.#step(group, { name }, "leave", 0).catch(() => {});
  }

  async state(group: string): Promise<GroupState> {
    const { version, members } = await this.#calls.state(group);
    this.#toldOf(group, version);
    return { version, members: members.map(([name, info]) => ({ name, info: info || undefined })) };
  }

  size(group: string): Promise<number> {
    return this.#calls.size(group);
  }

  /** The server can be reached, for the first time or again. */
  reconnected(): void {
    if (this.#places === 0) this.#places = 1;
    else this.#move();
  }

  /** To be called about once a second while the server can be reached. Cost: a part of what this node has. */
  renew(): void {
    const { events, now } = this.#options;
    if (this.#settledAt !== undefined && this.#settledAt <= now()) {
      this.#settledAt = undefined;
      events.groupsUnsure();
    }
    if (this.#isUnsure) this.#move();
    this.#findMissed();
    for (const one of this.#renewing.next(Math.ceil(this.#size / RENEW_ALL_CALLS))) {
      this.#repeat(...one);
    }
    const place = this.#place;
    this.#calls.renew(place).then(
      ({ isKnown, expired }) => {
        for (const other of expired) void this.#clear(other);
        if (!isKnown && this.#size > 0 && !this.#isCalling && place === this.#place) this.#move();
      },
      () => {},
    );
  }

  /** A change of a group, or of one that does not concern this node. */
  receive(text: string): void {
    if (this.#settledAt !== undefined) return;
    const [group, versionText, name, info] = JSON.parse(text) as Change;
    if (!this.#members.has(group)) return;
    const version = Number(versionText);
    this.#toldOf(group, version);
    this.#options.events.groupChanged({
      group,
      version,
      name,
      info: info || undefined,
      change: info === false ? "went" : "came",
    });
  }

  /** Resolves when this node has left all groups, or the server cannot be reached. */
  async close(): Promise<void> {
    this.#members.clear();
    this.#size = 0;
    await this.#clear(this.#place);
  }

  get #place(): string {
    return `${this.#options.node}.${this.#places}`;
  }

  *#all(): Generator<readonly [string, GroupMember]> {
    for (const [group, members] of this.#members) {
      for (const member of members.values()) yield [group, member];
    }
  }

  /** Everything that this node has is now in another place, and nothing in the one before. */
  #move(): void {
    const before = this.#place;
    this.#places++;
    this.#isUnsure = false;
    // A server that has lost its data may begin with smaller ones, where its clock is behind that of the one before.
    this.#versions.clear();
    this.#settledAt = this.#options.now() + SETTLE_MS;
    const repeated: Promise<unknown>[] = [];
    for (const [group, member] of this.#all()) repeated.push(this.#repeat(group, member));
    void Promise.all(repeated).then((all) => {
      // Otherwise it expires, or is cleared after the next move.
      if (all.every((succeeded) => succeeded === true)) void this.#clear(before);
    });
  }

  /** Says again what this node has. What was not let in yet may still find its group full; what was, may not. */
  #repeat(group: string, member: GroupMember): Promise<boolean> {
    return this.#step(group, member, "enter", this.#entering.get(member) ?? 0).then(
      ({ outcome, version }) => {
        if (outcome !== "full") this.#behind.set(group, version);
        return true;
      },
      () => false,
    );
  }

  #toldOf(group: string, version: number): void {
    if (version > (this.#versions.get(group) ?? 0) && this.#members.has(group)) {
      this.#versions.set(group, version);
    }
  }

  /** A change that was lost on its way is found within a minute, if none came after it. */
  #findMissed(): void {
    const behind = this.#behind;
    this.#behind = new Map();
    for (const [group, version] of behind) {
      const told = this.#versions.get(group);
      if (told === undefined || told >= version) continue;
      this.#versions.set(group, version);
      this.#options.events.groupsUnsure();
      return;
    }
  }

  async #clear(place: string): Promise<void> {
    try {
      while ((await this.#calls.clear(place)) > 0);
    } catch {
      // Some node finds that it has expired.
    }
  }

  #forget(group: string, name: string): void {
    const members = this.#members.get(group);
    if (members?.delete(name) !== true) return;
    this.#size--;
    if (members.size > 0) return;
    this.#members.delete(group);
    this.#versions.delete(group);
  }

  #step(
    group: string,
    { name, info }: GroupMember,
    does: GroupStep["does"],
    membersMax: number,
  ): Promise<StepOutcome> {
    const { link } = this.#options;
    if (!link.isUp) return Promise.reject(link.unavailable);
    return new Promise((resolve, reject) => {
      this.#queue.push({ group, name, does, info, membersMax, resolve, reject });
      if (this.#isCalling) return;
      this.#isCalling = true;
      queueMicrotask(() => void this.#call());
    });
  }

  /** Carries out what waits. What comes meanwhile goes into the next call. */
  async #call(): Promise<void> {
    while (this.#queue.length > 0) {
      const steps = this.#queue.slice(0, STEPS_MAX);
      this.#queue = this.#queue.slice(STEPS_MAX);
      try {
        const outcomes = await this.#calls.change(this.#place, steps);
        for (const [i, { resolve }] of steps.entries()) resolve(outcomes[i] as StepOutcome);
      } catch (error) {
        this.#isUnsure = true;
        for (const { reject } of [...steps, ...this.#queue.splice(0)]) reject(error);
      }
    }
    this.#isCalling = false;
  }
}
