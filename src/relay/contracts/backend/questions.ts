// What the relay asks the backend, where settings or rules say that the backend decides: who a client is, and what it may do. How it
// is asked is not the relay's concern; edge/hooks/proxy/ does it over HTTP.
import type { Introduction } from "../commands";
import { Refusal } from "../errors";
import type { Protocol } from "../protocol";
import type { ConnectionClaims, TopicClaims } from "../tokens";

/** The names of the questions, as in Centrifugo's proxy. */
export type QuestionKind = "connect" | "refresh" | "subscribe" | "sub_refresh" | "publish" | "rpc";

/** What the request that opened a connection said that the backend is to be told; undefined where nothing is passed on. */
export type PassedHeaders = Readonly<Record<string, string>>;

/** The client that a question is about. A connection is one. */
export interface AskingClient {
  readonly id: string;
  /** "" while it has not said who it is. */
  readonly user: string;
  readonly protocol: Protocol;
  readonly headers: PassedHeaders | undefined;
  /** Of a session it is undefined once it has ended. */
  readonly session: { readonly meta: string | undefined } | undefined;
}

/** An error of the backend's own, which its client is told as it is. */
export class BackendRefusal extends Refusal {
  readonly own: { readonly code: number; readonly message: string; readonly temporary: boolean };

  constructor(own: BackendRefusal["own"]) {
    super("backend_refused", own.message || "The backend has refused this.");
    this.own = own;
  }
}

/** What Centrifugo answers a client whose time was over before it came. */
export const EXPIRED = new BackendRefusal({ code: 110, message: "expired", temporary: false });

/** The backend ends the connection, with a close code from 3000 to 4999 and a reason. */
export class Dismissal {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string) {
    this.code = code;
    this.reason = reason;
  }
}

/** The answer is no, or there is none. */
export type Denial = Refusal | Dismissal;

/** What a client publishes goes out like this. */
export interface PublishGrant {
  /** JSON text that takes the place of what the client sent. */
  readonly data?: string | undefined;
  /** JSON text of an object whose values are texts. */
  readonly tags?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

/** A connection or subscription goes on; undefined members stay as they are. */
export interface Renewal {
  /** Seconds until it expires again; undefined: it never does. */
  readonly ttl: number | undefined;
  /** JSON texts. */
  readonly info?: string | undefined;
  readonly meta?: string | undefined;
}

/** "unanswered": the backend could not be asked. */
export type RenewalAnswer = Renewal | "expired" | "unanswered";

/** What to answer a call with, as JSON text. */
interface CallAnswer {
  readonly data: string | undefined;
}

/**
 * Asks the backend. `to` is whom, as a rule of topics has it. Nothing here rejects: what went wrong is a Refusal
 * (`backend_unavailable`, `backend_busy`), or what the settings say for that case.
 */
export interface Questions {
  /** Whether it decides who a client is that shows no token. */
  readonly asksConnect: boolean;
  /** Whether it is asked when a connection expires, in place of its client. */
  readonly asksRefresh: boolean;
  /** Undefined: it says nothing about who the client is. */
  connect(
    client: AskingClient,
    introduction: Introduction,
    /** Those that it has been subscribed to by the relay before, and wants to go on with. */
    topics: readonly string[],
  ): Promise<ConnectionClaims | Denial | undefined>;
  refresh(client: AskingClient): Promise<RenewalAnswer>;
  subscribe(
    client: AskingClient,
    to: string,
    asked: { readonly topic: string; readonly data?: string | undefined },
  ): Promise<TopicClaims | Denial>;
  refreshTopic(client: AskingClient, to: string, topic: string): Promise<RenewalAnswer>;
  publish(
    client: AskingClient,
    to: string,
    asked: { readonly topic: string; readonly data: string | undefined },
  ): Promise<PublishGrant | Denial>;
  call(
    client: AskingClient,
    to: string,
    asked: { readonly method: string; readonly data?: string | undefined },
  ): Promise<CallAnswer | Denial>;
}
