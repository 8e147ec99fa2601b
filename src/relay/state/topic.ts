// A topic that somebody on this node is subscribed to, or on the way into.
import type { Protocol } from "../contracts/protocol";
import type { Position, Publication } from "../contracts/publication";
import type { TopicRule } from "../contracts/topic-rules";
import { Tail } from "./tail";

/** The subscribers of a topic that speak one protocol: they all get the same bytes. */
export interface Audience {
  readonly protocol: Protocol;
  readonly native: string;
  size: number;
}

export class Topic {
  readonly name: string;
  readonly rule: TopicRule;
  readonly audiences: Audience[] = [];
  /** The newest position that was delivered here. */
  epoch: string | undefined;
  offset = 0;
  /** Those who are on their way in, and therefore need the tail. */
  followers = 0;
  /** What was delivered while there were followers. */
  readonly tail = new Tail();

  constructor(name: string, rule: TopicRule) {
    this.name = name;
    this.rule = rule;
  }

  /** Whether somebody wants to know who comes and goes. */
  get isWatched(): boolean {
    return this.rule.presence || this.rule.joinLeave;
  }

  /** To be called before a publication is sent to subscribers. */
  advance({ epoch, offset }: Publication): void {
    if (offset === undefined) return;
    this.epoch = epoch;
    this.offset = offset;
  }

  forgetPosition(): void {
    this.epoch = undefined;
    this.offset = 0;
  }

  /** Where its subscribers are; undefined when nothing with a position was delivered yet. */
  get position(): Position | undefined {
    return this.epoch === undefined ? undefined : { epoch: this.epoch, offset: this.offset };
  }

  audience(protocol: Protocol): Audience {
    for (const audience of this.audiences) if (audience.protocol === protocol) return audience;
    const audience = { protocol, native: `${protocol.name}:${this.name}`, size: 0 };
    this.audiences.push(audience);
    return audience;
  }
}
