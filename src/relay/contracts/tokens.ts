// What tokens say about clients, and what checks them.

import type { Member } from "./commands";

/** The topics that the relay subscribes a connection to because its token names them, with JSON texts. */
export type TokenTopics = ReadonlyMap<string, { readonly info?: string; readonly data?: string }>;

/** What a connection's token says. Seconds are counted from now. */
export interface ConnectionClaims {
  /** "" is the anonymous user. */
  readonly user: string;
  readonly ttl: number | undefined;
  /** JSON text that others can see. */
  readonly info?: string | undefined;
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
