// The limits that the relay keeps. Their defaults, and the reasons for them, are in settings/definitions.ts.

/** The most commands in one frame of a session, and that may wait for an earlier one. */
export const COMMANDS_MAX = 1_024;

/** Every limit is a count, unless its name ends in a unit. */
export interface Limits {
  readonly connectionsMax: number;
  /** Connections that one address may have open; 0: any number. */
  readonly addressConnectionsMax: number;
  readonly connectionTopicsMax: number;
  /** Members of one topic over all nodes, and what each may say of itself. */
  readonly membersMax: number;
  readonly memberInfoBytes: number;
  /** Topics that have a subscriber in this process; 0: any number. */
  readonly topicsMax: number;
  /** Subscriptions of all connections of this process; 0: any number. */
  readonly subscriptionsMax: number;
  /** Frames that one connection may send in one second. */
  readonly connectionFramesMax: number;
  /** What the frames and pings may have together that one connection sends in one second; 0: any number. */
  readonly connectionBytesMax: number;
  /** Publications of one client in one second; 0: any number. */
  readonly clientPublicationsMax: number;
  /** What the requests of one connection may make the relay send in one second; later ones wait for the next. */
  readonly connectionAnswerBytes: number;
  readonly messageBytes: number;
  /** The size of all publications that the engine has not answered yet. */
  readonly pendingBytes: number;
  /** What may wait in this process for one connection. */
  readonly backpressureBytes: number;
  /** The longest that a publication waits for the next wave; 0: none waits. */
  readonly waveMs: number;
  /** Ends of connections that are remembered, and as many resumptions. */
  readonly journalMax: number;
  readonly pingMs: number;
  readonly pongMs: number;
}
