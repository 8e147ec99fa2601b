// What the relay answers, to the application that embeds it and over HTTP alike.

/** Who a user is: a whole number and its decimal text are the same user. */
export type User = number | string;

/** The answer to a publisher, as POST /publish gives it. */
export interface Publish {
  /** How many connections of this process it was sent to. */
  readonly delivered: number;
  /** Present where there may be other nodes, whose connections `delivered` does not count. */
  readonly scope?: "node";
  readonly offset?: number;
  readonly epoch?: string;
}

/** Where a registered client connects. */
export interface Addresses {
  /** For a WebSocket. */
  readonly url: string;
  /** For EventSource. */
  readonly sse: string;
}
