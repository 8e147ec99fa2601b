// The commands of clients, the replies to them and the pushes: what protocols decode for the relay and encode for it.
import type { HistoryPage } from "./engine";
import type { Refusal } from "./errors";
import type { ClientInfo, Position, Publication } from "./publication";

/** Replaces the topics of the connection. The names are not checked yet and may occur twice. */
export interface TopicsCommand {
  readonly kind: "topics";
  readonly topics: readonly string[];
  /** The positions up to which the client has the publications of its topics. */
  readonly since: ReadonlyMap<string, Position>;
}

/** Asks whether the relay is still there. Its answer is the protocol's `pong`. */
export interface PingCommand {
  readonly kind: "ping";
}

/** Where the client of a session wants to resume in a topic. */
export interface Resumption {
  /** Undefined: it only wants to know the topic's top. */
  readonly since: Position | undefined;
  /** The client prefers no subscription to one with a gap. */
  readonly orNothing: boolean;
}

/** How a subscription gets its publications: each whole, or as patches where that is smaller. */
export type SubscriptionForm = "plain" | "deltas";

/** What a client shows in place of a token: a signature of its backend, and the text that the backend has signed with it. */
export interface Proof {
  readonly signature: string;
  /** Undefined where nothing was signed but what the relay knows. */
  readonly text: string | undefined;
}

/** What a client says of itself when it connects. */
export interface Introduction {
  readonly name?: string | undefined;
  readonly version?: string | undefined;
  /** JSON text. */
  readonly data?: string | undefined;
  /** What its program gives in place of headers, which pages cannot set. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** The commands of a session: its client says who it is, and gets a reply to each command with the id that it gave. */
export type SessionCommand =
  | {
      readonly kind: "connect";
      readonly id: number;
      readonly token: string;
      /** Topics that the relay itself had subscribed it to, and where it wants to resume in them. */
      readonly topics: ReadonlyMap<string, Resumption>;
      /** What the backend is told of it, where the backend is asked. */
      readonly introduction?: Introduction;
    }
  | {
      readonly kind: "subscribe";
      readonly id: number;
      readonly topic: string;
      readonly token: string;
      readonly resumption: Resumption;
      /** Whether the client takes patches. */
      readonly form: SubscriptionForm;
      /** What it shows in place of a token, where an authority decides. */
      readonly proof?: Proof;
      /** Whether it wants the newest publication of a backend behind the reply, so that it has something to begin with. */
      readonly wantsNewest?: boolean;
      /** JSON text for the backend, where it is asked. */
      readonly data?: string | undefined;
    }
  | { readonly kind: "unsubscribe"; readonly id: number; readonly topic: string }
  | {
      readonly kind: "publish";
      readonly id: number;
      readonly topic: string;
      /** JSON text; undefined when there is none. */
      readonly data: string | undefined;
      readonly event?: string;
      /** Whether the client itself gets it too; by default it does. */
      readonly isEchoed?: boolean;
    }
  /** The client says who it is, after it has connected without that. */
  | { readonly kind: "identify"; readonly id: number; readonly proof: Proof }
  /** The client asks whether the relay is alive. */
  | { readonly kind: "ping" }
  | { readonly kind: "presence"; readonly id: number; readonly topic: string }
  | { readonly kind: "presenceCounts"; readonly id: number; readonly topic: string }
  | {
      readonly kind: "history";
      readonly id: number;
      readonly topic: string;
      /** Negative: as many as there are. */
      readonly limit: number;
      readonly since: Position | undefined;
      readonly reverse: boolean;
    }
  | { readonly kind: "refresh"; readonly id: number; readonly token: string }
  | {
      readonly kind: "refreshTopic";
      readonly id: number;
      /** "": the topic that the token names. */
      readonly topic: string;
      readonly token: string;
    }
  | {
      readonly kind: "call";
      readonly id: number;
      readonly method: string;
      /** JSON text. */
      readonly data?: string | undefined;
    }
  | { readonly kind: "send" }
  | { readonly kind: "pong" }
  /** A command that the protocol itself refuses. */
  | {
      readonly kind: "refused";
      readonly id: number;
      readonly refusal: Refusal;
      readonly of?: AnsweredKind;
      readonly topic?: string;
    }
  /** Something that no client may send; it ends the connection. */
  | { readonly kind: "violation" };

/** The session command of one kind. */
export type CommandOf<Kind extends SessionCommand["kind"]> = Extract<
  SessionCommand,
  { kind: Kind }
>;

/** The kinds of commands that a reply may be to. */
type AnsweredKind = Extract<SessionCommand, { readonly id: number }>["kind"];

/** What became of one topic of a command: where its subscription starts. */
export interface SubscribeResult {
  readonly topic: string;
  /** Undefined where the topic keeps no history. */
  readonly top: Position | undefined;
  /** The client is sent everything after this position. */
  readonly at: Position | undefined;
  /** When the client gave a position: whether it is sent everything that it missed, or nothing of it. */
  readonly recovered?: boolean;
  /** What it missed, in protocols whose replies carry it, as far as there is room; the rest follows the reply. */
  readonly missed?: readonly Publication[];
}

/** One of those who are in a topic, as its other members see it. */
export interface Member {
  /** Not empty. */
  readonly user: string;
  /** JSON text. */
  readonly info?: string | undefined;
}

/** The members of a topic over all nodes, by user; each with its JSON text. */
export interface MemberView {
  readonly members: ReadonlyMap<string, string | undefined>;
  /** What `encode` makes of them, which is done once until they change: all who subscribe in one turn share it. */
  encoded(encode: (members: ReadonlyMap<string, string | undefined>) => string): string;
}

/** Seconds until a token expires; undefined means that it never does. */
type Ttl = number | undefined;

/** A subscription of a session, as its client is told. */
export interface Subscribed extends SubscribeResult {
  readonly ttl: Ttl;
  readonly form?: SubscriptionForm;
  /** JSON text for the subscriber, from its token. */
  readonly data?: string | undefined;
  /** Where the client is a member of the topic: who else is, and itself. */
  readonly members?: MemberView | undefined;
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
      /** JSON text of the backend. */
      readonly data?: string | undefined;
      /** Identifies the session in commands that come as requests of their own. */
      readonly session?: string | undefined;
      readonly node?: string | undefined;
    }
  | { readonly kind: "subscribed"; readonly id: number; readonly subscribed: Subscribed }
  | { readonly kind: "done"; readonly id: number; readonly of: "unsubscribe" | "publish" }
  | { readonly kind: "called"; readonly id: number; readonly data: string | undefined }
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
  | {
      readonly kind: "refused";
      readonly id: number;
      readonly refusal: Refusal;
      /** To which kind of command, about which topic: for protocols whose commands have no ids. */
      readonly of?: AnsweredKind | undefined;
      readonly topic?: string | undefined;
    };

/** A user has become a member of a topic, or is one no longer. */
export interface MemberPush {
  readonly kind: "memberAdded" | "memberRemoved";
  readonly topic: string;
  /** Without its info when it was removed. */
  readonly member: Member;
}

/** What a session is sent without having asked for it. */
export type Push =
  | { readonly kind: "join" | "leave"; readonly topic: string; readonly info: ClientInfo }
  | { readonly kind: "subscribed"; readonly subscribed: Subscribed }
  | {
      readonly kind: "unsubscribed";
      readonly topic: string;
      readonly code: number;
      readonly reason: string;
    };
