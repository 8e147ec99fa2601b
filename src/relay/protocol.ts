// What the relay asks of a protocol: pure functions between frames and commands.
// test/contract/protocol.ts is the same in tests, for every protocol.
import type { Refusal } from "./errors";
import type { Publication } from "./publication";

/** What a client may ask of its connection. */
export interface Command {
  readonly kind: "topics";
  /** Replaces the connection's topics; names are not checked yet and may stand twice. */
  readonly topics: readonly string[];
}

export interface Protocol {
  /** Short and without a colon: it begins the native topics of this protocol. */
  readonly name: string;
  /** One inbound frame as a command. Never throws; cost: the frame's length. */
  decode(frame: string | Uint8Array): Command | Refusal;
  /** The frame that every subscriber gets: made once for each publication, not for each connection. */
  encodePublication(publication: Publication): string;
  encodeError(refusal: Refusal): string;
}
