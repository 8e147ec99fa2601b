// Streams with the same topics share the bytes of what they are sent together, and the positions in it.
import { beforeEach, describe, expect, test } from "bun:test";
import { type GroupMember, StreamGroup } from "../../../../src/edge/transports/stream-group";
import type { Frame } from "../../../../src/relay/contracts/transport";

/** A stream that keeps what it is sent. */
class Member implements GroupMember {
  readonly sent: Uint8Array[] = [];
  isLikeOthers = true;
  ids = "";
  group: StreamGroup;

  constructor(group: StreamGroup) {
    this.group = group;
    group.streams.add(this);
  }

  get texts(): string[] {
    return this.sent.map((bytes) => new TextDecoder().decode(bytes));
  }

  setPosition(_name: string, position: string): void {
    this.ids = position;
  }

  takePosition(): string {
    const taken = this.ids;
    this.ids = "";
    return taken;
  }

  own(frame: Frame): Frame {
    return frame;
  }

  taken(): void {}

  deliver(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }
}

let group: StreamGroup;
let members: Member[];
beforeEach(() => {
  group = new StreamGroup();
  members = [0, 1, 2].map(() => new Member(group));
});

function addTopics(to: StreamGroup, ...topics: string[]): void {
  for (const topic of topics)
    to.addTopic(`sse:${topic}`, to.streams.values().next().value as Member);
}

const event = (topic: string, offset: number, epoch = "e") =>
  `event: ${topic}\ndata: ${offset}\nid: ${topic}=${epoch}:${offset}\n\n`;

describe("a group of streams", () => {
  test("writes the same bytes to all of them, once", () => {
    addTopics(group, "a");
    for (let i = 1; i <= 3; i++) group.push(event("a", i), undefined);
    group.flush();
    group.flush();
    for (const { sent, texts } of members) {
      expect(texts).toEqual([event("a", 1) + event("a", 2) + event("a", 3)]);
      expect(sent[0]).toBe(members[0]?.sent[0] as Uint8Array);
    }
  });

  test("writes others what one is not to get, and the rest from shared bytes", () => {
    addTopics(group, "a");
    group.push(event("a", 1), undefined);
    group.push(event("a", 2), members[1]);
    group.pushTo(members[2] as Member, event("a", 3));
    group.push(event("a", 4), undefined);
    group.flush();
    const all = (...offsets: number[]) => [offsets.map((offset) => event("a", offset)).join("")];
    expect(members.map(({ texts }) => texts)).toEqual([all(1, 2, 4), all(1, 4), all(1, 2, 3, 4)]);
  });

  test("writes nothing to those that nothing is for", () => {
    group.pushTo(members[1] as Member, "hello\n");
    group.flush();
    expect(members.map(({ texts }) => texts)).toEqual([[], ["hello\n"], []]);
  });

  test("writes bytes as they are, between texts", () => {
    addTopics(group, "a");
    group.push(new Uint8Array([200, 0]), undefined);
    group.push("ü", undefined);
    group.flush();
    for (const { sent } of members) expect([...(sent[0] ?? [])]).toEqual([200, 0, 0xc3, 0xbc]);
  });

  test("adds to an event of a stream that is catching up where it was in the other topic just then", () => {
    addTopics(group, "a");
    const [behind] = members as [Member];
    behind.ids = "b=e:1";
    behind.isLikeOthers = false;
    group.push(event("a", 1), undefined);
    group.pushTo(behind, event("b", 2));
    group.push(event("a", 2), undefined);
    group.flush();
    const ids = behind.texts.join("").match(/^id: .*$/gm);
    expect(ids).toEqual(["id: a=e:1&b=e:1", "id: a=e:1&b=e:2", "id: a=e:2&b=e:2"]);
    expect(members[1]?.texts).toEqual([event("a", 1) + event("a", 2)]);
  });

  test("takes over the streams of another one at the furthest positions of the two", () => {
    const other = new StreamGroup();
    const joining = new Member(other);
    addTopics(group, "a", "b");
    addTopics(other, "a", "b");
    for (const frame of [event("a", 5), event("b", 1)]) group.push(frame, undefined);
    for (const frame of [event("a", 3), event("b", 2)]) other.push(frame, undefined);
    group.flush();
    other.flush();
    expect(group.adopt(other)).toBe(true);
    expect(joining.group).toBe(group);
    const positionsAt = (frame: string) => {
      group.push(frame, undefined);
      group.flush();
      return joining.texts.at(-1)?.split("\n").at(-3);
    };
    expect(positionsAt(event("a", 6))).toBe("id: a=e:6&b=e:2");
    expect(positionsAt(event("b", 3))).toBe("id: a=e:6&b=e:3");
    expect(joining.sent.at(-1)).toBe(members[0]?.sent.at(-1) as Uint8Array);
  });

  test("does not fall back behind where one of its streams was", () => {
    const other = new StreamGroup();
    new Member(other);
    addTopics(group, "a", "b");
    addTopics(other, "a", "b");
    for (const frame of [event("a", 5), event("b", 1)]) group.push(frame, undefined);
    for (const frame of [event("a", 3), event("b", 1)]) other.push(frame, undefined);
    group.flush();
    other.flush();
    group.adopt(other);
    group.push(event("b", 2), undefined);
    group.flush();
    expect(members[0]?.texts.at(-1)).toEndWith("\nid: a=e:5&b=e:2\n\n");
  });

  test("takes over no streams whose position is of another epoch: both must find out what they have lost", () => {
    const other = new StreamGroup();
    const joining = new Member(other);
    addTopics(group, "a");
    addTopics(other, "a");
    group.push(event("a", 5), undefined);
    other.push(event("a", 1, "f"), undefined);
    group.flush();
    other.flush();
    expect(group.adopt(other)).toBe(false);
    expect(joining.group).toBe(other);
  });

  test("counts about what waits for all", () => {
    addTopics(group, "a", "b");
    group.push(event("a", 1), undefined);
    group.flush();
    expect(group.sharedBytes).toBe(0);
    group.push(event("b", 1), undefined);
    expect(group.sharedBytes).toBeGreaterThanOrEqual(event("b", 1).length);
    group.pushTo(members[0] as Member, "to one");
    group.flush();
    expect(group.sharedBytes).toBe(0);
  });
});
