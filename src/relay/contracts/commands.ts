// What clients may ask of their connection, and what they are answered: the words between protocols and the relay.
import type { HistoryPage } from "./engine";
import type { Refusal } from "./errors";
import type { ClientInfo, Position, Publication } from "./publication";

/** Replaces the connection's topics; names are not checked yet and may stand twice. */
export interface TopicsCommand {
  readonly kind: "topics";
  readonly topics: readonly string[];
  /** Up to where the client has the publications of a topic; it wants those after it. */
  readonly since: ReadonlyMap<string, Position>;
}

/** Where a client of a session wants to go on in a topic. */
export interface Resumption {
  /** Undefined: it wants to be told where the topic is, and no more. */
  readonly since: Position | undefined;
  /** It would rather have no subscription than one with a gap. */
  readonly orNothing: boolean;
}

/** Commands of a session: a client that says who it is, and gets a reply to each command under the id it gave. */
export type SessionCommand =
  | {
      readonly kind: "connect";
      readonly id: number;
      readonly token: string;
      /** Topics that it had from the relay itself, and where it wants to go on in them. */
      readonly topics: ReadonlyMap<string, Resumption>;
    }
  | {
      readonly kind: "subscribe";
      readonly id: number;
      readonly topic: string;
      readonly token: string;
      readonly resumption: Resumption;
      /** It wants to hear of others who join and leave. */
      readonly joinLeave: boolean;
    }
  | { readonly kind: "unsubscribe"; readonly id: number; readonly topic: string }
  | {
      readonly kind: "publish";
      readonly id: number;
      readonly topic: string;
      /** JSON text; undefined when there is none. */
      readonly data: string | undefined;
    }
  | { readonly kind: "presence"; readonly id: number; readonly topic: string }
  | { readonly kind: "presenceCounts"; readonly id: number; readonly topic: string }
  | {
      readonly kind: "history";
      readonly id: number;
      readonly topic: string;
      /** -1: all there is. */
      readonly limit: number;
      readonly since: Position | undefined;
      readonly reverse: boolean;
    }
  | { readonly kind: "refresh"; readonly id: number; readonly token: string }
  | {
      readonly kind: "refreshTopic";
      readonly id: number;
      /** Empty: the one that the token names. */
      readonly topic: string;
      readonly token: string;
    }
  | { readonly kind: "call"; readonly id: number }
  | { readonly kind: "send" }
  | { readonly kind: "pong" }
  /** What the protocol itself refuses. */
  | { readonly kind: "refused"; readonly id: number; readonly refusal: Refusal }
  /** What no client may send: it ends the connection. */
  | { readonly kind: "violation" };

/** The session command of one kind. */
export type CommandOf<Kind extends SessionCommand["kind"]> = Extract<
  SessionCommand,
  { kind: Kind }
>;

/** What became of one topic of a command. */
export interface SubscribeResult {
  readonly topic: string;
  /** The newest position; undefined where the topic keeps no history. */
  readonly top: Position | undefined;
  /** Where the client is when it reads the reply: all that comes after this position follows it. */
  readonly at: Position | undefined;
  /** Set when the client gave a position: whether it gets all that it missed, or else nothing of it. */
  readonly recovered?: boolean;
  /** What it missed, where the reply carries that: as much as there is room for, the rest follows the reply. */
  readonly missed?: readonly Publication[];
}

/** Seconds until what a token allows ends; undefined: it does not. */
type Ttl = number | undefined;

/** A topic of a session, as its reply says it. */
export interface Subscribed extends SubscribeResult {
  readonly ttl: Ttl;
  /** JSON text for the subscriber, from its token. */
  readonly data?: string | undefined;
}

export type Reply =
  | {
      readonly kind: "connected";
      readonly id: number;
      readonly client: string;
      readonly version: string;
      readonly ttl: Ttl;
      readonly topics: readonly Subscribed[];
      readonly pingMs: number;
      /** For commands that come by another way than the connection's own. */
      readonly session?: string | undefined;
      readonly node?: string | undefined;
    }
  | { readonly kind: "subscribed"; readonly id: number; readonly subscribed: Subscribed }
  | { readonly kind: "done"; readonly id: number; readonly of: "unsubscribe" | "publish" }
  | { readonly kind: "presence"; readonly id: number; readonly clients: readonly ClientInfo[] }
  | {
      readonly kind: "presenceCounts";
      readonly id: number;
      readonly clients: number;
      readonly users: number;
    }
  | { readonly kind: "history"; readonly id: number; readonly page: HistoryPage }
  | { readonly kind: "refreshed"; readonly id: number; readonly ttl: Ttl; readonly client: string }
  | { readonly kind: "refreshedTopic"; readonly id: number; readonly ttl: Ttl }
  | { readonly kind: "refused"; readonly id: number; readonly refusal: Refusal };

/** What a session is told without having asked. */
export type Push =
  | { readonly kind: "join" | "leave"; readonly topic: string; readonly info: ClientInfo }
  | { readonly kind: "subscribed"; readonly subscribed: Subscribed }
  | {
      readonly kind: "unsubscribed";
      readonly topic: string;
      readonly code: number;
      readonly reason: string;
    };
