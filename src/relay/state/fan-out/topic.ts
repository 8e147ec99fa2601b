// A topic that connections of this node are subscribed or subscribing to, and its fan-out: nothing here may run
// JavaScript for each subscriber.
import type { MemberPush, Push, SubscriptionForm } from "../../contracts/commands";
import type { Protocol, PublicationEncoder } from "../../contracts/protocol";
import type { Position, Publication } from "../../contracts/publication";
import type { ProtocolTally, Tally } from "../../contracts/tally";
import type { TopicRule } from "../../contracts/topic-rules";
import type { Socket, Transport, Transports } from "../../contracts/transport";
import { DeltaAudiences, type DeltaBases, type DeltaSubscriber } from "./delta-audiences";
import type { HeldFrames } from "./held-frames";

/** The subscribers of a topic that speak one protocol: all of them get the same bytes. */
interface Audience {
  readonly protocol: Protocol;
  readonly tally: ProtocolTally;
  readonly transport: Transport;
  readonly nativeTopic: string;
  size: number;
}

/** In characters. Beyond it the tail is dropped, and those who need it read history instead. */
const TAIL_SIZE_MAX = 1_048_576;

/** About what a publication costs besides its text, in characters. */
const TAIL_OVERHEAD = 100;

/**
 * What was delivered to a topic since a connection began to subscribe to it, for those that are still subscribing.
 * Bounded in size.
 */
class Tail {
  publications: Publication[] = [];
  #size = 0;
  /** How often it was lost: an index into it that was noted before means nothing then. */
  losses = 0;

  fits({ data }: Publication): boolean {
    return this.#size + data.length + TAIL_OVERHEAD <= TAIL_SIZE_MAX;
  }

  push(publication: Publication): void {
    this.publications.push(publication);
    this.#size += publication.data.length + TAIL_OVERHEAD;
  }

  /** To be called when nobody needs it any more. */
  clear(): void {
    if (this.#size === 0) return;
    this.publications = [];
    this.#size = 0;
  }

  lose(): void {
    this.clear();
    this.losses++;
  }
}

/** What fan-out needs to know of a connection. */
interface Subscriber {
  readonly protocol: Protocol;
  readonly socket: Socket | undefined;
}

/** What all topics of a node share. */
interface TopicParts {
  readonly transports: Transports;
  readonly bases: DeltaBases;
  readonly held: HeldFrames;
  readonly tally: Tally;
}

export class Topic {
  readonly name: string;
  rule: TopicRule;
  readonly #parts: TopicParts;
  readonly #audiences: Audience[] = [];
  /** Undefined while no subscriber takes patches. */
  #deltas: DeltaAudiences | undefined;
  /** The newest position that was delivered here, live or to somebody who subscribed. */
  #epoch: string | undefined;
  #offset = 0;
  /** Whether all subscribers here have been told how many there are, where that is told. */
  isCounted = false;
  /** Connections that are subscribing to it, and therefore need the tail. */
  followers = 0;
  /** What was delivered while there were followers. */
  readonly tail = new Tail();

  constructor(name: string, rule: TopicRule, parts: TopicParts) {
    this.name = name;
    this.rule = rule;
    this.#parts = parts;
  }

  /** Whether it matters who comes and goes. */
  get hasPresence(): boolean {
    return this.rule.presence || this.rule.joinLeave;
  }

  get isUnused(): boolean {
    return this.followers === 0 && this.subscribers === 0;
  }

  /** Cost: the protocols in use. */
  get subscribers(): number {
    return this.#audiences.reduce((sum, { size }) => sum + size, this.#deltas?.size ?? 0);
  }

  /** To be called for each publication before it is sent to subscribers. */
  advance({ epoch, offset }: Publication): void {
    if (offset === undefined) return;
    this.#epoch = epoch;
    this.#offset = offset;
  }

  /** To be called when somebody who subscribes has everything up to here: where nothing was delivered yet, that is where all are. */
  reached({ epoch, offset }: Position): void {
    if (this.#epoch !== undefined) return;
    this.#epoch = epoch;
    this.#offset = offset;
  }

  forgetPosition(): void {
    this.#epoch = undefined;
    this.#offset = 0;
  }

  /** Where its subscribers are; undefined when that is not known, because nothing with a position was delivered. */
  get position(): Position | undefined {
    return this.#epoch === undefined ? undefined : { epoch: this.#epoch, offset: this.#offset };
  }

  /** Subscribes an open connection natively; it must not be subscribed yet. */
  subscribe(subscriber: Subscriber, form: SubscriptionForm): void {
    this.isCounted = false;
    if (form === "deltas" && takesDeltas(subscriber)) {
      this.#deltas ??= new DeltaAudiences(this.name, this.#parts);
      this.#deltas.add(subscriber);
      return;
    }
    const audience = this.#audience(subscriber.protocol);
    audience.size++;
    subscriber.socket?.subscribe(audience.nativeTopic);
  }

  /** A connection is subscribed no longer. If it goes on living, its socket leaves native fan-out. */
  unsubscribe(subscriber: Subscriber): void {
    if (this.#deltas?.has(subscriber) === true) {
      this.#deltas.delete(subscriber);
      if (this.#deltas.size === 0) this.#deltas = undefined;
      return;
    }
    const audience = this.#audience(subscriber.protocol);
    audience.size--;
    subscriber.socket?.unsubscribe(audience.nativeTopic);
  }

  /** What encodes a publication that is sent to this subscriber alone. */
  encoderFor(subscriber: Subscriber): PublicationEncoder {
    return this.#deltas?.has(subscriber) === true
      ? subscriber.protocol.deltas
      : subscriber.protocol;
  }

  /** A subscriber was sent a publication that others were not. */
  sentAlone(subscriber: Subscriber): void {
    if (this.#deltas?.has(subscriber) === true) this.#deltas.begin(subscriber);
  }

  /**
   * Native fan-out of a publication to all subscribers, with one encoding for each protocol. Answers to how many it
   * was sent. `except` is a subscriber that does not get it. Cost: the protocols in use, and what the transports do.
   */
  fanOut(publication: Publication, except?: Subscriber): number {
    let delivered = 0;
    for (const audience of this.#audiences) {
      const { size, protocol, tally, transport, nativeTopic } = audience;
      if (size === 0) continue;
      const frame = protocol.encodePublication(publication);
      const socket = except?.protocol === protocol ? except.socket : undefined;
      if (socket === undefined) this.#parts.held.fanOut(audience, frame);
      else transport.fanOut(nativeTopic, frame, socket);
      delivered += size;
      tally.delivered(socket === undefined ? size : size - 1, frame);
    }
    if (this.#deltas !== undefined) {
      delivered += this.#deltas.size;
      this.#deltas.fanOut(publication, except);
    }
    return except === undefined ? delivered : delivered - 1;
  }

  /** Native fan-out of a push to all subscribers that have sessions. */
  fanOutPush(push: Push): void {
    for (const { size, protocol, transport, nativeTopic } of this.#audiences) {
      if (size === 0 || protocol.kind !== "session") continue;
      const frame = protocol.encodePush(push);
      if (frame.length > 0) transport.fanOut(nativeTopic, frame);
    }
    this.#deltas?.fanOutPush(push);
  }

  /** Native fan-out to all subscribers whose protocol knows members. */
  fanOutMember(push: MemberPush): void {
    for (const { size, protocol, transport, nativeTopic } of this.#audiences) {
      if (size === 0 || protocol.kind !== "session") continue;
      const frame = protocol.encodeMember?.(push);
      if (frame !== undefined) transport.fanOut(nativeTopic, frame);
    }
  }

  /** Native fan-out of how many subscribers the topic has, to all whose protocol is told. */
  fanOutCount(count: number): void {
    this.isCounted = true;
    for (const { size, protocol, transport, nativeTopic } of this.#audiences) {
      if (size === 0 || protocol.kind !== "session") continue;
      const frame = protocol.encodeCount?.(this.name, count);
      if (frame !== undefined) transport.fanOut(nativeTopic, frame);
    }
  }

  #audience(protocol: Protocol): Audience {
    for (const audience of this.#audiences) if (audience.protocol === protocol) return audience;
    const { transports, tally } = this.#parts;
    const audience = {
      protocol,
      tally: tally.of(protocol),
      transport: transports[protocol.transport],
      nativeTopic: `${protocol.name}:${this.name}`,
      size: 0,
    };
    this.#audiences.push(audience);
    return audience;
  }
}

function takesDeltas(subscriber: Subscriber): subscriber is DeltaSubscriber {
  return subscriber.protocol.kind === "session" && subscriber.protocol.deltas !== undefined;
}
