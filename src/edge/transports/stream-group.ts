// The streams that have the same topics. What is sent in one turn of the event loop is collected, and then written with one
// write for each stream: all streams of the group share its bytes, except those that were sent something of their own.
//
// Events of streams with several topics carry the positions of all of them. A stream that is subscribed to a topic has been
// sent all that was delivered in it to this node and was for it, so its position there is the group's. Only topics that it
// is still catching up with have a position of its own.
import type { Frame } from "../../relay/contracts/transport";

/** A stream as its group knows it. */
export interface GroupMember {
  group: StreamGroup;
  /** The positions of topics that it is still catching up with, in the form that an event id has; "" for none. */
  readonly ids: string;
  /** Whether it may be sent the same bytes as others with its topics. */
  readonly isLikeOthers: boolean;
  /** Notes where it is in a topic that it is not subscribed to yet. */
  setPosition(name: string, position: string): void;
  /** Where it was in a topic that it is subscribed to from now on; "" when it has no position there. */
  takePosition(name: string): string;
  /** What waits for this stream alone is about to be written. */
  taken(): void;
  /** The frame as this stream sends it; to be called for each in their order. */
  own(frame: Frame): Frame;
  /** Writes what its group has collected. */
  deliver(bytes: Uint8Array): void;
}

/** Something to send: to all streams of the group but `except`, or `to` one. */
interface Item {
  readonly frame: Frame;
  readonly to?: GroupMember;
  readonly except?: GroupMember | undefined;
}

/** What one stream is sent before the shared frame number `at`; without a frame, that one is not for this stream. */
interface Difference {
  readonly at: number;
  readonly frame: Frame | undefined;
  /** The stream's own positions from here on. */
  readonly ids: string;
}

/** How a stream's part of what is written differs from what all others get. */
interface Differences {
  /** Its own positions at the beginning. */
  readonly ids: string;
  readonly list: Difference[];
}

const encoder = new TextEncoder();

const ID = "id: ";

export class StreamGroup {
  readonly streams = new Set<GroupMember>();
  readonly nativeTopics: Set<string>;
  /** The position of each topic, by the name that it has in an event id; "" for one without a position. */
  readonly #positions: Map<string, string>;
  #items: Item[] = [];
  /** About how many bytes of `#items` all streams get. */
  sharedBytes = 0;
  /** The length of the positions in the last event. */
  #idsLength = 0;
  #isFlushing = false;
  /** The name of its topics, under which streams find it; undefined while the topics of its only stream may still change. */
  key: string | undefined;

  constructor(nativeTopics?: Iterable<string>, positions?: Iterable<readonly [string, string]>) {
    this.nativeTopics = new Set(nativeTopics);
    this.#positions = new Map(positions);
  }

  /** A group with the same topics and positions, and without streams. */
  copy(): StreamGroup {
    return new StreamGroup(this.nativeTopics, this.#positions);
  }

  /** Adds a topic to the group of a single stream. */
  addTopic(nativeTopic: string, stream: GroupMember): void {
    this.nativeTopics.add(nativeTopic);
    const name = idNameOf(nativeTopic);
    this.#positions.set(name, stream.takePosition(name));
  }

  removeTopic(nativeTopic: string): void {
    this.nativeTopics.delete(nativeTopic);
    this.#positions.delete(idNameOf(nativeTopic));
  }

  /** Sends a frame to all its streams, except to one. */
  push(frame: Frame, except: GroupMember | undefined): void {
    this.#items.push({ frame, except });
    this.sharedBytes += frame.length + this.#idsLength;
  }

  /** Sends a frame to one of its streams. */
  pushTo(stream: GroupMember, frame: Frame): void {
    this.#items.push({ frame, to: stream });
  }

  /**
   * Takes over the streams of a group that has the same topics; false when the positions of the two do not mean the same.
   * Nothing may wait in either. Where one is further in a topic, nothing up to there was for the streams of the other.
   */
  adopt(other: StreamGroup): boolean {
    for (const [name, position] of other.#positions) {
      if (epochOf(this.#positions.get(name) ?? "") !== epochOf(position)) return false;
    }
    for (const [name, position] of other.#positions) {
      const own = this.#positions.get(name) ?? "";
      if (offsetOf(position) > offsetOf(own)) this.#positions.set(name, position);
    }
    for (const stream of other.streams) {
      stream.group = this;
      this.streams.add(stream);
    }
    return true;
  }

  /** Writes what was collected. Cost: the streams, and what each is sent that the others are not. */
  flush(): void {
    // What is sent because a stream was ended in the middle of this comes with the next flush: others are not written to yet.
    if (this.#isFlushing || this.#items.length === 0) return;
    this.#isFlushing = true;
    try {
      this.#write(this.#takeItems());
    } finally {
      this.#isFlushing = false;
    }
  }

  #takeItems(): readonly Item[] {
    const items = this.#items;
    this.#items = [];
    this.sharedBytes = 0;
    return items;
  }

  #write(items: readonly Item[]): void {
    const shared: Frame[] = [];
    const differing = new Map<GroupMember, Differences>();
    for (const { frame, to, except } of items) {
      const stream = to ?? except;
      const differences = stream && differencesOf(differing, stream);
      const placed = typeof frame === "string" ? this.#place(frame, to) : frame;
      if (to === undefined) shared.push(placed);
      differences?.list.push({
        at: to === undefined ? shared.length - 1 : shared.length,
        frame: to === undefined ? undefined : placed,
        ids: stream?.ids ?? "",
      });
    }
    if (shared.length > 0) this.#writeToAll(shared, differing);
    else for (const [stream, own] of differing) stream.deliver(bytesOf(ownFrames(stream, [], own)));
  }

  #writeToAll(shared: readonly Frame[], differing: ReadonlyMap<GroupMember, Differences>): void {
    let bytes: Uint8Array | undefined;
    for (const stream of this.streams) {
      const own = differing.size === 0 ? undefined : differing.get(stream);
      if (own === undefined && stream.isLikeOthers) {
        bytes ??= bytesOf(shared);
        stream.deliver(bytes);
      } else stream.deliver(bytesOf(ownFrames(stream, shared, own)));
    }
  }

  /** The frame with an id that has the positions of all topics at this frame, so that a client can resume after it. */
  #place(frame: string, to: GroupMember | undefined): string {
    const at = idAt(frame);
    if (at < 0) return frame;
    for (const position of frame.slice(at, -2).split("&")) {
      const name = position.slice(0, position.indexOf("="));
      if (to === undefined || this.#positions.has(name)) this.#positions.set(name, position);
      else to.setPosition(name, position);
    }
    const ids = this.#ids();
    this.#idsLength = ids.length;
    return withIds(`${frame.slice(0, at)}${ids}\n\n`, to?.ids ?? "");
  }

  #ids(): string {
    let ids = "";
    for (const position of this.#positions.values()) {
      if (position !== "") ids += ids === "" ? position : `&${position}`;
    }
    return ids;
  }
}

function differencesOf(all: Map<GroupMember, Differences>, stream: GroupMember): Differences {
  let differences = all.get(stream);
  if (differences === undefined) {
    differences = { ids: stream.ids, list: [] };
    all.set(stream, differences);
    stream.taken();
  }
  return differences;
}

/** The frames of a stream that does not get the same as others, in the order in which they were sent. */
function ownFrames(
  stream: GroupMember,
  shared: readonly Frame[],
  { ids, list }: Differences = { ids: stream.ids, list: [] },
): Frame[] {
  const frames: Frame[] = [];
  let ownIds = ids;
  let next = 0;
  for (let i = 0; i <= shared.length; i++) {
    let isLeftOut = false;
    for (; list[next]?.at === i; next++) {
      const difference = list[next] as Difference;
      if (difference.frame === undefined) isLeftOut = true;
      else frames.push(stream.own(difference.frame));
      ownIds = difference.ids;
    }
    const frame = shared[i];
    if (frame === undefined || isLeftOut) continue;
    frames.push(stream.own(typeof frame === "string" ? withIds(frame, ownIds) : frame));
  }
  return frames;
}

/** The frame with more positions in its id. */
function withIds(frame: string, ids: string): string {
  const at = ids === "" ? -1 : idAt(frame);
  if (at < 0) return frame;
  return `${frame.slice(0, -2)}${at === frame.length - 2 ? "" : "&"}${ids}\n\n`;
}

/** Where the id of a block begins, which is its last line; negative when it has none. No other line begins like that. */
function idAt(frame: string): number {
  if (frame.startsWith(ID)) return ID.length;
  const at = frame.lastIndexOf(`\n${ID}`);
  return at < 0 ? at : at + 1 + ID.length;
}

function bytesOf(frames: readonly Frame[]): Uint8Array {
  if (frames.every((frame) => typeof frame === "string")) return encoder.encode(frames.join(""));
  return Buffer.concat(
    frames.map((frame) => (typeof frame === "string" ? encoder.encode(frame) : frame)),
  );
}

/** The name that a topic has in an event id. A native topic is `protocol:topic`. */
function idNameOf(nativeTopic: string): string {
  return encodeURIComponent(nativeTopic.slice(nativeTopic.indexOf(":") + 1));
}

/** The epoch in `name=epoch:offset`. */
function epochOf(position: string): string {
  return position.slice(position.indexOf("=") + 1, position.indexOf(":"));
}

function offsetOf(position: string): number {
  return Number(position.slice(position.indexOf(":") + 1));
}
