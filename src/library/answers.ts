// What the relay answers, to the application that embeds it and over HTTP alike.
export type { Published as Publish } from "../relay/contracts/publication";

/** Who a user is: a whole number and its decimal text are the same user. */
export type User = number | string;

/** Where a registered client connects. */
export interface Addresses {
  /** For a WebSocket. */
  readonly url: string;
  /** For EventSource. */
  readonly sse: string;
}
