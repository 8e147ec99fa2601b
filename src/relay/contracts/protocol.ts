// What the relay asks of a protocol: pure functions between frames and commands.
// test/contract/protocol.test.ts is the same in tests, for every protocol.
import type { Push, Reply, SessionCommand, SubscribeResult, TopicsCommand } from "./commands";
import type { CloseName, Refusal } from "./errors";
import type { Position, Publication } from "./publication";

/** What a protocol has whose clients say who they are by a command, and get a reply to each. */
export interface SessionFormat {
  /** The frame that asks for a sign of life; its answer is a `pong` command. */
  readonly ping: string;
  encodeReply(reply: Reply): string;
  encodePush(push: Push): string;
  /** The frame that says why a connection ends, where the carrier has no other way to; else "". */
  encodeDisconnect(code: number, reason: string): string;
}

export interface Protocol {
  /** Short and without a colon: it begins the native topics of this protocol. */
  readonly name: string;
  /** Streams only go out: Server-Sent Events, or a response that goes on. */
  readonly transport: "socket" | "stream";
  /** Close codes and reasons of its own, in place of the table's. */
  readonly closes?: Readonly<Record<CloseName, { code: number; reason: string }>>;
  readonly session?: SessionFormat;
  /** One inbound frame as commands. Never throws; cost: the frame's length. */
  decode(frame: string | Uint8Array): TopicsCommand | Refusal | readonly SessionCommand[];
  /** The frame that every subscriber gets: made once for each publication, not for each connection. */
  encodePublication(publication: Publication): string;
  /** The reply to a topics command. Not there: clients of this protocol know no positions and cannot resume. */
  readonly encodeSubscribed?: (entered: readonly SubscribeResult[]) => string;
  /** The positions that a client gives in text when it opens a stream; what is none is passed over or refused as lost. */
  readonly decodeSince?: (
    text: string,
    topics: ReadonlySet<string>,
  ) => ReadonlyMap<string, Position>;
  encodeError(refusal: Refusal): string;
}
