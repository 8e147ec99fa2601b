// What the relay asks of a protocol: pure functions between frames and commands, and codes for each reason to close a connection.
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
import type { Refusal } from "./errors";
import type { Position, Publication } from "./publication";
import type { Frame, TransportName } from "./transport";

/**
 * Why the relay closes a connection: close code and reason (at most 123 bytes), whether the client should come back,
 * and whether all clients or only sessions are closed so. A protocol of sessions sends codes of its own instead.
 * 1001 and 1011 are of RFC 6455 section 7.4.1; 4000 to 4999 are the application's own.
 */
export const CLOSES = {
  shutdown: {
    code: 1001,
    reason: "shutting down",
    reconnect: true,
    clients: "all",
    means: "The relay is shutting down; reconnect to another node, or to its successor.",
  },
  internal: {
    code: 1011,
    reason: "internal error",
    reconnect: true,
    clients: "all",
    means: "The relay had a fault while it handled this connection; its log has the details.",
  },
  replaced: {
    code: 4001,
    reason: "replaced by a newer connection",
    reconnect: false,
    clients: "all",
    means: "Another connection was opened with the same id.",
  },
  expired: {
    code: 4005,
    reason: "token expired",
    reconnect: true,
    clients: "all",
    means: "The token has expired, or the time for which the backend has let the client in.",
  },
  subscription_expired: {
    code: 4006,
    reason: "subscription expired",
    reconnect: true,
    clients: "sessions",
    means: "The new token for a topic has expired already; the client needs another one.",
  },
  slow_consumer: {
    code: 4008,
    reason: "slow consumer",
    reconnect: true,
    clients: "all",
    means: "The client read too slowly: more than BATON_BACKPRESSURE_BYTES were waiting for it.",
  },
  position_lost: {
    code: 4010,
    reason: "position lost",
    reconnect: true,
    clients: "all",
    means:
      "The relay no longer knows what this client has missed. When it reconnects, it recovers that, or learns that it is lost.",
  },
  not_connected: {
    code: 4011,
    reason: "not connected yet",
    reconnect: true,
    clients: "sessions",
    means:
      "Another command came before the connect command, as SDKs in a hurry send it when they reconnect.",
  },
  no_pong: {
    code: 4012,
    reason: "no pong",
    reconnect: true,
    clients: "all",
    means: "The client did not answer a ping within BATON_PONG_MS.",
  },
  too_many_frames: {
    code: 4013,
    reason: "too many frames",
    reconnect: true,
    clients: "all",
    means:
      "The client sent more than BATON_CONNECTION_FRAMES_MAX in a second; it should send less.",
  },
  too_many_bytes: {
    code: 4014,
    reason: "too many bytes",
    reconnect: true,
    clients: "all",
    means: "The client sent more than BATON_CONNECTION_BYTES_MAX in a second; it should send less.",
  },
  invalid_token: {
    code: 4500,
    reason: "invalid token",
    reconnect: false,
    clients: "sessions",
    means:
      "A token is malformed, is not signed with a key of this relay, or is for another client.",
  },
  violation: {
    code: 4501,
    reason: "bad request",
    reconnect: false,
    clients: "sessions",
    means: "The client broke the protocol.",
  },
  stale: {
    code: 4502,
    reason: "did not connect in time",
    reconnect: false,
    clients: "sessions",
    means: "The client opened a socket or stream and did not connect within 10 seconds.",
  },
  deleted: {
    code: 4503,
    reason: "registration deleted",
    reconnect: false,
    clients: "all",
    means: "The registration was deleted, or the backend disconnected the client.",
  },
  too_many_connections: {
    code: 4504,
    reason: "too many connections",
    reconnect: false,
    clients: "sessions",
    means: "The user has BATON_USER_CONNECTIONS_MAX connections.",
  },
  too_many_topics: {
    code: 4505,
    reason: "too many topics",
    reconnect: false,
    clients: "sessions",
    means: "The connection would start with more topics than BATON_CONNECTION_TOPICS_MAX.",
  },
  not_available: {
    code: 4508,
    reason: "not available",
    reconnect: false,
    clients: "sessions",
    means: "The client used a feature that the relay does not offer.",
  },
} as const;

export type CloseName = keyof typeof CLOSES;

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
  /** Several frames in one, in their order, where clients read such a frame. Cost: their length. */
  readonly join?: (frames: readonly Frame[]) => Frame;
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

/** Clients say who they are with a command, and get a reply to each command. Positions, where they know any, stand in their commands. */
export interface SessionProtocol extends CommonProtocol {
  readonly kind: "session";
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
  /** How many subscribers a topic has; only protocols that have it are told, and not of topics where it is undefined. */
  encodeCount?(topic: string, count: number): Frame | undefined;
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
