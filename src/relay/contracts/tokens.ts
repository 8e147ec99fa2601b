// What says who clients are and what they may do: tokens, or signatures of their backend, and what checks them.
import type { Member, Proof } from "./commands";
import type { Refusal } from "./errors";

/** What others in a topic are not told of a client, though the topic's rule says that they are. */
export interface Hidden {
  /** It is not listed among those who are there. */
  readonly presence: boolean;
  /** Nobody is told that it comes and goes. */
  readonly joinLeave: boolean;
}

/** A topic that a token names, with JSON texts. */
export interface TokenTopic {
  readonly info?: string | undefined;
  readonly data?: string | undefined;
  readonly hidden?: Hidden | undefined;
}

/** The topics that the relay subscribes a connection to because its token names them. */
export type TokenTopics = ReadonlyMap<string, TokenTopic>;

/** What a connection's token says. Seconds are counted from now. */
export interface ConnectionClaims {
  /** "" is the anonymous user. */
  readonly user: string;
  readonly ttl: number | undefined;
  /** JSON text that others can see. */
  readonly info?: string | undefined;
  /** JSON text for the client. */
  readonly data?: string | undefined;
  /** JSON text that only the backend is told, with later questions. */
  readonly meta?: string | undefined;
  readonly topics: TokenTopics;
}

/** What a token for one topic says. */
export interface TopicClaims {
  readonly user: string;
  readonly topic: string;
  /** When it is set, only this connection may use the token. */
  readonly client?: string | undefined;
  readonly ttl: number | undefined;
  readonly info?: string | undefined;
  /** JSON text for the subscriber. */
  readonly data?: string | undefined;
  readonly hidden?: Hidden | undefined;
  /** The client becomes a member of the topic: who is counted by user, whatever the number of connections. */
  readonly member?: Member | undefined;
}

export type TokenProblem = "invalid" | "expired";

/** The keys cannot be fetched, so tokens cannot be checked now. It says nothing about the token itself. */
export class KeysUnavailable extends Error {}

/** Checks tokens; edge/access/tokens.ts is the real one. Rejects with KeysUnavailable. */
export interface TokenVerifier {
  connection(token: string): Promise<ConnectionClaims | TokenProblem>;
  topic(token: string): Promise<TopicClaims | TokenProblem>;
}

/** The client of a connection, as far as its authority needs to know it. */
export interface AuthorityClient {
  readonly id: string;
  /** "" while it has not said who it is. */
  readonly user: string;
  readonly session: { readonly info: string | undefined } | undefined;
}

/** As what a client may have a topic: as a member, or like everybody. */
export interface TopicGrant {
  readonly member?: Member | undefined;
}

/** Who a client is. */
interface UserGrant {
  readonly user: string;
  /** JSON text that others can see. */
  readonly info: string | undefined;
}

/** What decides for some connections in place of tokens and rules: it checks what the backend of their clients has signed. */
export interface Authority {
  /** Why no client of it may stay: a close code and a reason. */
  readonly closed?: { readonly code: number; readonly reason: string } | undefined;
  /** How many publications a client may send in a second; 0: any number. */
  readonly publicationsMax: number;
  /** Refuses `permission_denied`; undefined where the topic needs no proof. */
  topic(client: AuthorityClient, topic: string, proof: Proof): TopicGrant | Refusal | undefined;
  /** Refuses `permission_denied`, `invalid_user`. */
  user(client: AuthorityClient, proof: Proof): UserGrant | Refusal;
}
