// With which codes connections of the Pusher protocol end. Its clients come back 1 s after any code below 4000 and after 4100 to 4199,
// at once after 4200 to 4299, and never after all others, except that pusher-js changes to TLS for good after 4000.
import type { CloseName } from "../../relay/contracts/protocol";

/** What its clients know for "not allowed": they stay away. */
const NOT_ALLOWED = 4009;

/** There is no app with this key. */
export const NO_SUCH_APP = 4001;

/** The client speaks another version of the protocol. */
export const OTHER_VERSION = 4007;

/** In an error that ends nothing: the one code that no client acts upon. */
export const EVENT_REFUSED = 4301;

const COME_BACK = 1011;

export const CLOSES: Readonly<Record<CloseName, { code: number; reason: string }>> = {
  shutdown: { code: 1001, reason: "shutting down" },
  internal: { code: COME_BACK, reason: "internal error" },
  expired: { code: COME_BACK, reason: "expired" },
  subscription_expired: { code: COME_BACK, reason: "expired" },
  slow_consumer: { code: COME_BACK, reason: "slow consumer" },
  position_lost: { code: COME_BACK, reason: "history lost" },
  replaced: { code: COME_BACK, reason: "replaced" },
  not_connected: { code: COME_BACK, reason: "not connected yet" },
  no_pong: { code: 4201, reason: "pong not received" },
  too_many_frames: { code: 4100, reason: "too many frames" },
  too_many_bytes: { code: 4100, reason: "too many bytes" },
  invalid_token: { code: NOT_ALLOWED, reason: "the sign-in is not valid" },
  violation: { code: NOT_ALLOWED, reason: "bad request" },
  // It was told nothing, because it could not be served.
  stale: { code: 1001, reason: "not available now" },
  deleted: { code: NOT_ALLOWED, reason: "disconnected" },
  too_many_connections: { code: 4100, reason: "too many connections" },
  too_many_topics: { code: COME_BACK, reason: "too many channels" },
  not_available: { code: NOT_ALLOWED, reason: "not available" },
};

/** The backend's own code where clients know it; else they are to stay away, as its clients of other protocols do. */
export function disconnectCode(code: number): number {
  return code >= 4000 ? code : NOT_ALLOWED;
}
