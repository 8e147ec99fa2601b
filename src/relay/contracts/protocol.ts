// What the relay asks of a protocol: pure functions between frames and commands.
// test/contract/protocol.test.ts says the same in tests, for every protocol.
import type {
  MemberPush,
  PingCommand,
  Push,
  Reply,
  SessionCommand,
  SubscribeResult,
  TopicsCommand,
} from "./commands";
import type { CloseName, Refusal } from "./errors";
import type { Position, Publication } from "./publication";
import type { Frame, TransportName } from "./transport";

/** What makes the frame of a publication. */
export interface PublicationEncoder {
  encodePublication(publication: Publication): Frame;
}

interface CommonProtocol extends PublicationEncoder {
  /** Short and without a colon: native topics of this protocol begin with it. */
  readonly name: string;
  readonly transport: TransportName;
  /** The close code and reason for each way in which the relay ends a connection. */
  readonly closes: Readonly<Record<CloseName, { readonly code: number; readonly reason: string }>>;
  /** The frame that every subscriber gets: it is made once for each publication, not for each connection. */
  encodePublication(publication: Publication): Frame;
}

/** Clients are registered beforehand and choose all their topics with one command. Their frames are text. */
interface TopicsProtocol extends CommonProtocol {
  readonly kind: "topics";
  /** One inbound frame. Never throws. Cost: the length of the frame. */
  decode(frame: string | Uint8Array): TopicsCommand | PingCommand | Refusal;
  /** The answer to a ping; only protocols with such a command have it. */
  readonly pong?: string;
  encodePublication(publication: Publication): string;
  encodeError(refusal: Refusal): string;
}

/** Clients know no positions: after a lost connection they get only what is published from then on. */
export interface LiveProtocol extends TopicsProtocol {
  readonly canResume: false;
}

/** Clients know their positions: they may reconnect with the same registration and get what they missed. */
export interface ResumableProtocol extends TopicsProtocol {
  readonly canResume: true;
  /** The same protocol for clients that take no larger frames, by size from the smallest on. */
  readonly sizes?: readonly SizedProtocol[];
  /** The largest frame that its clients take, in bytes; without a limit there is none. */
  readonly maxBytes?: number;
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

/** A publication whose frame is larger than `maxBytes` comes without its data, so that its position moves on. */
export type SizedProtocol = ResumableProtocol & { readonly maxBytes: number };

/**
 * How much of `SizedProtocol.maxBytes` a transport may use for what it adds to a frame: a stream adds the positions of its
 * other topics.
 */
export const SIZED_POSITIONS_BYTES_MAX = 1_000;

/** The most comments that a stream of such a client has before the end of a block: Go's libraries count them as part of it. */
export const SIZED_COMMENTS_MAX = 16;

/** How publications are encoded for subscriptions with deltas: `encodePublication` has the whole payload. */
export interface DeltaProtocol extends PublicationEncoder {
  /** The patch that makes the payload of the one that the client was sent before in the topic; see relay/text/fossil.ts. */
  encodePatch(publication: Publication, patch: string): Frame;
}

/** Clients say who they are with a command, and get a reply to each command. Positions stand in their commands. */
export interface SessionProtocol extends CommonProtocol {
  readonly kind: "session";
  readonly canResume: true;
  /** The frame that asks whether the peer is alive; its answer is a `pong` command. Undefined where the transport asks. */
  readonly ping: Frame | undefined;
  /** The answer to a `ping` command, where clients have one. */
  readonly pong?: Frame;
  /** One inbound frame. Never throws. Cost: the length of the frame. */
  decode(frame: string | Uint8Array): readonly SessionCommand[];
  /** Empty where the protocol has no such reply. */
  encodeReply(reply: Reply): Frame;
  /** Empty where the protocol has no such push. */
  encodePush(push: Push): Frame;
  /** Only protocols that have it are told of members. */
  encodeMember?(push: MemberPush): Frame;
  /** How many subscribers a topic has; only protocols that have it are told. */
  encodeCount?(topic: string, count: number): Frame;
  /** The reply to an `identify` command; `text` is what was signed. */
  encodeIdentified?(text: string): Frame;
  /** What follows the reply to a subscription that wants the newest publication; undefined: there is none. */
  encodeNewest?(topic: string, newest: Publication | undefined): Frame;
  /**
   * After how many milliseconds its clients come back from a close, where all of them do so alike and, when nobody listens then, stay away
   * for long.
   */
  readonly returnsAfterMs?: number;
  /** The close code that tells its clients what this one of the backend tells those of other protocols. */
  disconnectCode?(code: number): number;
  readonly deltas?: DeltaProtocol;
  /** The frame that says why a connection ends; undefined where the transport's own close says it. */
  encodeDisconnect(code: number, reason: string): Frame | undefined;
}

export type Protocol = LiveProtocol | ResumableProtocol | SessionProtocol;
