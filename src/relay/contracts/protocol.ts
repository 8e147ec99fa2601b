// What the relay asks of a protocol: pure functions between frames and commands.
// test/contract/protocol.test.ts says the same in tests, for every protocol.
import type { Push, Reply, SessionCommand, SubscribeResult, TopicsCommand } from "./commands";
import type { CloseName, Refusal } from "./errors";
import type { Position, Publication } from "./publication";
import type { TransportName } from "./transport";

interface CommonProtocol {
  /** Short and without a colon: native topics of this protocol begin with it. */
  readonly name: string;
  readonly transport: TransportName;
  /** The close code and reason for each way in which the relay ends a connection. */
  readonly closes: Readonly<Record<CloseName, { readonly code: number; readonly reason: string }>>;
  /** The frame that every subscriber gets: it is made once for each publication, not for each connection. */
  encodePublication(publication: Publication): string;
}

/** Clients are registered beforehand and choose all their topics with one command. */
interface TopicsProtocol extends CommonProtocol {
  readonly kind: "topics";
  /** One inbound frame. Never throws. Cost: the length of the frame. */
  decode(frame: string | Uint8Array): TopicsCommand | Refusal;
  encodeError(refusal: Refusal): string;
}

/** Clients know no positions: after a lost connection they get only what is published from then on. */
export interface LiveProtocol extends TopicsProtocol {
  readonly canResume: false;
}

/** Clients know their positions: they may reconnect with the same registration and get what they missed. */
export interface ResumableProtocol extends TopicsProtocol {
  readonly canResume: true;
  /** The reply to a topics command. */
  encodeSubscribed(results: readonly SubscribeResult[]): string;
  /**
   * The positions that a client gives as text when it opens a stream. What cannot be read is ignored or, if nothing
   * can be, becomes positions that count as lost. Only protocols of streams have it.
   */
  readonly decodeSince?: (
    text: string,
    topics: ReadonlySet<string>,
  ) => ReadonlyMap<string, Position>;
}

/** Clients say who they are with a command, and get a reply to each command. Positions stand in their commands. */
export interface SessionProtocol extends CommonProtocol {
  readonly kind: "session";
  readonly canResume: true;
  /** The frame that asks whether the peer is alive; its answer is a `pong` command. */
  readonly ping: string;
  /** One inbound frame. Never throws. Cost: the length of the frame. */
  decode(frame: string | Uint8Array): readonly SessionCommand[];
  encodeReply(reply: Reply): string;
  encodePush(push: Push): string;
  /** The frame that says why a connection ends; "" where the transport's own close says it. */
  encodeDisconnect(code: number, reason: string): string;
}

export type Protocol = LiveProtocol | ResumableProtocol | SessionProtocol;
