// The bounds that the relay keeps; config.ts gives them their defaults and says why.

/** All are counts, unless the name ends in a unit. */
export interface Limits {
  readonly registrationTtlMs: number;
  readonly registrationsMax: number;
  readonly connectionsMax: number;
  readonly userConnectionsMax: number;
  readonly connectionTopicsMax: number;
  /** Inbound frames of one connection in one second. */
  readonly connectionFramesMax: number;
  readonly messageBytes: number;
  /** Of publications that the engine has not answered. */
  readonly pendingBytes: number;
  /** What may wait in this process for one connection. */
  readonly backpressureBytes: number;
  readonly pingMs: number;
  readonly pongMs: number;
}
