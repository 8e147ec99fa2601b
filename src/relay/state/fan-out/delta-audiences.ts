// The subscribers of one topic that take patches: each patch is made once, against what was fanned out before it, and is
// one frame for all of them. A subscriber is "patched" as long as it has received what was fanned out last; any other gets
// the next publication whole first. Nothing here runs for each subscriber, but once for each that begins.
import type { Push } from "../../contracts/commands";
import type { DeltaProtocol, SessionProtocol } from "../../contracts/protocol";
import type { Publication } from "../../contracts/publication";
import type { ProtocolTally, Tally } from "../../contracts/tally";
import type { Socket, Transport, Transports } from "../../contracts/transport";
import { fossilPatch } from "../../text/fossil";
import { payloadOf } from "../../text/payload";

/** Longer payloads are sent whole: making a patch of 256 KiB takes some milliseconds, in which nobody else is served. */
const PAYLOAD_BYTES_MAX = 262_144;

/** What a patch must save at least: in JSON, its mark and the line feed in it take 15 characters. */
const SAVED_CHARACTERS_MIN = 16;

/** What the payloads that patches are made against may take in all topics together; beyond it they are not kept. */
const BASES_BYTES_MAX = 67_108_864;

/** How much the bases of all topics take. */
export interface DeltaBases {
  bytes: number;
}

/** A connection whose protocol has deltas. */
export interface DeltaSubscriber {
  readonly protocol: SessionProtocol & { readonly deltas: DeltaProtocol };
  readonly socket: Socket | undefined;
}

interface NativeTopic {
  readonly name: string;
  size: number;
}

/** The subscribers that speak one protocol. */
interface Audience {
  readonly protocol: DeltaSubscriber["protocol"];
  readonly tally: ProtocolTally;
  readonly transport: Transport;
  readonly whole: NativeTopic;
  readonly patched: NativeTopic;
}

/** What all topics of a node share. */
interface DeltaParts {
  readonly transports: Transports;
  readonly bases: DeltaBases;
  readonly tally: Tally;
}

export class DeltaAudiences {
  readonly #topic: string;
  readonly #parts: DeltaParts;
  readonly #audiences: Audience[] = [];
  /** Where each subscriber is. */
  readonly #subscribers = new Map<DeltaSubscriber, "whole" | "patched">();
  /** Those that get the next publication whole. */
  readonly #newcomers = new Set<DeltaSubscriber>();
  /** The payload that was fanned out last, in UTF-8; undefined when it is not kept. */
  #base: Uint8Array | undefined;

  constructor(topic: string, parts: DeltaParts) {
    this.#topic = topic;
    this.#parts = parts;
  }

  get size(): number {
    return this.#subscribers.size;
  }

  has(subscriber: object): subscriber is DeltaSubscriber {
    return this.#subscribers.has(subscriber as DeltaSubscriber);
  }

  add(subscriber: DeltaSubscriber): void {
    this.#join(subscriber, "whole");
  }

  /** The subscriber has left, or ended. */
  delete(subscriber: DeltaSubscriber): void {
    this.#leave(subscriber, this.#audience(subscriber.protocol));
    this.#subscribers.delete(subscriber);
    if (this.size === 0) this.#setBase(undefined);
  }

  /** The subscriber has missed what others got, or got what others did not: no patch fits what it has. */
  begin(subscriber: DeltaSubscriber): void {
    if (this.#subscribers.get(subscriber) !== "patched") return;
    this.#move(subscriber, "whole");
  }

  fanOut(publication: Publication, except?: object): void {
    const payload = payloadOf(publication);
    const bytes = shortBytesOf(payload);
    const patch = this.#patchTo(bytes, payload.length);
    for (const { protocol, tally, transport, whole, patched } of this.#audiences) {
      if (whole.size + patched.size === 0) continue;
      const isExcepted = except !== undefined && this.has(except) && except.protocol === protocol;
      const socket = isExcepted ? (except as DeltaSubscriber).socket : undefined;
      const frame =
        whole.size > 0 || patch === undefined
          ? protocol.deltas.encodePublication(publication)
          : undefined;
      const exceptedAt = isExcepted ? this.#subscribers.get(except as DeltaSubscriber) : undefined;
      if (whole.size > 0 && frame !== undefined) {
        transport.fanOut(whole.name, frame, socket);
        tally.delivered(exceptedAt === "whole" ? whole.size - 1 : whole.size, frame);
      }
      if (patched.size === 0) continue;
      const smaller = patch === undefined ? frame : protocol.deltas.encodePatch(publication, patch);
      if (smaller === undefined) continue;
      transport.fanOut(patched.name, smaller, socket);
      tally.delivered(exceptedAt === "patched" ? patched.size - 1 : patched.size, smaller);
    }
    if (except !== undefined && this.has(except)) this.begin(except);
    for (const subscriber of this.#newcomers) {
      if (subscriber !== except) this.#move(subscriber, "patched");
    }
    if (this.size > 0) this.#setBase(bytes);
  }

  fanOutPush(push: Push): void {
    for (const { protocol, transport, whole, patched } of this.#audiences) {
      if (whole.size + patched.size === 0) continue;
      const frame = protocol.encodePush(push);
      if (whole.size > 0) transport.fanOut(whole.name, frame);
      if (patched.size > 0) transport.fanOut(patched.name, frame);
    }
  }

  /** The patch that patched subscribers get; undefined when they get the whole payload too. */
  #patchTo(bytes: Uint8Array | undefined, payloadLength: number): string | undefined {
    if (this.#base === undefined || bytes === undefined) return undefined;
    if (this.#audiences.every(({ patched }) => patched.size === 0)) return undefined;
    const patch = fossilPatch(this.#base, bytes);
    return patch.length + SAVED_CHARACTERS_MIN < payloadLength ? patch : undefined;
  }

  #setBase(bytes: Uint8Array | undefined): void {
    const { bases } = this.#parts;
    bases.bytes -= this.#base?.byteLength ?? 0;
    const fits = bases.bytes + (bytes?.byteLength ?? 0) <= BASES_BYTES_MAX;
    this.#base = fits ? bytes : undefined;
    bases.bytes += this.#base?.byteLength ?? 0;
  }

  #move(subscriber: DeltaSubscriber, to: "whole" | "patched"): void {
    const audience = this.#audience(subscriber.protocol);
    const before = this.#subscribers.get(subscriber);
    // The new native topic first: a socket without any might lose what is queued for it.
    this.#join(subscriber, to);
    if (before !== undefined) leaveNative(subscriber, audience[before]);
  }

  #join(subscriber: DeltaSubscriber, to: "whole" | "patched"): void {
    const native = this.#audience(subscriber.protocol)[to];
    native.size++;
    subscriber.socket?.subscribe(native.name);
    this.#subscribers.set(subscriber, to);
    if (to === "whole") this.#newcomers.add(subscriber);
    else this.#newcomers.delete(subscriber);
  }

  #leave(subscriber: DeltaSubscriber, audience: Audience): void {
    const at = this.#subscribers.get(subscriber);
    if (at !== undefined) leaveNative(subscriber, audience[at]);
    this.#newcomers.delete(subscriber);
  }

  #audience(protocol: Audience["protocol"]): Audience {
    for (const audience of this.#audiences) if (audience.protocol === protocol) return audience;
    const { transports, tally } = this.#parts;
    const named = (what: string) => ({ name: `${protocol.name}-${what}:${this.#topic}`, size: 0 });
    const audience = {
      protocol,
      tally: tally.of(protocol),
      transport: transports[protocol.transport],
      whole: named("whole"),
      patched: named("patched"),
    };
    this.#audiences.push(audience);
    return audience;
  }
}

/** The payload in UTF-8; undefined when it is too long for patches. */
function shortBytesOf(payload: string): Uint8Array | undefined {
  if (payload.length > PAYLOAD_BYTES_MAX) return undefined;
  const bytes = new TextEncoder().encode(payload);
  return bytes.length <= PAYLOAD_BYTES_MAX ? bytes : undefined;
}

function leaveNative({ socket }: DeltaSubscriber, native: NativeTopic): void {
  native.size--;
  socket?.unsubscribe(native.name);
}
