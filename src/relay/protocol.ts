// What the relay asks of a protocol: pure functions between frames and commands.
// test/contract/protocol.test.ts is the same in tests, for every protocol.
import type { Refusal } from "./errors";
import type { Position, Publication } from "./publication";

/** What a client may ask of its connection. */
export interface Command {
  readonly kind: "topics";
  /** Replaces the connection's topics; names are not checked yet and may stand twice. */
  readonly topics: readonly string[];
  /** Up to where the client has the publications of a topic; it wants those after it. */
  readonly since: ReadonlyMap<string, Position>;
}

/** What became of one topic of a command. */
export interface Entered {
  readonly topic: string;
  /** The newest position; undefined where the topic keeps no history. */
  readonly top: Position | undefined;
  /** Where the client is when it reads the reply: all that comes after this position follows it. */
  readonly at: Position | undefined;
  /** Set when the client gave a position: whether it gets all that it missed, or else nothing of it. */
  readonly recovered?: boolean;
}

export interface Protocol {
  /** Short and without a colon: it begins the native topics of this protocol. */
  readonly name: string;
  /** Streams only go out: Server-Sent Events. */
  readonly carrier: "socket" | "stream";
  /** One inbound frame as a command. Never throws; cost: the frame's length. */
  decode(frame: string | Uint8Array): Command | Refusal;
  /** The frame that every subscriber gets: made once for each publication, not for each connection. */
  encodePublication(publication: Publication): string;
  /** The reply to a topics command. Not there: clients of this protocol know no positions and cannot resume. */
  readonly encodeEntered?: (entered: readonly Entered[]) => string;
  /** The positions that a client gives in text when it opens a stream; what is none is passed over or refused as lost. */
  readonly decodeSince?: (
    text: string,
    topics: ReadonlySet<string>,
  ) => ReadonlyMap<string, Position>;
  encodeError(refusal: Refusal): string;
}
