// The members of one topic as this node knows them. It does no I/O. Changes are applied in the order of their versions, each
// once, whatever is repeated or missing, so that whoever has an older list and all changes since has this one.
import type { MemberPush, MemberView } from "../contracts/commands";
import type { GroupChange, GroupState } from "../contracts/engine";

/** What becomes of a change: "gap" means that others are missing before it. */
type Applied = "applied" | "known" | "waiting" | "gap";

export class MemberList implements MemberView {
  readonly #topic: string;
  readonly #members = new Map<string, string | undefined>();
  #version = -1;
  /** What came while a state is being read; undefined otherwise. */
  #buffered: GroupChange[] | undefined;
  /** Made of the members as they are now. */
  readonly #texts = new Map<(members: MemberView["members"]) => string, string>();
  /** The newest change; made when it is applied. */
  change: MemberPush | undefined;

  constructor(topic: string) {
    this.#topic = topic;
  }

  get members(): MemberView["members"] {
    return this.#members;
  }

  /** All changes up to this one are in the list; -1 until a state was loaded. */
  get version(): number {
    return this.#version;
  }

  encoded(encode: (members: MemberView["members"]) => string): string {
    return this.#texts.getOrInsertComputed(encode, () => encode(this.#members));
  }

  /** A state is now read: what comes until it is loaded is kept. */
  stateRequested(): void {
    this.#buffered = [];
  }

  /** The state cannot be had now; what came meanwhile will be in the next. */
  stateFailed(): void {
    this.#buffered = undefined;
  }

  /** Takes the state that was read, and what came since. Answers how the list has changed, and whether it is complete. */
  load(state: GroupState): { readonly pushes: readonly MemberPush[]; readonly isWhole: boolean } {
    const pushes: MemberPush[] = [];
    let isWhole = true;
    const present = new Map(state.members.map(({ name, info }) => [name, info]));
    for (const name of [...this.#members.keys()]) {
      if (!present.has(name)) pushes.push(this.#change("went", name));
    }
    for (const [name, info] of present) {
      if (!this.#members.has(name)) pushes.push(this.#change("came", name, info));
    }
    this.#version = state.version;
    const buffered = this.#buffered ?? [];
    this.#buffered = undefined;
    for (const change of buffered) {
      // After a gap there is another state to read, which has all of these.
      const applied = this.apply(change);
      isWhole = applied !== "gap";
      if (!isWhole) break;
      if (applied === "applied" && this.change !== undefined) pushes.push(this.change);
    }
    return { pushes, isWhole };
  }

  /** Takes the next change. */
  apply(change: GroupChange): Applied {
    if (this.#buffered !== undefined) {
      this.#buffered.push(change);
      return "waiting";
    }
    if (change.version <= this.#version) return "known";
    if (this.#version < 0 || change.version !== this.#version + 1) return "gap";
    this.#version = change.version;
    this.change = this.#change(change.change, change.name, change.info);
    return "applied";
  }

  #change(how: GroupChange["change"], user: string, info?: string): MemberPush {
    this.#texts.clear();
    const topic = this.#topic;
    if (how === "went") {
      this.#members.delete(user);
      return { kind: "memberRemoved", topic, member: { user } };
    }
    this.#members.set(user, info);
    return { kind: "memberAdded", topic, member: { user, info } };
  }
}
