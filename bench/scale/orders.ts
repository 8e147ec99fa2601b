// What the scale run asks of a load process, and what that tells it.

export interface Crowd {
  /**
   * Addresses of this machine to connect to, in turn, which no other process has: the kernel takes every other port to
   * one address first, and finds the rest, beyond 14,000, by looking at each.
   */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly first: number;
  readonly count: number;
  /** Handshakes under way at once. */
  readonly atOnce: number;
}

export type Order =
  | { readonly kind: "register"; readonly crowd: Crowd }
  | { readonly kind: "open" };

/** Sent by itself several times a second. */
export interface State {
  readonly registered: number;
  readonly open: number;
  /** Publications that came: each once, right after the one before. */
  readonly received: number;
  /** Connections that were lost and came back; it is a fault if they were not told that they get all they missed. */
  readonly back: number;
  /** Attempts to connect that came to nothing and were made again. */
  readonly again: number;
  /** The longest that one was away before it was back, in ms. */
  readonly awayMs: number;
  readonly faults: readonly string[];
}
