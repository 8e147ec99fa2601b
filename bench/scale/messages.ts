// The messages between the scale run and its load processes, over Bun's IPC.

/** The connections of one load process: `count` of them, each of a user of its own. */
export interface ClientRange {
  /**
   * Addresses of this machine that no other process connects to, used in turn. The kernel quickly finds only every other port
   * to one address; beyond 14,000 connections it tries the rest one by one.
   */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly firstUser: number;
  readonly count: number;
  /** Handshakes in progress at once. */
  readonly handshakesMax: number;
}

export type ScaleRequest =
  | { readonly kind: "register"; readonly range: ClientRange }
  | { readonly kind: "connect" };

/** What a load process reports several times a second without being asked. */
export interface ClientState {
  readonly registered: number;
  readonly open: number;
  /** Publications received: each once, directly after the one before. */
  readonly received: number;
  /** Connections that were lost and are open again. It is a fault if what they missed was not recovered. */
  readonly resumed: number;
  /** Attempts to connect that failed and were repeated. */
  readonly retried: number;
  /** The longest time that a connection was lost before it was open again, in ms. */
  readonly awayMaxMs: number;
  /** The faults since the last report. */
  readonly faults: readonly string[];
}
